"""Snorkel's classes, which ours extend, without the rest of Snorkel: a fraction of a second instead of one.

``snorkel.labeling`` imports its analysis, and with it scikit-learn and SciPy; ``snorkel.slicing`` imports torch. The
classes need neither. Both packages stay importable, and whole for whoever asks them for more.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that runs its ``__init__`` when it is first asked for a name that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def _later(name: str) -> ModuleType:
    """Import a package without running it, unless it has run already."""
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        module.__class__ = _Package
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)  # as an import does
    return sys.modules[name]


_labeling, _slicing, _sf = map(_later, ("snorkel.labeling", "snorkel.slicing", "snorkel.slicing.sf"))

from snorkel.labeling.lf.core import LabelingFunction, labeling_function  # noqa: E402
from snorkel.preprocess import BasePreprocessor, LambdaPreprocessor  # noqa: E402
from snorkel.slicing.sf.core import SlicingFunction, slicing_function  # noqa: E402

# `from snorkel.labeling import labeling_function`, as users' files have it, asks for no more than this.
vars(_labeling).update(LabelingFunction=LabelingFunction, labeling_function=labeling_function)
for _package in (_slicing, _sf):
    vars(_package).update(SlicingFunction=SlicingFunction, slicing_function=slicing_function)

__all__ = ["BasePreprocessor", "LabelingFunction", "LambdaPreprocessor", "SlicingFunction"]
