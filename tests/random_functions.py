"""Random small functions as source text, from a grammar: what people write, and what they could."""

import random
import re
from collections.abc import Callable

HEAD = '''import re

from weaklm import ABSTAIN, ACCEPT, REJECT


def clean(text):
    """Small letters, no spaces around."""
    text = text.strip()
    return text.lower()


def count_of(text, part="a"):
    return text.count(part)


def has(text, words):
    for word in words:
        if word in text:
            return True
    return False


def short(text, limit=3):
    n = len(text.split())
    if n == 0:
        return True
    return n < limit
'''

_NEEDLES = ["sorry", "Sorry", "a", "i", "K", "k", "\u017f", "\xe9", "\xdf", "\u03c3", " ", "yes", "no", "", "\n", "A"]
_NEEDLES += ["ai", "1", ".", "the", "\xa0", "\u0130", "fee", "SS", "ss"]
_PATTERNS = [r"\bfee\b", r"\d+", r"^\s*\w+:", r"[A-Z]{2,}", r"(?i)sorry", r"sorry|yes", r"\w+\?", r"a.c", r"\s{2,}"]
_PATTERNS += [r"[^\w\s]", r"^yes$", r"(a)(b)?", r"k\b", r"(?m)^-", r"i", r"\S+@\S+", r"[aeiou]", r"no\Z"]

# What stands for each kind of thing; those at the front may stand deep inside others.
_FORMS = {
    "text": [
        *("x.response", "x.instruction", "x.context", 'x["response"]', "x.source", 'getattr(x, "response", "")'),
        *("<text>.lower()", "<text>.lower()", "<text>.strip()", "<text>.upper()", "<text>.casefold()", "str(<text>)"),
        *("<text>.rstrip(<needle>)", "<text>.lstrip()", "<text>.removeprefix(<needle>)", "clean(<text>)"),
        *("(<text> + <text>)", "(<text> + <needle>)", 'f"{x.response} {x.context}"', "' '.join(<words>)"),
        *("<text>[:<small>]", "<text>[<small>:]", "<text>[1:<small>]", "<text>[<small>]", "<text>.split()[<small>]"),
        *("<text>.replace(<needle>, <needle>)", "<text>.split(<needle>)[0]", "re.sub(<pattern>, <needle>, <text>)"),
        *("(<text> or <text>)", "(<text> if <bool> else <text>)"),
    ],
    "words": [
        *("x.response.split()", "x.context.lower().split()"),
        *("<text>.split()", "<text>.lower().split()", "<text>.split(<needle>)", "<text>.splitlines()"),
        *("[w for w in x.response.split() if <item>]", "x.response.split()[:<small>]", "set(x.context.split())"),
        "re.findall(<pattern>, <text>)",
    ],
    "item": [  # a truth about the word w
        *("w in <needles>", "len(w) > 2", "w.isupper()", "w", "w.isdigit()", "w.lower() in <needles>"),
        *("w.startswith(<needle>)", "<needle> in w", "w.strip('.,!') == <needle>", "w[0] == <needle>"),
        *("re.match(<pattern>, w)", "w in x.context", "w.count(<needle>) == 1"),
    ],
    "char": [  # a truth about the character c
        *("c.isupper()", "c.isdigit()", "c in 'aeiouAEIOU'", "c == 'a'", "c.isalpha()", "c.isspace()"),
        "not c.isalnum() and c != ' '",
    ],
    "number": [
        *("len(x.response)", "len(x.context.split())", "<small>", "0.5", "x.n", "x.m", "x.score", "x.flag"),
        *("len(<text>)", "len(<words>)", "<text>.count(<needle>)", "count_of(<text>, <needle>)", "len(set(<words>))"),
        *("(<number> + <number>)", "(<number> - <number>)", "(<number> * <number>)", "(<number> / <number>)"),
        *("(<number> // <number>)", "(<number> % <number>)", "<number> ** 2", "abs(<number>)", "-<number>"),
        *("max(<number>, <number>)", "min(<number>, <number>)", "float(<number>)", "int(<bool>)", "(x.m or <number>)"),
        *(
            "sum(<char> for c in x.response)",
            "sum(1 for c in x.context if <char>)",
            "len([c for c in <text> if <char>])",
        ),
        *("sum(1 for w in <words> if <item>)", "sum(w in <needles> for w in <words>)", "sum(2 for w in <words>)"),
        *("sum(w in <text> for w in <needles>)", "sum(x.response.count(w) for w in <needles>)"),
        *(
            "len(re.findall(<pattern>, <text>))",
            "sum(1 for m in re.finditer(<pattern>, <text>))",
            "<text>.find(<needle>)",
        ),
        *("max((len(w) for w in <words>), default=0)", "min(len(w) for w in <words>)", "sum(len(w) for w in <words>)"),
        *("len(set(<words>) & set(<words>))", "len(set(<words>) - set(<words>))", "len({'yes', 'a'} & set(<words>))"),
        *("len([w for w in <needles> if w in x.response])", "sum([<number>, <number>])", "len([<text>, <text>])"),
        "(<number> if <bool> else <number>)",
    ],
    "bool": [
        *("<needle> in x.response", "<needle> in x.response.lower()", "x.flag", "x.source.startswith(<needle>)"),
        *("<needle> in <text>", "<needle> not in <text>.lower()", "<text> in <text>", "<needle> in <words>"),
        *(
            "(<bool> and <bool>)",
            "(<bool> or <bool>)",
            "not <bool>",
            "(<bool> or <bool> or <bool>)",
            "<text>",
            "<number>",
        ),
        *("<number> <sign> <number>", "<small> < <number> <= 9", "<text> <sign> <text>", "<text> == <needle>"),
        *(
            "<text> in <needles>",
            "<text> not in <needles>",
            "<text> in (<text>, <needle>)",
            "<number> in (1, 0.5, 'a', None)",
        ),
        *("any(w in <text> for w in <needles>)", "all(w in <text> for w in <needles>)", "has(<text>, <needles>)"),
        *("any(<item> for w in <words>)", "all(<item> for w in <words>)", "any([<bool>, <bool>])", "<words>"),
        *("any(<char> for c in <text>)", "all(<char> for c in <text>)", "all(c.isalpha() for c in <text> if <char>)"),
        *("<text>.startswith(<needle>)", "<text>.endswith((<needle>, <needle>))", "<text>.lower().endswith(<needle>)"),
        *("<text>.lower().startswith((<needle>, <needle>))", "<text>.lower().strip() in <needles>", "<words> == []"),
        *("re.search(<pattern>, <text>)", "bool(re.match(<pattern>, <text>, re.I))", "short(<text>)"),
        *("re.fullmatch(<pattern>, <text>) is None", "re.search(<pattern>, <text>) is not None"),
        *("set(<words>) & {'yes', 'sorry', 'a'}", "{'yes', 'a'}.isdisjoint(<words>)", "x.flag is True"),
        *("<text>.isupper()", "<text>.islower()", "<text>.isdigit()", "<text>.isalpha()", "<text>.isalnum()"),
        *("<text>.isspace()", "<text>.isascii()", "isinstance(<text>, str)", "x.score is not None", "x.source is None"),
        *("(<bool> if <bool> else <bool>)", "(<bool>) == (<bool>)", "(<needle> in <text>) & (<number> > 2)"),
        *("any(w == <text> for w in <needles>)", "any(t in x.context for t in (x.source, <needle>))"),
        *("short(text=<text>, limit=<number>)", "sorted(<needles>)[0] in <text>"),
    ],
    "sign": ["<", "<=", ">", ">=", "==", "!="],
    "vote": ["0", "1", "-1", "REJECT", "ACCEPT", "ABSTAIN"],
}
_PLAIN = {"text": 6, "words": 2, "item": 5, "char": 7, "number": 8, "bool": 4, "sign": 6, "vote": 6}
_DEEPEST = 12


class Writer:
    """Writes functions of an example ``x`` that return a vote, now and then something else; seeded."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._forms = {kind: list(forms) for kind, forms in _FORMS.items()}
        self._written = 0  # forms in this expression
        self._names = 0

    def function(self, name: str) -> str:
        """Return the source of a function."""
        body = self._statements(1)
        last = ["<vote> if <bool> else <vote>"] * 6 + ["<vote>", "int(bool(<bool>)) - 1", "x.n", "<bool>"]
        return "\n".join([f"def {name}(x):", *body, f"    return {self._expression(self._random.choice(last))}"])

    def _expression(self, form: str) -> str:
        self._written = 0
        return self._filled(form)

    def _filled(self, form: str) -> str:
        return re.sub(r"<(\w+)>", lambda match: self._one(match[1]), form)

    def _one(self, kind: str) -> str:
        if kind == "small":
            return str(self._random.randint(-3, 9))
        if kind == "needle":
            return repr(self._random.choice(_NEEDLES))
        if kind == "pattern":
            return repr(self._random.choice(_PATTERNS))
        if kind == "needles":
            chosen = ", ".join(map(repr, self._random.sample(_NEEDLES, self._random.randint(1, 4))))
            return self._random.choice([f"({chosen},)", f"[{chosen}]", f"{{{chosen}}}"])
        self._written += 1
        is_plain = self._written > _DEEPEST or self._random.random() < 0.3
        forms = self._forms[kind]
        return self._filled(self._random.choice(forms[: _PLAIN[kind]] if is_plain else forms))

    def _statements(self, level: int) -> list[str]:
        writers: list[Callable[[int], list[str]]] = [self._count, self._loop]
        writers += [self._assignment] * 4 + [self._return] * 4
        if level < 3:
            writers.append(self._nested)
        lines: list[str] = []
        for _ in range(self._random.randint(1, 3)):
            lines += [f"    {line}" for line in self._random.choice(writers)(level)]
        return lines

    def _new(self, kind: str) -> str:
        self._names += 1
        self._forms[kind] += [f"{kind}{self._names}"] * (len(self._forms[kind]) // 4)
        return f"{kind}{self._names}"

    def _assignment(self, _: int) -> list[str]:
        kind = self._random.choice(["text", "number", "bool"])
        value = self._expression(f"<{kind}>")
        return [f"{self._new(kind)} = {value}"]

    def _return(self, _: int) -> list[str]:
        lines = [self._expression("if <bool>:"), self._expression("    return <vote>")]
        if self._random.random() < 0.3:
            lines += [self._expression("elif <bool>:"), self._expression("    return <vote>")]
        return lines

    def _count(self, _: int) -> list[str]:
        first, test, more = (self._expression(form) for form in ("<number>", "if <bool>:", "<number>"))
        name = self._new("number")
        change = self._random.choice([f"{name} += 1", f"{name} -= 2", f"{name} = {more}"])
        return [f"{name} = {first}", test, f"    {change}"]

    def _loop(self, _: int) -> list[str]:
        test = self._expression(self._random.choice(["w in <text>", "w.lower() in <text>.lower()"]))
        if self._random.random() < 0.5:
            return [
                self._expression("for w in <needles>:"),
                f"    if {test}:",
                self._expression("        return <vote>"),
            ]
        loop, name = self._expression("for w in <needles>:"), self._new("number")
        return [f"{name} = 0", loop, f"    if {test}:", f"        {name} += 1"]

    def _nested(self, level: int) -> list[str]:
        test = self._expression("if <bool>:")
        known = {kind: list(forms) for kind, forms in self._forms.items()}
        lines = self._statements(level + 1)
        self._forms = known
        return [test, *lines]
