"""Labeling functions, slicing functions and preprocessors: Snorkel's objects, extended; collect and load them.

A labeling function (LF) looks at one example and votes ACCEPT, REJECT or ABSTAIN. A slicing function (SF) returns
True for the members of its slice. Both are Snorkel's classes with more: the decorators work with and without
parentheses, the objects pickle, doctests in their docstrings run, :func:`code_hash` tells when a function would vote
differently, and a function may look at whole columns.
"""

import functools
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

import cloudpickle
import numpy as np

from weaklm.code import code_hash, reads
from weaklm.data import Batch, Example, content_hash, copied
from weaklm.errors import FunctionError, nearest
from weaklm.snorkel_core import BasePreprocessor, LambdaPreprocessor
from weaklm.snorkel_core import LabelingFunction as SnorkelLabelingFunction
from weaklm.snorkel_core import SlicingFunction as SnorkelSlicingFunction

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Function",
    "LabelingFunction",
    "Preprocessor",
    "SlicingFunction",
    "code_hash",
    "collect",
    "labeling_function",
    "load",
    "preprocessor",
    "reads",
    "slicing_function",
]


class _Wrapped:
    """What the three kinds share: they look like the function they wrap, and they pickle."""

    _f: Callable[..., Any]

    def _look_like(self, f: Callable[..., Any]) -> None:
        functools.update_wrapper(self, f, updated=())  # type: ignore[arg-type]

    def __reduce__(self) -> str | tuple[Any, ...]:
        module = sys.modules.get(self._f.__module__)
        name = getattr(self._f, "__qualname__", "")  # a partial has none
        if module is not None and getattr(module, name, None) is self:
            if module.__name__.startswith(_FILE_PREFIX):  # another process cannot import it by that name
                return _from_file, (module.__file__, name)
            if module.__name__ != "__main__":
                return name
        state = {k: v for k, v in vars(self).items() if k not in ("_cache", "__wrapped__")}
        return _from_bytes, (type(self), cloudpickle.dumps(state))


class _Function(_Wrapped):
    """What labeling and slicing functions share."""

    name: str
    # Functions of one group look at one thing, the verdicts of one judge, say: models count them as one voice.
    redundancy_group: str | None = None

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        resources: Mapping[str, Any] | None = None,
        pre: list[BasePreprocessor] | None = None,
        *,
        batch: bool = False,
        compile: bool = True,
        cache: bool = True,
        expression: Callable[[], "pl.Expr"] | None = None,
    ) -> None:
        super().__init__(name, f, resources, pre)  # type: ignore[call-arg]  # Snorkel's
        self.batch, self.compile, self.cache, self.expression = batch, compile, cache, expression
        self._look_like(f)

    def __call__(self, x: Any) -> Any:
        """Return what the function says of one example, a batch function too."""
        if not self.batch:
            return super().__call__(x)  # type: ignore[misc]
        (value,) = unpacked(self.name, super().__call__(Batch.of_one(x)), 1)  # type: ignore[misc]
        return value


class LabelingFunction(_Function, SnorkelLabelingFunction):
    """A function that votes ACCEPT (1), REJECT (0) or ABSTAIN (-1) on one example.

    Parameters
    ----------
    name
        Its name in votes and reports; unique within a project.
    f
        The function: takes an example (attributes = columns) and the resources; returns the vote, or the vote and
        a confidence from 0 to 1.
    resources
        Keyword arguments for ``f``: thresholds, word lists.
    pre
        Preprocessors to run on the example first.
    batch
        ``f`` takes a :class:`~weaklm.data.Batch` (attributes = columns as arrays) and returns an array of votes, or
        a pair of arrays: votes and confidences.
    compile
        Run ``f`` on whole columns where its source is simple enough; False always calls it row by row.
    cache
        False for a function that reads a clock, a file or a random number: its votes are never taken from a cache.
    expression
        Returns a polars expression over the columns with the votes of ``f``, null where only ``f`` can tell.
    """


class SlicingFunction(_Function, SnorkelSlicingFunction):
    """A function that returns True for the examples of its slice; only True is membership.

    The parameters are those of :class:`LabelingFunction`; ``f`` returns a bool, with ``batch`` an array of them.
    """


class Preprocessor(_Wrapped, LambdaPreprocessor):
    """A function that returns the example with more or changed columns, for functions to name in ``pre``."""

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        pre: list[BasePreprocessor] | None = None,
        memoize: bool = False,
    ) -> None:
        super().__init__(name, f, pre, memoize)
        self._look_like(f)

    def __call__(self, x: Any) -> Any:
        """Return the mapped example; the one that came in stays as it is."""
        if not isinstance(x, Example):  # a row of Snorkel's appliers, which remember it by themselves
            return super().__call__(x)
        mapped: Any = copied(x)
        for earlier in self._pre:
            mapped = earlier(mapped)
        return self._f(mapped)


Function = LabelingFunction | SlicingFunction


def unpacked(name: str, said: Any, n_rows: int) -> list[Any]:
    """Return what a batch function said as one value a row: a vote, or a vote and its confidence."""
    if isinstance(said, tuple) and len(said) == 2 and all(_length(part) is not None for part in said):
        votes, confidence = (_values(name, part, n_rows) for part in said)
        return list(zip(votes, confidence, strict=True))
    return _values(name, said, n_rows)


def _values(name: str, said: Any, n_rows: int) -> list[Any]:
    if _length(said) != n_rows:
        raise FunctionError(
            f"{name} returned {type(said).__name__} of length {_length(said)} for a batch of {n_rows} rows; an array "
            "with one vote a row was expected, or a pair of arrays: votes and confidences"
        )
    return list(said.tolist() if isinstance(said, np.ndarray) and said.dtype.kind in "biuf" else said)


def _length(said: Any) -> int | None:
    """Return the length of a flat sequence; None of anything else."""
    if isinstance(said, str) or not hasattr(said, "__len__") or getattr(said, "ndim", 1) != 1:
        return None
    return len(said)


@overload
def labeling_function(f: Callable[..., Any], /) -> LabelingFunction: ...
@overload
def labeling_function(
    *,
    name: str | None = ...,
    resources: Mapping[str, Any] | None = ...,
    pre: list[BasePreprocessor] | None = ...,
    batch: bool = ...,
    compile: bool = ...,
    cache: bool = ...,
) -> Callable[[Callable[..., Any]], LabelingFunction]: ...
def labeling_function(
    f: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    resources: Mapping[str, Any] | None = None,
    pre: list[BasePreprocessor] | None = None,
    batch: bool = False,
    compile: bool = True,
    cache: bool = True,
) -> LabelingFunction | Callable[[Callable[..., Any]], LabelingFunction]:
    """Turn a function of one example into a LabelingFunction; with or without parentheses.

    >>> from weaklm.data import ABSTAIN, REJECT, Example
    >>> @labeling_function(resources={"words": ("sorry", "apolog")})
    ... def says_sorry(x, words):
    ...     return REJECT if any(word in x.response.lower() for word in words) else ABSTAIN
    >>> says_sorry
    LabelingFunction says_sorry, Preprocessors: []
    >>> says_sorry(Example(response="I am sorry.")), says_sorry(Example(response="It is 7."))
    (0, -1)
    """
    if f is not None:
        return LabelingFunction(f.__name__, f)
    return lambda f: LabelingFunction(name or f.__name__, f, resources, pre, batch=batch, compile=compile, cache=cache)


@overload
def slicing_function(f: Callable[..., Any], /) -> SlicingFunction: ...
@overload
def slicing_function(
    *,
    name: str | None = ...,
    resources: Mapping[str, Any] | None = ...,
    pre: list[BasePreprocessor] | None = ...,
    batch: bool = ...,
    compile: bool = ...,
    cache: bool = ...,
) -> Callable[[Callable[..., Any]], SlicingFunction]: ...
def slicing_function(
    f: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    resources: Mapping[str, Any] | None = None,
    pre: list[BasePreprocessor] | None = None,
    batch: bool = False,
    compile: bool = True,
    cache: bool = True,
) -> SlicingFunction | Callable[[Callable[..., Any]], SlicingFunction]:
    """Turn a function of one example into a SlicingFunction; with or without parentheses.

    >>> from weaklm.data import Example
    >>> @slicing_function
    ... def asks_how(x):
    ...     return x.instruction.lower().startswith("how")
    >>> asks_how(Example(instruction="How do I dispute a charge?"))
    True
    """
    if f is not None:
        return SlicingFunction(f.__name__, f)
    return lambda f: SlicingFunction(name or f.__name__, f, resources, pre, batch=batch, compile=compile, cache=cache)


@overload
def preprocessor(f: Callable[..., Any], /) -> Preprocessor: ...
@overload
def preprocessor(
    *, name: str | None = ..., pre: list[BasePreprocessor] | None = ..., memoize: bool = ...
) -> Callable[[Callable[..., Any]], Preprocessor]: ...
def preprocessor(
    f: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    pre: list[BasePreprocessor] | None = None,
    memoize: bool = False,
) -> Preprocessor | Callable[[Callable[..., Any]], Preprocessor]:
    """Turn a function that adds columns to an example into a Preprocessor; with or without parentheses.

    The function gets a copy, so that it may write to it. However many functions name it, our appliers run it once a
    row; ``memoize`` is for Snorkel's, which need it to remember.

    >>> from weaklm.data import Example
    >>> @preprocessor
    ... def words(x):
    ...     x.words = x.response.split()
    ...     return x
    >>> @labeling_function(pre=[words])
    ... def short(x):
    ...     return 0 if len(x.words) < 3 else -1
    >>> short(Example(response="No."))
    0
    """
    if f is not None:
        return Preprocessor(f.__name__, f)
    return lambda f: Preprocessor(name or f.__name__, f, pre, memoize)


def collect(*sources: Any) -> list[Any]:
    """Return the labeling and slicing functions of modules, functions and lists of them, in order, each once.

    A module gives the functions that it defines, in the order of definition; Snorkel's own objects are taken too.

    Raises
    ------
    FunctionError
        If two different functions have the same name, or something is neither a function nor a module.
    """
    found: dict[str, Any] = {}
    for function in _functions_in(sources):
        known = found.setdefault(function.name, function)
        if known is not function and code_hash(known) != code_hash(function):
            raise FunctionError(
                f"two different functions are named {function.name!r}: one in {known._f.__module__}, one in "
                f"{function._f.__module__}. Rename one, or give it name=... in its decorator."
            )
    return list(found.values())


def load(source: str | Path) -> list[Any]:
    """Return the functions of a module by name, of a ``.py`` file, or of a folder of files, in order of file name.

    ``load("lfs")`` gives the ready-made labeling functions together with those in your own ``lfs/`` folder.

    Raises
    ------
    FunctionError
        If there is no such module, file or folder, or one of the files fails to load.
    """
    path = Path(source)
    if isinstance(source, str) and path.suffix != ".py" and all(part.isidentifier() for part in source.split(".")):
        return collect(_import(source))
    if path.is_dir():
        return collect(*(_module_from(file) for file in sorted(path.glob("[!_]*.py"))))
    if path.is_file():
        return collect(_module_from(path))
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    raise FunctionError(
        f"there is no file or folder {str(path)!r} to load functions from; {nearest(path.name, beside)}"
    )


def _functions_in(sources: Iterable[Any]) -> Iterator[Any]:
    for source in sources:
        if isinstance(source, SnorkelLabelingFunction):  # the base of every labeling and slicing function
            yield source
        elif isinstance(source, ModuleType):
            yield from _functions_in(_children(source))
            values = [v for v in vars(source).values() if isinstance(v, SnorkelLabelingFunction)]
            # A declared function belongs to the module that declares it, whatever code it shares with others.
            homes = {id(v): vars(v).get("__module__", getattr(v._f, "__module__", None)) for v in values}
            yield from (v for v in values if homes[id(v)] == source.__name__)
        elif isinstance(source, list | tuple):
            yield from _functions_in(source)
        else:
            raise FunctionError(
                f"{source!r} is neither a module nor a labeling or slicing function; "
                "decorate it with @labeling_function or @slicing_function"
            )


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            beside = [path.stem for path in Path().iterdir() if path.is_dir() or path.suffix == ".py"]
            parent = sys.modules.get(name.rpartition(".")[0])
            known = beside if parent is None else [f"{parent.__name__}.{child}" for child in _names_in(parent)]
            raise FunctionError(
                f"there is no module {name!r} to load functions from; {nearest(name, known)}"
            ) from error
        raise FunctionError(f"module {name!r} does not load: {type(error).__name__}: {error}") from error


def _children(package: ModuleType) -> list[ModuleType]:
    """Return the modules in a package, in order of name.

    The folders of a namespace package, yours and ours, may hold files of one name: import finds the first only, so
    the others are loaded from their place.
    """
    found = []
    for name in _names_in(package):
        module = _import(f"{package.__name__}.{name}")
        files = [Path(folder) / f"{name}.py" for folder in package.__path__]
        hidden = [file for file in files if file.is_file() and str(file.resolve()) != _place(module)]
        found += [module, *(_module_from(file) for file in hidden)]
    return found


def _place(module: ModuleType) -> str:
    return str(Path(module.__file__).resolve()) if module.__file__ else ""


def _names_in(package: ModuleType) -> list[str]:
    """Return the sorted names of the modules in a package; none for a plain module."""
    names = (info.name for info in pkgutil.iter_modules(getattr(package, "__path__", ())))
    return sorted(name for name in names if not name.startswith("_"))


_FILE_PREFIX = "weaklm_file_"


def _module_from(path: Path) -> ModuleType:
    """Load a file as a module whose name depends on its place, so that equal file names do not collide."""
    path = path.resolve()
    name = f"{_FILE_PREFIX}{content_hash(str(path))}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise FunctionError(f"{path} does not load: {type(error).__name__}: {error}") from error
    return module


def _from_file(path: str, qualname: str) -> Any:
    file = Path(path).resolve()
    module = sys.modules.get(f"{_FILE_PREFIX}{content_hash(str(file))}_{file.stem}") or _module_from(file)
    return getattr(module, qualname)


def _from_bytes(kind: type, state: bytes) -> Any:
    function: Any = object.__new__(kind)
    vars(function).update(cloudpickle.loads(state))
    vars(function)["__wrapped__"] = function._f
    if isinstance(function, Preprocessor):
        function.reset_cache()
    return function
