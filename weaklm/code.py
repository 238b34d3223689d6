"""What a function's code says: a hash that changes when it could vote differently, and the columns that it reads."""

import __future__

import ast
import functools
import hashlib
import inspect
import linecache
import re
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import cloudpickle

from weaklm.snorkel_core import BasePreprocessor
from weaklm.snorkel_core import LabelingFunction as SnorkelLabelingFunction

# What was described already, by its id: its number, and itself, so that nothing else gets that id meanwhile.
Seen = dict[int, tuple[int, Any]]

_OWN = ("name", "_pre", "_cache")  # described elsewhere, or no part of what it does
_FUTURE = __future__.annotations.compiler_flag
_LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))


def code_hash(function: Any) -> str:
    """Return 16 hexadecimal digits that change when the function could vote differently.

    They cover its source (without comments, docstring and layout), default and closure values, resources,
    preprocessors, and the functions, classes and values that it names: those of its module, and of your other modules
    that it has imported at the top. Its name, imports in its body, and files that it reads do not count.
    """
    return hashlib.sha256(repr(_describe(function, {})).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def reads(function: Any) -> set[str]:
    """Return the columns that a function may read as ``x.column`` or ``x["column"]``, as far as its source tells.

    Its preprocessors, and the functions that it hands ``x`` to, count too; columns that its preprocessors add do not.

    >>> from weaklm.functions import slicing_function
    >>> @slicing_function
    ... def long_answer(x):
    ...     return len(x.response) > 500
    >>> reads(long_answer)
    {'response'}
    """
    return _uses(function, 0, set()).read


def known_reads(function: Any) -> set[str] | None:
    """Return the columns that decide what a function says, or None where its source cannot tell them all.

    >>> from weaklm.functions import slicing_function
    >>> @slicing_function
    ... def long_answer(x):
    ...     return len(x.response) > 500
    >>> @slicing_function
    ... def has_much(x):
    ...     return len(vars(x)) > 9
    >>> known_reads(long_answer), known_reads(has_much)
    ({'response'}, None)
    """
    uses = _uses(function, 0, set())
    return None if uses.escapes else uses.read | uses.written  # what is written may not be written on every row


def all_known_reads(functions: Iterable[Any]) -> set[str] | None:
    """Return the columns that decide what any of the functions says, or None where one cannot tell."""
    read: set[str] = set()
    for columns in map(known_reads, functions):
        if columns is None:
            return None
        read |= columns
    return read


def is_plain(function: Any) -> bool:
    """Tell whether calling a labeling or slicing function comes down to calling the Python function that it wraps."""
    return type(function).__call__.__module__ in ("weaklm.functions", "snorkel.labeling.lf.core")


def needs(function: Any) -> set[str]:
    """Return the columns that a function reads without first testing whether they are there.

    Empty where the source cannot say: behind preprocessors, ``try``, or a second meaning of the argument's name.

    >>> from weaklm.functions import slicing_function
    >>> @slicing_function
    ... def from_phone(x):
    ...     return x.device == "phone" and getattr(x, "locale", "en") == "en"
    >>> sorted(reads(from_phone)), sorted(needs(from_phone))
    (['device', 'locale'], ['device'])
    """
    uses = _uses(function, 0, set())
    return set() if function._pre else uses.read - uses.optional


# The hash


def _describe(value: Any, seen: Seen) -> Any:
    """Return nested tuples of strings that together identify a value: code for functions, content for data."""
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return type(value).__name__, repr(value)
    if isinstance(value, ModuleType):
        return value.__name__, str(getattr(value, "__version__", ""))
    if isinstance(value, re.Pattern):
        return "regex", repr(value.pattern), str(value.flags)
    if isinstance(value, set | frozenset | Mapping | list | tuple):
        return _describe_container(value, seen)
    return _describe_code(value, seen)


def _describe_container(value: Any, seen: Seen) -> Any:
    """Identify a container by its items, and by its class where that is the user's."""
    if id(value) in seen and not isinstance(value, tuple):
        return "seen", str(seen[id(value)][0])
    seen[id(value)] = len(seen), value
    own = () if _is_library(type(value)) else (_describe_code(type(value), seen),)
    if isinstance(value, set | frozenset):
        return (
            "set",
            *own,
            *sorted(repr(_describe(item, seen if isinstance(item, str) else dict(seen))) for item in value),
        )
    if isinstance(value, Mapping):
        factory = _describe(getattr(value, "default_factory", None), seen)
        return "mapping", *own, factory, *(_describe(item, seen) for item in value.items())
    return "sequence", *own, *(_describe(item, seen) for item in value)


def _describe_code(value: Any, seen: Seen) -> Any:
    """Identify functions and what wraps them, classes, and objects of any class, each in full once."""
    if id(value) in seen:
        return "seen", str(seen[id(value)][0])
    seen[id(value)] = len(seen), value
    if isinstance(value, SnorkelLabelingFunction | BasePreprocessor):
        f = getattr(value, "_f", None) or [type(value), {k: v for k, v in vars(value).items() if k not in _OWN}]
        said = [f, dict(getattr(value, "_resources", {})), list(value._pre), getattr(value, "batch", False)]
        call = type(value).__call__  # a subclass may say something else
        return tuple(_describe(part, seen) for part in (*said, *(() if is_plain(value) else (call,))))
    if isinstance(value, FunctionType):
        return _describe_function(value, seen)
    if isinstance(value, functools.partial):
        return "partial", _describe([value.func, value.args, value.keywords], seen)
    if isinstance(value, MethodType):
        return "method", _describe([value.__func__, value.__self__], seen)
    if isinstance(wrapped := getattr(value, "__wrapped__", None), FunctionType):  # functools.cache and its like
        return "wrapped", _describe(wrapped, seen)
    kind = value if isinstance(value, type) else type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, type):
        own = {} if _is_library(value) else vars(value)
        parts = [v for k, v in own.items() if not k.startswith("__") or isinstance(v, FunctionType)]
        return name, *(_describe(part, seen) for part in (*parts, *(value.__bases__ if own else ())))
    if callable(value) and hasattr(value, "__qualname__"):  # built in
        return f"{getattr(value, '__module__', '')}.{value.__qualname__}"
    if hasattr(value, "__dict__") and not _is_library(kind):
        return name, _describe(kind, seen), _describe(vars(value), seen)
    return name, *(() if _is_library(kind) else (_describe(kind, seen),)), _digest(value)


def _describe_function(f: FunctionType, seen: Seen) -> Any:
    if _is_library(f):  # its own code says its version; what it refers to (caches, say) changes as it runs
        inner = [part for part in map(_content, f.__closure__ or ()) if isinstance(part, FunctionType)]
        inner += [f.__wrapped__] if hasattr(f, "__wrapped__") else []
        own = [_describe(part, seen) for part in inner if not _is_library(part)]
        return f.__module__, f.__qualname__, _bytecode(f.__code__), *own
    names = sorted(_global_names(f.__code__))
    globals_used = [f.__globals__[n] for n in names if n in f.__globals__]
    modules = [value for value in globals_used if isinstance(value, ModuleType) and not _is_from_library(value)]
    globals_used += [vars(module)[n] for module in modules for n in names if n in vars(module)]
    cells = [_content(cell) for cell in f.__closure__ or ()]
    values = [f.__defaults__ or (), f.__kwdefaults__ or {}, cells, globals_used]
    return _source(f), *(_describe(part, seen) for part in values)


def _content(cell: Any) -> Any:
    """Return what a closure cell holds; None where the enclosing function has not filled it yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _source(f: FunctionType) -> str:
    """Return the function's syntax tree as text, or its bytecode where the source is not what runs."""
    tree = syntax(f)
    if tree is None or not compiles_to(tree, f):
        return repr(_bytecode(f.__code__))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    tree.name = ""
    return ast.dump(tree)


def syntax(f: Callable[..., Any]) -> ast.FunctionDef | None:
    """Return the syntax tree of a ``def`` without its decorators, or None where there is none: no source, a lambda."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(f))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(tree, ast.FunctionDef):
        return None
    tree.decorator_list = []
    return tree


def compiles_to(tree: ast.FunctionDef, f: FunctionType) -> bool:
    """Tell whether the source is still what was compiled: the file may have been edited since it was imported."""
    code = f.__code__
    outer = ast.parse(f"def outer({', '.join(code.co_freevars)}): pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = [tree]  # names of the enclosing function stay closure variables
    # Python compiles `name.f()` in another way where the file imports the name.
    imports = [ast.fix_missing_locations(ast.Import([ast.alias(name)])) for name in _imported(f)]
    again = compile(ast.Module([*imports, outer], []), "", "exec", flags=code.co_flags & _FUTURE, dont_inherit=True)
    constants = [constant for constant in again.co_consts if isinstance(constant, CodeType)]
    inner = [constant for constant in constants[0].co_consts if isinstance(constant, CodeType)]
    return any(_bytecode(constant) == _bytecode(code) for constant in inner if constant.co_name == code.co_name)


def _imported(f: FunctionType) -> list[str]:
    """Return the names that the file, or notebook cell, of a function imports at its top level."""
    return _imports("".join(linecache.getlines(f.__code__.co_filename, f.__globals__)))


@functools.lru_cache(maxsize=64)
def _imports(source: str) -> list[str]:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # edited to something unfinished
        return []
    aliases = [alias for node in body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    names = {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    return sorted(names.difference("*"))


def _bytecode(code: CodeType) -> Any:
    constants = [_bytecode(c) if isinstance(c, CodeType) else (type(c).__name__, _constant(c)) for c in code.co_consts]
    return code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, tuple(constants)


def _constant(value: Any) -> str:
    """Return a constant as text, a set in an order that does not change from process to process."""
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def _global_names(code: CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*(_global_names(inner) for inner in nested))


def _is_library(value: Any) -> bool:
    """Tell whether a function or class belongs to Python or an installed package."""
    if isinstance(value, FunctionType):
        return value.__code__.co_filename.startswith((*_LIBRARIES, "<frozen"))
    file = getattr(sys.modules.get(value.__module__), "__file__", None) or _LIBRARIES[0]  # built in
    return value.__module__ != "__main__" and file.startswith(_LIBRARIES)


def _is_from_library(module: ModuleType) -> bool:
    return (getattr(module, "__file__", None) or _LIBRARIES[0]).startswith(_LIBRARIES)


def _digest(value: Any) -> str:
    try:
        return hashlib.sha256(cloudpickle.dumps(value)).hexdigest()
    except Exception:  # a lock, a connection: pickling raises whatever the class likes; the class is all we know
        return ""


# The columns


@dataclass
class _Uses:
    """Columns that are read, added, and read only if they are there."""

    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    optional: set[str] = field(default_factory=set)
    escapes: bool = False  # the example goes where its source cannot be followed

    def then(self, later: "_Uses") -> None:
        """Take in what happens next, which may read what was added before."""
        self.read |= later.read - self.written
        self.optional |= later.optional
        self.written |= later.written
        self.escapes |= later.escapes


def _uses(function: Any, position: int, seen: set[tuple[int, int]], gives_back: bool = False) -> _Uses:
    """Return what a function, and before it its preprocessors, do with the argument at a position."""
    uses = _Uses()
    for earlier in getattr(function, "_pre", ()):
        uses.then(_uses(earlier, 0, seen, gives_back=True))
    if isinstance(fields := getattr(function, "field_names", None), Mapping):  # Snorkel's preprocessors by class
        uses.then(_Uses(read=set(fields.values())))
        return uses
    if isinstance(columns := getattr(function, "columns", None), frozenset):  # declared: weaklm.patterns
        uses.then(_Uses(read=set(columns)))
        return uses
    f = getattr(function, "_f", function)
    if isinstance(f, MethodType):
        f, position = f.__func__, position + 1
    if (id(f), position) in seen:  # it calls itself: what it reads is being collected
        return uses
    tree = syntax(f) if isinstance(f, FunctionType) else None
    if tree is not None and not compiles_to(tree, f):  # edited since, or the source of what it wraps
        tree = None
    arguments = [] if tree is None else [*tree.args.posonlyargs, *tree.args.args]
    if tree is None or position >= len(arguments):
        uses.escapes = True
        return uses
    reader = _Reader(f, arguments[position].arg, seen | {(id(f), position)}, gives_back)
    for statement in tree.body:
        reader.visit(statement)
    if not reader.certain:
        reader.uses.optional |= reader.uses.read
    uses.then(reader.uses)
    return uses


class _Reader(ast.NodeVisitor):
    """Collects what the body of a function does with the columns of its argument ``x``."""

    def __init__(self, f: Callable[..., Any], x: str, seen: set[tuple[int, int]], gives_back: bool) -> None:
        self.uses, self._f, self._x, self._seen, self._gives_back = _Uses(), f, x, seen, gives_back
        self.certain = True  # False where errors are handled, or the argument's name gets a second meaning

    def _is_x(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self._x

    def _column(self, name: str, context: ast.expr_context) -> None:
        (self.uses.read if isinstance(context, ast.Load) else self.uses.written).add(name)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._is_x(node.value) and not node.attr.startswith("__"):
            self._column(node.attr, node.ctx)
        else:
            self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._is_x(node.value) and isinstance(node.slice, ast.Constant):
            self._column(str(node.slice.value), node.ctx)
        else:
            self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if not (self._gives_back and node.value is not None and self._is_x(node.value)):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if called in ("getattr", "hasattr") and self._is_x(node.args[0]) and isinstance(node.args[1], ast.Constant):
            column = str(node.args[1].value)
            self.uses.read.add(column)
            if called == "hasattr" or len(node.args) == 3:
                self.uses.optional.add(column)
            arguments = arguments[1:]
        for position, argument in enumerate(node.args):
            if any(isinstance(earlier, ast.Starred) for earlier in node.args[:position]):
                break
            if self._is_x(argument) and argument in arguments:
                self.uses.then(_uses(self._resolve(node.func), position, self._seen))
                arguments.remove(argument)
        for part in (node.func, *arguments):
            self.visit(part)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.left, ast.Constant) and isinstance(node.ops[0], ast.In | ast.NotIn):
            self.uses.optional.add(str(node.left.value))  # "column" in vars(x)
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        self.certain = False
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.uses.escapes |= self._is_x(node) and isinstance(node.ctx, ast.Load)
        self.certain &= not (self._is_x(node) and isinstance(node.ctx, ast.Store))

    def visit_arg(self, node: ast.arg) -> None:
        self.certain &= node.arg != self._x

    def _resolve(self, called: ast.expr) -> Any:
        """Return the function that an expression such as ``helper`` or ``module.helper`` names, if it can be found."""
        code, cells = self._f.__code__, self._f.__closure__ or ()
        local = _local_names(code)
        names = self._f.__globals__ | dict(zip(code.co_freevars, (c.cell_contents for c in cells), strict=True))
        if isinstance(called, ast.Name) and called.id not in local:
            return names.get(called.id)
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id not in local:
            return getattr(names.get(called.value.id), called.attr, None)
        return None


def _local_names(code: CodeType) -> set[str]:
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_varnames, *code.co_cellvars}.union(*map(_local_names, nested))
