"""Write a labeling or slicing function as source code, and into a user's file, without touching what is there."""

import ast
import builtins
import io
import keyword
import textwrap
import tokenize
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weaklm.atomic import atomic_file
from weaklm.errors import FunctionError
from weaklm.functions import load

# What the source of a written function may need, and the module that it comes from; "" is a module by itself.
_IMPORTS = {"re": ""} | dict.fromkeys(
    ("ABSTAIN", "ACCEPT", "REJECT", "Example", "labeling_function", "questions", "slicing_function", "traits"), "weaklm"
)
_WIDTH = 120
_NEW_FILE = '"""Labeling functions of our own."""\n\n'
NEW_SLICES = '"""Slicing functions of our own."""\n\n'


def function_source(
    name: str, *, vote: str, condition: str, resources: Mapping[str, str | float], doc: str, source: str
) -> str:
    """Return a labeling function as source code: it votes where the condition, an expression of ``x``, holds.

    >>> print(function_source("too_long", vote="REJECT", condition="len(x.response) > over", resources={"over": 900},
    ...                       doc="REJECT when the response has over 900 characters.", source="ours."))
    @labeling_function(resources={"over": 900})
    def too_long(x: Example, over: int) -> int:
        \"""REJECT when the response has over 900 characters.
    <BLANKLINE>
        Source: ours.
        \"""
        return REJECT if len(x.response) > over else ABSTAIN
    <BLANKLINE>
    """
    body = f"{vote} if {condition} else ABSTAIN"
    return _source("labeling_function", name, "int", body, resources=resources, doc=doc, source=source)


def slice_source(name: str, *, condition: str, resources: Mapping[str, str | float], doc: str, source: str) -> str:
    """Return a slicing function as source code: its members are where the condition, an expression of ``x``, is True.

    >>> print(slice_source("no_context", condition="not x.context.strip()", resources={}, doc="No context.",
    ...                    source="ours."))
    @slicing_function
    def no_context(x: Example) -> bool:
        \"""No context.
    <BLANKLINE>
        Source: ours.
        \"""
        return not x.context.strip()
    <BLANKLINE>
    """
    return _source("slicing_function", name, "bool", condition, resources=resources, doc=doc, source=source)


def _source(
    decorator: str, name: str, result: str, body: str, *, resources: Mapping[str, str | float], doc: str, source: str
) -> str:
    _check_name(name)
    arguments = "".join(f", {key}: {type(value).__name__}" for key, value in resources.items())
    given = ", ".join(f'"{key}": {_literal(value)}' for key, value in resources.items())
    lines = [
        f"@{decorator}(resources={{{given}}})" if given else f"@{decorator}",
        f"def {name}(x: Example{arguments}) -> {result}:",
        *textwrap.wrap(doc, _WIDTH, initial_indent='    """', subsequent_indent="    "),
        "",
        *textwrap.wrap(f"Source: {source}", _WIDTH, initial_indent="    ", subsequent_indent="    "),
        '    """',
        f"    return {body}",
    ]
    return "\n".join(lines) + "\n"


def _check_name(name: str) -> None:
    """Raise for a name that Python does not take as it is, or that means something else in the source."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise FunctionError(f"{name!r} is no name that a Python function can have")
    if (plain := unicodedata.normalize("NFKC", name)) != name:
        raise FunctionError(f"Python reads the name {name!r} as {plain!r}; give the function that name")
    if name in _IMPORTS or hasattr(builtins, name):
        raise FunctionError(f"{name!r} means something else in the file of the function; choose another name")


def _literal(value: str | float) -> str:
    """Return a value as source, a pattern as a raw string."""
    is_pattern = isinstance(value, str) and "\\" in value and value.isprintable() and not value.endswith("\\")
    return f'r"{value}"' if is_pattern and '"' not in str(value) else repr(value)


def with_imports(source: str, there: str = "") -> str:
    """Return the source of a function behind the imports that it needs and ``there``, a file's text, does not have.

    Raises
    ------
    FunctionError
        If the text uses one of the names for something else, or one of the functions' names is taken.
    """
    bound = _bound(ast.parse(there))
    used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    names = [name for name in _IMPORTS if name in used]
    for name in names:
        if bound.get(name, _IMPORTS[name]) != _IMPORTS[name]:
            raise FunctionError(f"{name!r} means something else in the file than weaklm's; choose another file")
    missing = [name for name in names if name not in bound]
    modules = [f"import {name}\n" for name in missing if not _IMPORTS[name]]
    ours = ", ".join(name for name in missing if _IMPORTS[name])
    blocks = ["".join(modules), f"from weaklm import {ours}\n" if ours else "", f"\n{source}" if missing else source]
    return "\n".join(block for block in blocks if block)


def append(source: str, name: str, path: str | Path, *, new_file: str = _NEW_FILE) -> Any:
    """Write a function at the end of a file, made to begin with ``new_file`` if need be; return it, loaded from there.

    Raises
    ------
    FunctionError
        If the name is taken in the file, or the file does not load; then nothing is written.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise FunctionError(f"{path} does not end in .py; functions are written to a Python file, such as lfs/mine.py")
    before = path.read_bytes() if path.exists() else None
    known = {function.name for function in load(path)} if before else set()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(before or b"").readline)
    there = (before or b"").decode(encoding)
    if name in known | _bound(ast.parse(there)).keys():
        raise FunctionError(f"{path} has a {name!r} already; accept the suggestion with another name=...")
    text = _joined(there, with_imports(source, there), new_file)
    compile(text, str(path), "exec")
    try:
        after = text.encode(encoding)
    except UnicodeEncodeError as error:
        letters = text[error.start : error.end]
        raise FunctionError(f"{path} is in {encoding}, which has no {letters!r}; save it as UTF-8") from error
    return _written(name, path, before, after)


def _written(name: str, path: Path, before: bytes | None, after: bytes) -> Any:
    """Write the file and return the function loaded from it; as it was ``before`` where it does not load."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(after)
    try:
        found = [function for function in load(path) if function.name == name]
        if not found:
            raise FunctionError(f"{path} does not give the function {name!r} when it is loaded; choose another file")
    except BaseException:
        if before is None:
            path.unlink()
        else:
            with atomic_file(path) as temporary:
                temporary.write_bytes(before)
        raise
    return found[0]


def _joined(there: str, new: str, new_file: str) -> str:
    """Return the text of a file with new lines at its end, which end as its lines do."""
    ending = "\r\n" if "\r\n" in there else "\n"
    if not there.strip():
        return (there or new_file) + new.replace("\n", ending)
    n_ends = there[len(there.rstrip("\r\n")) :].count("\n")
    return there + ("\n" * max(0, 3 - n_ends) + new).replace("\n", ending)


def _bound(tree: ast.AST) -> dict[str, str | None]:
    """Return the names that a module gives a meaning: where an import takes them from, None for all else.

    What is there for type checkers only has none.
    """
    bound: dict[str, str | None] = {}
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            bound |= _bound(ast.Module(node.orelse, []))
        elif isinstance(node, ast.ImportFrom):
            bound |= {n.asname or n.name: node.module if n.asname in (None, n.name) else None for n in node.names}
        elif isinstance(node, ast.Import):
            bound |= {n.asname or n.name.split(".")[0]: "" if n.asname is None else None for n in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound[node.name] = None  # and not what is inside
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = None
        elif not isinstance(node, ast.Lambda):
            bound |= _bound(node)
    return bound
