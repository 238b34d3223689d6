"""The demo: a data set of a bank's copilot, truth checks for any answer, a stand-in base model, and the whole loop.

``load()`` gives the data set, ``standin()`` the base model's folder, ``accepts(frame)`` what is true of new answers.
"""

from typing import TYPE_CHECKING, Any

_HOME = {"load": "dataset", "standin": "stand_in", "accepts": "truth"}

__all__ = ["accepts", "load", "standin"]

if TYPE_CHECKING:
    from weaklm.demo.dataset import load as load
    from weaklm.demo.stand_in import standin as standin
    from weaklm.demo.truth import accepts as accepts


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"weaklm.demo has no {name!r}; there are: {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"weaklm.demo.{_HOME[name]}"), name)
