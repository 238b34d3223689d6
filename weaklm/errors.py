"""What can go wrong, as one tree.

::

    WeaklmError                     everything that weaklm raises on purpose
    ├── DataError                   a file, a column or a value is not what was expected
    ├── FunctionError               a labeling or slicing function failed or returned something else
    ├── ModelError                  a model cannot be fitted, used or loaded
    │   └── TemplateMismatchError   the adapter was trained with another prompt template
    ├── ProjectError                the project folder lacks something, or holds something else
    ├── SettingsError               an unknown or invalid setting
    ├── GateError                   a gate such as ``--fail-under`` was not met
    └── MissingExtraError           an optional dependency is not installed
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WeaklmError(Exception):
    """Base of every error that weaklm raises on purpose; its message says what to do."""


class DataError(WeaklmError, ValueError):
    """A file, a column or a value is not what was expected."""


class FunctionError(WeaklmError):
    """A labeling or slicing function failed or returned something else."""


class ModelError(WeaklmError, ValueError):
    """A model cannot be fitted, used or loaded."""


class TemplateMismatchError(ModelError):
    """The adapter was trained with another prompt template."""


class ProjectError(WeaklmError):
    """The project folder lacks something, or holds something else than expected."""


class SettingsError(WeaklmError, ValueError):
    """An unknown or invalid setting."""


class GateError(WeaklmError):
    """A gate such as ``--fail-under`` was not met."""


class MissingExtraError(WeaklmError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional dependency: pip install 'weaklm[{extra}]'")


class FunctionWarning(UserWarning):
    """A function failed on a few rows and abstained there."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return the words that point from a name that is not there to those that are.

    >>> nearest("respones", ["response", "context"])
    "did you mean 'response'?"
    >>> nearest("zzz", ["response", "context"])
    "there are: 'context', 'response'"
    >>> nearest("zzz", [])
    'there are none'
    """
    known = sorted({str(option) for option in options})
    close = get_close_matches(str(name), known, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    if not known:
        return "there are none"
    shown = ", ".join(map(repr, known[:12])) + (", ..." if len(known) > 12 else "")
    return f"there are: {shown}"
