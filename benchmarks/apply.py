"""How fast do functions run, against Snorkel's appliers: the same functions, the same rows, in one run?

    python benchmarks/apply.py [--rows 100000] [--rounds 5] [--only declared compiled rows shared cache dask memory]

The rows are made on the spot: a Zipf vocabulary of 8,000 words, responses of about 800 characters, instructions of 15
words. Snorkel gets its own labeling functions around the same Python functions, on columns of plain Python strings
(faster for it than Arrow's). The two take turns; the median of the ratios counts. What is "on one core" runs in a
process that may use one core only, polars and all.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import weaklm as wl
from weaklm import ABSTAIN, ACCEPT, REJECT, LabelingFunction

SECTIONS = ("declared", "patterns", "compiled", "rows", "workers", "shared", "cache", "dask", "memory")


def make_rows(n_rows: int, random_state: int = 0) -> pd.DataFrame:
    """Return a frame of ``n_rows`` made-up answers of about 800 characters."""
    rng = np.random.default_rng(random_state)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    vocabulary = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, 7_980)]
    vocabulary += [
        "sorry",
        "because",
        "however",
        "error",
        "http://",
        "I'm",
        "60",
        "$95",
        "2024",
        "TODO",
        "```",
        "unfortunately",
        "refund",
        "card",
        "bank",
    ]
    weights = 1 / np.arange(1, len(vocabulary) + 1)
    # One permutation for all, so that the telling words are neither all rare nor all common.
    order = rng.permutation(len(vocabulary))
    drawn = rng.choice(order, size=(n_rows, 145), p=weights / weights.sum())
    marks = rng.choice(["", "", "", "", "", "", ".", ",", "?"], size=(n_rows, 145))
    texts = [
        " ".join(vocabulary[word] + mark for word, mark in zip(words, line, strict=True))
        for words, line in zip(drawn, marks, strict=True)
    ]
    opening = rng.choice(["", "", "", "", "", "Sorry, ", "Unfortunately, ", "I cannot say. "], size=n_rows)
    closing = rng.choice(
        ["", "", "", "", "", " Anything else? ", "\n- one\n- two", " NOTE \u2013 it costs \u20ac5."], size=n_rows
    )
    texts = [first + text + last for first, text, last in zip(opening, texts, closing, strict=True)]
    frame = pd.DataFrame({"instruction": [" ".join(text.split()[:15]) for text in texts], "response": texts})
    return wl.read(frame.assign(context=[text[-400:] for text in texts], id=[f"row-{i}" for i in range(n_rows)]))


# Twenty functions as people write them, all of a shape that can be compiled: ten regular expressions, four keywords,
# three lengths, three statistics.

MONEY = re.compile(r"\$\d+(?:\.\d\d)?")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")
URL = re.compile(r"https?://\S+")
WORDS = ("sorry", "apolog", "regret", "unable")


def has_money(x: Any) -> int:
    return ACCEPT if MONEY.search(x.response) else ABSTAIN


def has_year(x: Any) -> int:
    if YEAR.search(x.response):
        return ACCEPT
    return ABSTAIN


def has_url(x: Any) -> int:
    return REJECT if URL.search(x.response) is not None else ABSTAIN


def has_fence(x: Any) -> int:
    return REJECT if re.search(r"```", x.response) else ABSTAIN


def refuses(x: Any) -> int:
    return REJECT if re.search(r"\b(?:can't|cannot|won't|unable to)\b", x.response, re.IGNORECASE) else ABSTAIN


def todo(x: Any) -> int:
    return REJECT if re.search(r"(?i)\b(?:todo|fixme|tbd)\b", x.response) else ABSTAIN


def many_numbers(x: Any) -> int:
    return ACCEPT if len(re.findall(r"\d+", x.response)) >= 4 else ABSTAIN


def steps(x: Any) -> int:
    return ACCEPT if re.search(r"^\s*(?:\d+\.|-)\s", x.response, re.MULTILINE) else ABSTAIN


def asks_back(x: Any) -> int:
    return REJECT if re.search(r"\?\s*$", x.response) else ABSTAIN


def shouts(x: Any) -> int:
    return REJECT if re.search(r"[A-Z]{4,}", x.response) else ABSTAIN


def says_sorry(x: Any) -> int:
    if "sorry" in x.response.lower():
        return REJECT
    return ABSTAIN


def regrets(x: Any) -> int:
    return REJECT if any(word in x.response.lower() for word in WORDS) else ABSTAIN


def gives_reason(x: Any) -> int:
    text = x.response.lower()
    return ACCEPT if "because" in text and "however" not in text else ABSTAIN


def opens_politely(x: Any) -> int:
    return REJECT if x.response.startswith(("Sorry", "Unfortunately", "I'm afraid")) else ABSTAIN


def too_short(x: Any) -> int:
    return REJECT if len(x.response.split()) < 120 else ABSTAIN


def too_long(x: Any) -> int:
    return REJECT if len(x.response) > 1_000 else ABSTAIN


def outgrows(x: Any) -> int:
    return REJECT if len(x.response) > 3 * len(x.context) else ABSTAIN


def many_questions(x: Any) -> int:
    return REJECT if x.response.count("?") > 20 else ABSTAIN


def commas(x: Any) -> int:
    n_words = len(x.response.split())
    if n_words == 0:
        return REJECT
    return ACCEPT if x.response.count(",") / n_words > 0.12 else ABSTAIN


def no_answer(x: Any) -> int:
    if not x.response.strip():
        return REJECT
    return REJECT if x.response.strip() == x.instruction.strip() else ABSTAIN


COMPILED = [
    *(has_money, has_year, has_url, has_fence, refuses, todo, many_numbers, steps, asks_back, shouts),
    *(says_sorry, regrets, gives_reason, opens_politely),
    *(too_short, too_long, outgrows, many_questions, commas, no_answer),
]


# Functions with loops, counters and look-ups that no compiler of ours takes.


def repeats_a_word(x: Any) -> int:
    before = ""
    for word in x.response[:300].split():
        if word == before:
            return REJECT
        before = word
    return ABSTAIN


def one_word_rules(x: Any) -> int:
    counts = Counter(x.instruction.split())
    return REJECT if counts.most_common(1)[0][1] > 4 else ABSTAIN


def unbalanced(x: Any) -> int:
    depth = 0
    for character in x.instruction:
        depth += (character == "(") - (character == ")")
    return REJECT if depth else ABSTAIN


def longest_word(x: Any) -> int:
    longest = max(x.instruction.split(), key=len, default="")
    return REJECT if len(longest) > 18 else ABSTAIN


def ends_in_list(x: Any) -> int:
    tail = x.response[-80:].splitlines()
    while tail and not tail[-1].strip():
        tail.pop()
    return REJECT if tail and tail[-1].startswith("- ") else ABSTAIN


def parses_as_number(x: Any) -> int:
    try:
        float(x.response)
    except ValueError:
        return ABSTAIN
    return REJECT


def same_opening(x: Any) -> int:
    n_same = 0
    for a, b in zip(x.instruction, x.response, strict=False):
        if a != b:
            break
        n_same += 1
    return REJECT if n_same > 90 else ABSTAIN


def vowels(x: Any) -> int:
    n_vowels = 0
    for character in x.response[:60]:
        n_vowels += character in "aeiou"
    return REJECT if n_vowels < 8 else ABSTAIN


def known_id(x: Any) -> int:
    head, _, tail = x.id.partition("-")
    return ACCEPT if head == "row" and int(tail) % 7 == 0 else ABSTAIN


def context_lines(x: Any) -> int:
    lines = {line.strip() for line in x.context.splitlines()}
    return REJECT if len(lines) > 3 else ABSTAIN


ROWS = [
    *(repeats_a_word, one_word_rules, unbalanced, longest_word, ends_in_list),
    *(parses_as_number, same_opening, vowels, known_id, context_lines),
]


# Ten functions that look at the words of the response, which one preprocessor makes.

TOKEN = re.compile(r"\w+|[^\w\s]")


def tokenise(x: Any) -> Any:
    x.tokens = [token.lower() for token in TOKEN.findall(x.response)]
    return x


def token_rule(word: str, times: int) -> Callable[[Any], int]:
    """Return a function that rejects when a word comes more often than ``times``."""

    def rule(x: Any) -> int:
        n_found = 0
        for token in x.tokens[:40]:
            if token == word:
                n_found += 1
        return REJECT if n_found > times else ABSTAIN

    return rule


TOKEN_RULES = {f"says_{word}": token_rule(word, times) for times, word in enumerate(("sorry", "because") * 5, 1)}
TOKEN_RULES = {f"{name}_{i}": rule for i, (name, rule) in enumerate(TOKEN_RULES.items())}


def declared() -> list[Any]:
    """Return twenty declarative functions in the mix of ``COMPILED``: patterns, words, lengths, comparisons."""
    from weaklm import patterns

    return [
        patterns.regex(r"\$\d+(?:\.\d\d)?", vote=ACCEPT, name="money"),
        patterns.regex(r"\b(?:19|20)\d\d\b", vote=ACCEPT, name="year"),
        patterns.regex(r"https?://\S+", vote=REJECT, name="url"),
        patterns.regex(r"```", vote=REJECT, name="fence"),
        patterns.regex(r"\b(?:can't|cannot|won't|unable to)\b", vote=REJECT, ignore_case=True, name="refuses"),
        patterns.regex(r"\b(?:todo|fixme|tbd)\b", vote=REJECT, ignore_case=True, name="todo"),
        patterns.regex(r"(?m)^\s*(?:\d+\.|-)\s", vote=ACCEPT, name="steps"),
        patterns.regex(r"\?\s*$", vote=REJECT, name="asks_back"),
        patterns.regex(r"[A-Z]{4,}", vote=REJECT, name="shouts"),
        patterns.regex(r"\d+\D+\d+\D+\d+\D+\d+", vote=ACCEPT, name="four_numbers"),
        patterns.keyword("sorry", vote=REJECT, name="sorry"),
        patterns.keyword(["because", "therefore", "due to"], vote=ACCEPT, name="reason"),
        patterns.contains_any(WORDS, vote=REJECT, name="regrets"),
        patterns.contains_any(["as an ai", "language model", "i cannot"], vote=REJECT, name="machine"),
        patterns.length(max_words=120, vote=REJECT, name="short"),
        patterns.length(min_words=170, vote=REJECT, name="long"),
        patterns.length(min_characters=1_000, vote=REJECT, name="many_characters"),
        patterns.overlap("response", "context", at_most=0.3, vote=REJECT, name="unsupported"),
        patterns.numbers_missing("response", "context", vote=REJECT, name="numbers"),
        patterns.field_in("source", ["llama", "people"], vote=ACCEPT, name="from_llama"),
    ]


COMPARISONS = ("unsupported", "numbers")  # of two texts: they read every word, in Python and on columns alike


def ours(functions: list[Any]) -> list[LabelingFunction]:
    """Return plain functions as our labeling functions."""
    return [LabelingFunction(f.__name__, f) for f in functions]


def theirs(functions: list[Any]) -> list[Any]:
    """Return the functions of ours as Snorkel's own objects."""
    from snorkel.labeling import LabelingFunction as SnorkelLabelingFunction

    return [SnorkelLabelingFunction(f.name, f._f, f._resources, f._pre) for f in functions]


def snorkel_votes(functions: list[Any], data: pd.DataFrame) -> NDArray[np.int_]:
    """Return the votes by Snorkel's PandasLFApplier."""
    from snorkel.labeling import PandasLFApplier

    return PandasLFApplier(functions).apply(data, progress_bar=False)


def compare(name: str, data: pd.DataFrame, rounds: int, ways: dict[str, Callable[[], Any]]) -> None:
    """Time the ways in turn, check that they vote alike, and print the rows a second as ratios to the last way."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        votes = {}
        for way, run in ways.items():
            began = time.perf_counter()
            votes[way] = np.asarray(run())
            seconds[way].append(time.perf_counter() - began)
        first = next(iter(votes.values()))
        assert all((other == first).all() for other in votes.values()), f"{name}: the ways vote differently"
    *_, base = ways
    for way, took in seconds.items():
        ratio = statistics.median(b / own for own, b in zip(took, seconds[base], strict=True))
        print(f"| {name} | {way} | {len(data) / statistics.median(took):,.0f} | {ratio:.1f} |", flush=True)


def run_section(section: str, n_rows: int, rounds: int) -> None:
    """Run one section; the caller has said how many cores it may use."""
    data = make_rows(n_rows)
    if section in ("declared", "patterns", "compiled"):
        functions = ours(COMPILED) if section == "compiled" else declared()
        if section == "patterns":
            functions = [function for function in functions if function.name not in COMPARISONS]
        peers = theirs(functions)
        ways = {"weaklm": lambda: _votes(functions, data), "Snorkel": lambda: snorkel_votes(peers, data)}
        compare(section, data, rounds, ways)
    elif section in ("rows", "workers"):
        functions = ours(ROWS)
        peers = theirs(functions)
        n_jobs = 2 if section == "workers" else None
        ways = {
            "weaklm": lambda: wl.LFApplier(functions, n_jobs=n_jobs).apply(data),
            "Snorkel": lambda: snorkel_votes(peers, data),
        }
        compare(f"{section}: {'two processes' if n_jobs else 'one process'}", data, rounds, ways)
    elif section == "shared":
        shared(data, rounds)
    elif section == "cache":
        edited(data, rounds)
    elif section == "dask":
        on_dask(data, rounds)


def _votes(functions: list[Any], data: pd.DataFrame) -> NDArray[np.int8]:
    L, meta = wl.LFApplier(functions).apply(data, return_meta=True)
    slow = {name: how for name, how in meta.ran.items() if how.startswith("rows")}
    assert not slow, slow
    return L


def shared(data: pd.DataFrame, rounds: int) -> None:
    """Compare ten functions behind one preprocessor; Snorkel with and without remembering."""
    from snorkel.labeling import LabelingFunction as SnorkelLabelingFunction
    from snorkel.preprocess import preprocessor as snorkel_preprocessor

    tokens = wl.preprocessor(tokenise)
    functions = [LabelingFunction(name, rule, pre=[tokens], compile=False) for name, rule in TOKEN_RULES.items()]

    def peers(memoize: bool) -> list[Any]:
        tokens = snorkel_preprocessor(memoize=memoize)(tokenise)
        return [SnorkelLabelingFunction(name, rule, pre=[tokens]) for name, rule in TOKEN_RULES.items()]

    ways = {
        "weaklm": lambda: wl.LFApplier(functions).apply(data),
        "Snorkel, memoize": lambda: snorkel_votes(peers(memoize=True), data),
        "Snorkel": lambda: snorkel_votes(peers(memoize=False), data),
    }
    compare("shared", data, rounds, ways)


def edited(data: pd.DataFrame, rounds: int) -> None:
    """Compare a run after an edit of one of twenty functions with a full run, all row by row."""
    plain = [*COMPILED[:10], *ROWS]
    functions = [LabelingFunction(f.__name__, f, compile=False) for f in plain]

    def edit(number: int) -> LabelingFunction:
        def edited_function(x: Any) -> int:
            return REJECT if len(x.response) + number < 0 else ABSTAIN

        return LabelingFunction("edited", edited_function, compile=False)

    with tempfile.TemporaryDirectory() as cache:
        wl.LFApplier(functions, cache=cache).apply(data)
        numbers = iter(range(10_000))
        ways = {
            "weaklm, one of 20 edited": lambda: wl.LFApplier([*functions[:-1], edit(next(numbers))], cache=cache).apply(
                data
            ),
            "weaklm, all 20": lambda: wl.LFApplier([*functions[:-1], edit(0)]).apply(data),
        }
        compare("cache", data, rounds, ways)
        peers = theirs([*functions[:-1], edit(0)])
        ways["Snorkel, all 20"] = lambda: snorkel_votes(peers, data)
        del ways["weaklm, all 20"]
        compare("cache", data, rounds, ways)


def on_dask(data: pd.DataFrame, rounds: int) -> None:
    """Compare with Snorkel's DaskLFApplier on a cluster of two processes (it needs fault_tolerant under pandas 3)."""
    import dask.dataframe as dd
    from distributed import Client, LocalCluster
    from snorkel.labeling.apply.dask import DaskLFApplier

    functions = ours(COMPILED)
    peers = theirs(functions)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        ways = {
            "weaklm, in process": lambda: wl.LFApplier(functions).apply(data),
            "weaklm, Dask": lambda: wl.LFApplier(functions, client=client).apply(data),
            "Snorkel, Dask": lambda: DaskLFApplier(peers).apply(
                dd.from_pandas(data, npartitions=8), scheduler=client, fault_tolerant=True
            ),
        }
        compare("dask", data, rounds, ways)


def peak(who: str, n_rows: int) -> None:
    """Apply the twenty functions once in this process and print its peak memory in MiB, before and after."""
    data = make_rows(n_rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    functions = ours(COMPILED)
    if who == "weaklm":
        wl.LFApplier(functions).apply(data)
    elif who == "weaklm rows":
        wl.LFApplier([LabelingFunction(f.__name__, f, compile=False) for f in COMPILED]).apply(data)
    else:
        snorkel_votes(theirs(functions), data)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| memory | {who} | {after:,.0f} MiB | {after - before:,.0f} MiB over the data |", flush=True)


def main() -> None:
    """Run the sections, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--here", help=argparse.SUPPRESS)  # a section, or who for memory, to run in this process
    arguments = parser.parse_args()
    if arguments.here in SECTIONS:
        run_section(arguments.here, arguments.rows, arguments.rounds)
    elif arguments.here:
        peak(arguments.here, arguments.rows)
    else:
        print("| what | who | rows a second | x the last line's |\n|---|---|---|---|", flush=True)
        for section in arguments.only:
            for here in ("weaklm", "weaklm rows", "Snorkel") if section == "memory" else (section,):
                one_core = section not in ("workers", "dask")
                sizes = ["--rows", str(arguments.rows), "--rounds", str(arguments.rounds)]
                subprocess.run(
                    [sys.executable, __file__, "--here", here, *sizes],
                    check=True,
                    preexec_fn=(lambda: os.sched_setaffinity(0, {1})) if one_core else None,
                )


if __name__ == "__main__":
    main()
