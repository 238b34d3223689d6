"""What is the same for every row: Python computes it as ever, if that does nothing else and runs no code of a class."""

import enum
import inspect
import math
import re
from collections.abc import Callable
from types import BuiltinFunctionType, ModuleType
from typing import Any

from weaklm.compiler.symbols import Symbol, Unsupported, described, storable

_PURE: set[Any] = {abs, all, any, bool, chr, dict, float, frozenset, int, isinstance, len, list, max, min, ord, range}
_PURE |= {round, set, sorted, str, sum, tuple}
_PURE |= {re.compile, re.escape, re.search, re.match, re.fullmatch, re.findall, re.sub, re.split}
_FIXED = (str, bytes, int, float, tuple, frozenset, range, re.Pattern, re.Match)  # no method changes them
_READING = frozenset(("copy", "count", "difference", "get", "index", "intersection", "isdisjoint", "issubset"))
_READING |= {"issuperset", "items", "keys", "union", "values"}
_PLAIN = (*_FIXED, list, dict, set, bool, type(None))


def python(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what Python says of constants; where it raises, every row that gets there would."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # whatever it is: it becomes the reason
        raise Unsupported(f"it raises {type(error).__name__}: {error}") from error


def constant(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """Return a value if it is a constant of a kind that a column can hold, or refuse."""
    if isinstance(value, Symbol) or not isinstance(value, kind) or (isinstance(value, str) and not storable(value)):
        raise Unsupported(f"{what}: {described(value)}")
    return value


def is_plain(value: Any) -> bool:
    """Tell whether a constant is of one of Python's own types, or an enum: its operators are known."""
    return type(value) in _PLAIN or isinstance(value, enum.Enum | enum.EnumType)


def is_pure(function: Any) -> bool:
    """Tell whether a built-in function gives the same for the same arguments, and does nothing else."""
    of = getattr(function, "__self__", None)
    if isinstance(function, BuiltinFunctionType) and of is not None and not isinstance(of, ModuleType):
        return isinstance(of, _FIXED) or (isinstance(of, list | dict | set) and function.__name__ in _READING)
    return (inspect.isbuiltin(function) and of is math) or (is_hashable(function) and function in _PURE)


def is_hashable(value: Any) -> bool:
    """Tell whether a value can be a key."""
    return type(value).__hash__ is not None


def attribute(value: Any, name: str) -> Any:
    """Return the attribute of a constant, if reading it runs no code of a class."""
    if isinstance(value, ModuleType) or is_plain(value):
        return python(getattr, value, name)
    found = python(inspect.getattr_static, value, name)
    if hasattr(type(found), "__get__") or hasattr(type(value), "__getattr__"):
        raise Unsupported(f".{name} of a {type(value).__name__}")
    return found
