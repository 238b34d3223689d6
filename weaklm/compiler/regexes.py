"""The functions of ``re`` on columns, for constant patterns."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from weaklm import columns
from weaklm.columns import Unportable, Use, portable
from weaklm.compiler.constants import constant, python
from weaklm.compiler.guards import guarded
from weaklm.compiler.symbols import ITEM, MATCH, Matches, Symbol, Unsupported, described, made


def _matcher(use: Use) -> Callable[..., Symbol]:
    def match(pattern: Any, string: Any, flags: Any = 0) -> Symbol:
        expr, is_sensitive = _portable(pattern, string, flags, use)
        found = columns.search(string.expr, pattern, flags) if use == "search" else string.expr.str.contains(expr)
        return _guarded(made("match", found, string), string, is_sensitive)

    return match


def _findall(pattern: Any, string: Any, flags: Any = 0) -> Symbol:
    expr, is_sensitive = _portable(pattern, string, flags, "count")
    item = ITEM if re.compile(pattern, flags).groups == 0 else None  # else it gives the groups
    known = {"columns": string.columns, "item": item, "origin": Matches(_guarded(string, string, is_sensitive), expr)}
    return _guarded(made("list", string.expr.str.extract_all(expr), string, **known), string, is_sensitive)


def _finditer(pattern: Any, string: Any, flags: Any = 0) -> Symbol:
    return replace(_findall(pattern, string, flags), kind="iterator", item=MATCH)


def _sub(pattern: Any, repl: Any, string: Any, count: Any = 0, flags: Any = 0) -> Symbol:
    if constant(count, int, "a count") or "\\" in constant(repl, str, "a replacement"):
        raise Unsupported("a replacement that refers to groups, or of the first matches only")
    expr, is_sensitive = _portable(pattern, string, flags, "count")
    replaced = made("str", string.expr.str.replace_all(expr, repl.replace("$", "$$")), string)
    return _guarded(replaced, string, is_sensitive)


def _guarded(result: Symbol, text: Symbol, is_sensitive: bool) -> Symbol:
    return guarded(result, text, "ordinary") if is_sensitive else result


def _portable(pattern: Any, string: Any, flags: Any, use: Use) -> tuple[str, bool]:
    """Return the pattern for polars, and whether it is right on ordinary texts only."""
    constant(pattern, (str, re.Pattern), "a pattern")
    constant(flags, int, "flags")
    if not isinstance(string, Symbol) or string.kind != "str":
        raise Unsupported(f"a pattern on {described(string)}")
    compiled = python(re.compile, pattern, flags)
    try:
        expr = portable(pattern, flags, use=use)
    except Unportable as error:
        shown = compiled.pattern if len(compiled.pattern) <= 40 else f"{compiled.pattern[:37]}..."
        raise Unsupported(f"the pattern {shown!r}: {error}") from error
    ignores_case = compiled.flags & re.IGNORECASE or re.search(r"\(\?[a-z]*i", compiled.pattern)
    # Any other pattern names every character that it means.
    return expr, bool(ignores_case or re.search(r"\\[bBdDpPwW]", expr))


FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    re.search: _matcher("search"),
    re.match: _matcher("match"),
    re.fullmatch: _matcher("fullmatch"),
    re.findall: _findall,
    re.finditer: _finditer,
    re.sub: _sub,
}


def _method(name: str) -> Callable[..., Symbol]:
    entry = FUNCTIONS[getattr(re, name)]

    def method(pattern: Any, string: Any) -> Symbol:  # no bounds, which Python takes here
        return entry(pattern, string)

    def sub(pattern: Any, repl: Any, string: Any, count: Any = 0) -> Symbol:
        return entry(pattern, repl, string, count)

    return sub if name == "sub" else method


METHODS = {function.__name__: _method(function.__name__) for function in FUNCTIONS}  # of a compiled pattern
