"""What must hold of a text for an expression to be right: guards, kept to the end where the text is part of a column.

A column is looked at once for all that the function does with it: the expression carries the guard, and the votes are
null on the rows that do not meet it. A text that was put together is looked at where it is used.
"""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from weaklm.columns import ordinary
from weaklm.compiler.symbols import Symbol

# Letters, digits and marks of Western texts: what a loop over the characters of a text is run for
ALPHABET = "".join(map(chr, (*range(0x180), *range(0x2010, 0x2028), 0x20AC, 0x2122)))
_NOT_IN_ALPHABET = r"[^\x00-\x{17f}\x{2010}-\x{2027}\x{20ac}\x{2122}]"
_CASED_MARKS = r"[[\p{Uppercase}\p{Lowercase}]--[\p{Lu}\p{Ll}]]"  # not the same in each version of Unicode
_OTHER_LINE_ENDS = "[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"


def ascii_only(text: pl.Expr) -> pl.Expr:
    """Return the truth that a text is ASCII."""
    return text.str.len_bytes() == text.str.len_chars()


def unless_ascii(text: pl.Expr) -> pl.Expr:
    """Return the text, empty where it is ASCII, for a slow test of the others."""
    return pl.when(ascii_only(text)).then(pl.lit("")).otherwise(text)


GUARDS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "ordinary": ordinary,
    "ascii": ascii_only,
    "in the alphabet": lambda text: ~unless_ascii(text).str.contains(_NOT_IN_ALPHABET),
    "case of letters only": lambda text: ~unless_ascii(text).str.contains(_CASED_MARKS),
    "one kind of line end": lambda text: ~text.str.contains(_OTHER_LINE_ENDS),
}


def guarded(result: Symbol, text: Symbol, guard: str) -> Symbol:
    """Return what was made of a text, right only where the text meets a guard: a key of ``GUARDS``."""
    if text.columns:
        return replace(result, guards=result.guards | {(guard, column) for column in text.columns})
    return replace(result, expr=pl.when(GUARDS[guard](text.expr)).then(result.expr), certain=False)
