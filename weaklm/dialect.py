r"""Python's regular expressions in the dialect of polars, whose engine is linear in the length of the text.

The two dialects look alike and differ in what counts: ``$`` before a last line end, ``\d \w \s \b`` beyond ASCII, case,
what a repeat of nothing gives. So a pattern is taken apart by Python's own parser and written anew, node by node; what
has no equal is refused. The result says what Python says of every text of which :func:`weaklm.columns.ordinary` is
true, and mostly is built of classes that say exactly which characters are meant.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Literal
from unicodedata import category

Use = Literal["search", "match", "fullmatch", "count"]
Node = tuple[Any, Any]  # as Python's parser gives it: the kind and its arguments


class Unportable(Exception):  # noqa: N818 (a finding, no mistake)
    """A pattern has no equal in polars' regex engine; the message says why in one line."""


def portable(pattern: str | re.Pattern[str], flags: int = 0, *, use: Use, lowered: bool = False) -> str:
    r"""Return the pattern for polars' regex engine, with the meaning that it has for Python on ordinary texts.

    Parameters
    ----------
    pattern
        A pattern of ``re``, as text or compiled.
    flags
        Those of ``re``; none for a compiled pattern, which has its own.
    use
        ``"search"``, ``"match"`` or ``"fullmatch"``: ``text.str.contains`` of the result tells whether that function
        of ``re`` finds a match. ``"count"``: ``text.str.count_matches`` of the result is ``len(re.findall(...))``, and
        ``text.str.extract_all`` gives the matches.
    lowered
        The result is for the texts in lower case, where a pattern that does not regard case runs up to ten times
        faster.

    Raises
    ------
    Unportable
        If the pattern is invalid, or the engine lacks what it uses: lookaround, back references ...

    Examples
    --------
    >>> portable(r"fees?$", use="search")
    'fee(?:s)?\\n?\\z'
    >>> portable(r"no fee", re.IGNORECASE, use="search", lowered=True)
    'no fee'
    >>> portable(r"(?<=\$)5", use="search")
    Traceback (most recent call last):
        ...
    weaklm.dialect.Unportable: it looks ahead or behind
    """
    source, flags = (pattern.pattern, pattern.flags) if isinstance(pattern, re.Pattern) else (pattern, flags)
    if not isinstance(source, str):
        raise Unportable("it is a pattern for bytes")
    return _portable(source, int(flags), use, lowered)


@lru_cache(maxsize=512)
def _portable(source: str, flags: int, use: Use, lowered: bool) -> str:
    try:
        parsed = sre_parser.parse(source, flags)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise Unportable(f"it is no valid pattern: {error}") from error
    if use == "count" and parsed.getwidth()[0] == 0:
        raise Unportable("it matches the empty text, which polars counts in its own way")
    body = _Translator(use, lowered).sequence(list(parsed), parsed.state.flags, is_tail=use != "count")
    if use in ("match", "fullmatch"):
        body = rf"\A(?:{body})" + (r"\z" if use == "fullmatch" else "")
    _check_compiles(body)
    return body


def _check_compiles(pattern: str) -> None:
    import polars as pl

    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        raise Unportable("polars cannot compile it; it may be too large") from error


WORD = r"[\p{L}\p{N}_]"  # Python's \w; that of polars has marks and joiners too, but not numbers such as "½"

_LOOKS = "it looks ahead or behind"
_REFUSED = {
    sre.ASSERT: _LOOKS,
    sre.ASSERT_NOT: _LOOKS,
    sre.GROUPREF: "it refers back to a group",
    sre.GROUPREF_EXISTS: "it asks whether a group matched",
    sre.ATOMIC_GROUP: "it has an atomic group",
    sre.POSSESSIVE_REPEAT: "it has a possessive repeat",
    sre.FAILURE: "it has a part that never matches",
}
# No ordinary text has other digits, which would cost the engine its fast ways; \d shows what the class stands for.
_DIGIT = r"[0-9&&\d]"
_UNICODE = {sre.CATEGORY_WORD: WORD, sre.CATEGORY_DIGIT: _DIGIT, sre.CATEGORY_SPACE: r"[\s\x1c-\x1f]"}
_ASCII = {sre.CATEGORY_WORD: "[0-9A-Za-z_]", sre.CATEGORY_DIGIT: "[0-9]", sre.CATEGORY_SPACE: r"[\t-\r ]"}
_OPPOSITE = {
    sre.CATEGORY_NOT_WORD: sre.CATEGORY_WORD,
    sre.CATEGORY_NOT_DIGIT: sre.CATEGORY_DIGIT,
    sre.CATEGORY_NOT_SPACE: sre.CATEGORY_SPACE,
}


class _Translator:
    """Writes the syntax tree of a Python pattern in the dialect of polars, node by node."""

    def __init__(self, use: Use, lowered: bool) -> None:
        self.use, self.lowered = use, lowered

    def sequence(
        self,
        nodes: Sequence[Node],
        flags: int,
        *,
        is_tail: bool,
        before: Sequence[Node] = (),
        after: Sequence[Node] = (),
    ) -> str:
        """Translate nodes that follow each other, given what stands after them and, in reverse order, before them.

        Nothing is said of what stands around a part that is repeated.
        """
        parts = []
        for i, node in enumerate(nodes):
            around = [*nodes[:i][::-1], *before], [*nodes[i + 1 :], *after]
            parts.append(self.node(node, flags, is_tail and i == len(nodes) - 1, *around))
        return "".join(parts)

    def node(self, node: Node, flags: int, is_tail: bool, before: Sequence[Node], after: Sequence[Node]) -> str:
        """Translate one node; a tail has nothing after it."""
        kind, value = node
        if kind in _REFUSED:
            raise Unportable(_REFUSED[kind])
        if kind is sre.AT:
            return self.place(value, flags, is_tail, before, after)
        if kind is sre.BRANCH:
            branches = (self.sequence(b, flags, is_tail=is_tail, before=before, after=after) for b in value[1])
            return f"(?:{'|'.join(branches)})"
        if kind is sre.SUBPATTERN:
            _, added, removed, inner = value
            flags = _scoped(flags, added, removed)
            return f"(?:{self.sequence(inner, flags, is_tail=is_tail, before=before, after=after)})"
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            return self.repeat(kind, value, flags)
        if self.lowered and not flags & re.IGNORECASE:
            raise Unportable("it regards case")
        return _one_character(node, flags, self.lowered)

    def repeat(self, kind: Any, value: Any, flags: int) -> str:
        """Translate a repeat, greedy or not."""
        least, most, inner = value
        if most > 1 and inner.getwidth()[0] == 0:
            raise Unportable("it repeats what may be empty")
        times = {(0, 1): "?", (0, sre.MAXREPEAT): "*", (1, sre.MAXREPEAT): "+"}.get((least, most))
        if times is None:
            times = f"{{{least},{'' if most is sre.MAXREPEAT else most}}}"
        body = self.sequence(inner, flags, is_tail=False)
        return f"(?:{body}){times}{'?' if kind is sre.MIN_REPEAT else ''}"

    def place(self, value: Any, flags: int, is_tail: bool, before: Sequence[Node], after: Sequence[Node]) -> str:
        r"""Translate what matches between characters: ``^ $ \A \Z \b \B``."""
        if value is sre.AT_BEGINNING_STRING or (value is sre.AT_BEGINNING and not flags & re.MULTILINE):
            return r"\A"
        if value is sre.AT_END_STRING:
            return r"\z"
        if value is sre.AT_BEGINNING:
            return "(?m:^)"
        if value is sre.AT_END:
            return self.end(flags, is_tail)
        mark = r"\b" if value is sre.AT_BOUNDARY else r"\B"
        if flags & re.ASCII and mark == r"\b":
            return r"(?-u:\b)"
        if flags & re.ASCII or not (_is_word(before, -1) or _is_word(after, 1)):
            raise Unportable(rf"it has {mark} with no letter, digit or _ at its side")
        return mark

    def end(self, flags: int, is_tail: bool) -> str:
        """Translate ``$``, which is also before a last line end; only at the tail may that line end be taken in."""
        if flags & re.MULTILINE:
            return "(?m:$)"
        if not is_tail:
            raise Unportable("it has $ before its end")
        return "" if self.use == "fullmatch" else r"\n?\z"


def _scoped(flags: int, added: int, removed: int) -> int:
    if (flags ^ added) & added & (re.ASCII | re.UNICODE):
        raise Unportable("it has (?a:...) or (?u:...), which Python's search mixes with the flags outside")
    return (flags | added) & ~removed


# Beside \b


def _is_word(nodes: Iterable[Node], step: Literal[1, -1]) -> bool:
    """Tell whether a letter, digit or _ is sure to come next, walking through nodes in the direction of the step."""
    return all(node is not None and _takes_word(*node) for node in _next(nodes, step))


def _next(nodes: Iterable[Node], step: Literal[1, -1]) -> Iterator[Node | None]:
    """Yield the nodes that may take the next character; None if all may be empty."""
    for kind, value in nodes:
        if kind is sre.AT:
            continue
        if kind is sre.BRANCH:
            options = value[1]
        elif kind is sre.SUBPATTERN:
            options = [value[3]]
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            options = [value[2]] if value[0] else [value[2], []]
        else:
            yield kind, value
            return
        found = [node for option in options for node in _next(list(option)[::step], step)]
        yield from (node for node in found if node is not None)
        if None not in found:
            return
    yield None


def _takes_word(kind: Any, value: Any) -> bool:
    if kind is sre.LITERAL:
        return _are_word(value, value)
    return kind is sre.IN and all(_item_takes_word(*item) for item in value)


def _item_takes_word(kind: Any, value: Any) -> bool:
    if kind is sre.CATEGORY:
        return value in (sre.CATEGORY_WORD, sre.CATEGORY_DIGIT)
    return kind is not sre.NEGATE and _are_word(*(value if kind is sre.RANGE else (value, value)))


def _are_word(first: int, last: int) -> bool:
    codes = range(first, last + 1)
    return len(codes) < 1000 and all(code == ord("_") or category(chr(code)) in _WORD_CATEGORIES for code in codes)


_WORD_CATEGORIES = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl"))


# Characters


def _one_character(node: Node, flags: int, lowered: bool) -> str:
    """Translate a node that takes one character: a literal, a dot, a class."""
    kind, value = node
    if kind is sre.ANY:
        return "(?s:.)" if flags & re.DOTALL else r"[^\n]"
    items = value if kind is sre.IN else [(sre.LITERAL, value)]
    ranges = [(v, v) if of is sre.LITERAL else v for of, v in items if of in (sre.LITERAL, sre.RANGE)]
    if flags & re.IGNORECASE:
        ranges = _any_case(ranges, bool(flags & re.ASCII))
    if lowered:
        if any(b > 0xFFFF for _, b in ranges):
            raise Unportable("it has a range that Python compares in both cases")
        ranges = [(a, b) for a, b in ranges if a != b or chr(a).lower() == chr(a)]
    parts = [_escaped(a) if a == b else f"{_escaped(a)}-{_escaped(b)}" for a, b in ranges]
    parts += [_category(v, flags) for of, v in items if of is sre.CATEGORY]
    is_negated = kind is sre.NOT_LITERAL or items[0][0] is sre.NEGATE
    if len(parts) == 1 and not is_negated and (ranges[0][0] == ranges[0][1] if ranges else parts[0][0] == "["):
        return parts[0]
    return f"[{'^' if is_negated else ''}{''.join(parts)}]"


def _category(name: Any, flags: int) -> str:
    known = _ASCII if flags & re.ASCII else _UNICODE
    return known[name] if name in known else f"[^{known[_OPPOSITE[name]]}]"


def literal(text: str) -> str:
    r"""Return the pattern that matches a text and nothing else.

    >>> literal("C++")
    'C\\x{2b}\\x{2b}'
    """
    return "".join(_escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and (char.isalnum() or char in " _'\"") else f"\\x{{{code:x}}}"


def _any_case(ranges: list[tuple[int, int]], is_ascii: bool) -> list[tuple[int, int]]:
    """Return the ranges with all that Python takes for the same, apart from what no ordinary text holds."""
    letters = {chr(code) for a, b in ranges for code in range(a, min(b, 127) + 1)}
    found = {char.swapcase() for char in letters if char.isalpha()} - letters
    if not is_ascii and any(b > 127 for _, b in ranges):
        spans = "".join(rf"\U{a:08x}-\U{b:08x}" for a, b in ranges)
        found.update(re.findall(f"[{spans}]", _cased(), re.IGNORECASE))
    return ranges + [(code, code) for code in sorted(map(ord, found)) if not any(a <= code <= b for a, b in ranges)]


@lru_cache(maxsize=1)
def _cased() -> str:
    """Return every character that has another case."""
    return "".join(char for char in map(chr, range(0x1F000)) if char.lower() != char or char.upper() != char)
