"""How often is each ready-made function right on public data? Writes the tables of lfs/README.md and slices/README.md.

    python benchmarks/function_table.py [--data ../shared/data]

The rows are the train part of each set: three quarters of its tasks, by ``wl.split(test=0.25, random_state=0)``; what
a task is, says ``SETS``. Functions see instruction, context, prompt_prefix and response only.
"""

import argparse
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import weaklm as wl
from weaklm.atomic import atomic_file
from weaklm.checkup import Cast, cast
from weaklm.data import COLUMNS

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
NAMES = {"source": "model", "human_label": "label"}
# Name -> folder, and the columns that together name a task.
SETS = {
    "MTRAG": ("mtrag_human", ["task_id"]),
    "BEGIN": ("begin", ["context"]),
    "ExpertQA": ("expertqa", ["instruction"]),
    "HaluEval": ("halueval_general", ["instruction"]),
    "LLMBar": ("llmbar", ["instruction"]),
    "PandaLM": ("pandalm", ["instruction", "context"]),
    "GSM8K": ("gsm8k_solutions", ["instruction"]),
}
PAIRS = ("LLMBar", "PandaLM")  # of two answers to an instruction one is good: half of those in any slice
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def train_part(name: str, folder: Path = DATA) -> pd.DataFrame:
    """Return the train part of a set; without the answers that a person edited, and rows without an instruction."""
    where, task = SETS[name]
    frame = pd.read_parquet(folder / where / "data.parquet")
    frame = frame[(frame["instruction"].str.strip() != "") & (frame["model"] != "reference")].reset_index(drop=True)
    frame["instruction_id"] = frame[task].fillna("").agg("\n".join, axis=1)
    return wl.split(wl.read(frame, columns=NAMES, keep=[]), test=0.25, random_state=0)[0]


def measured(functions: Sequence[Any], data: pd.DataFrame, *, slices: bool) -> dict[str, list[Cast]]:
    """Return for each function by name what it casts on labelled rows, and how often people said the same."""
    applier = wl.SFApplier if slices else wl.LFApplier
    votes = applier(functions).apply(data[list(COLUMNS)]).astype(np.int8)
    Y = wl.human_labels(data)
    return {f.name: cast(column, Y, slices=slices) for f, column in zip(functions, votes.T, strict=True)}


def table(folder: str, data: dict[str, pd.DataFrame]) -> str:
    """Return the table of ``lfs`` or ``slices`` as Markdown: one row a function and vote, one column a set."""
    slices, functions = folder == "slices", wl.load(ROOT / folder)
    data = {name: frame for name, frame in data.items() if not (slices and name in PAIRS)}
    found = {name: measured(functions, frame, slices=slices) for name, frame in data.items()}
    accepted = {name: float(wl.human_labels(frame).mean()) for name, frame in data.items()}
    heads = [f"{name}<br>{len(frame):,} rows, {accepted[name] * 100:.0f} % good" for name, frame in data.items()]
    lines = [_row([folder.removesuffix("s"), *([] if slices else ["vote"]), *heads])]
    lines.append("|" + "---|" * lines[0].count(" | ") + "---|")
    file = ""
    for function in functions:
        if (own := Path(inspect.getfile(function._f)).name) != file:
            file = own
            lines.append(_row([f"**{file}**"] + [""] * (len(heads) + (not slices))))
        lines += _rows(function, {name: casts[function.name] for name, casts in found.items()}, accepted, slices=slices)
    return "\n".join(lines)


def described(function: Any) -> str:
    """Return the first line of a function's docstring, its resources filled in."""
    values = {f"``{name}``": _said(value) for name, value in function._resources.items()}
    said = (inspect.getdoc(function._f) or "").partition("\n")[0]
    return re.sub(r"``\w+``", lambda name: values.get(name[0], name[0].replace("``", "`")), said)


def _said(value: Any) -> str:
    return f"{value.start} to {value.stop - 1}" if isinstance(value, range) else str(value)


def _rows(function: Any, found: dict[str, list[Cast]], accepted: dict[str, float], *, slices: bool) -> Iterator[str]:
    """Yield the lines of one function: one for each vote that it can cast, or one for the members of a slice."""
    name = f"`{function.name}`<br>{described(function)}"
    said = inspect.getdoc(function._f) or ""
    votes = ["member"] if slices else [vote for vote in ("ACCEPT", "REJECT") if vote in said.splitlines()[0]]
    for vote in votes:
        cells = []
        for data, casts in found.items():
            base = 1 - accepted[data] if vote == "REJECT" else accepted[data]
            cells.append(next((_cell(one, base) for one in casts if one.vote == vote), ""))
        yield _row([name, *([] if slices else [vote]), *cells])
        name = ""


def _cell(one: Cast, base: float) -> str:
    """Return precision, interval, number and share of one vote; marked where ``base`` is surely another number."""
    precision = one.precision
    assert precision is not None  # every row is labelled
    mark = "" if precision.too_few else "**" if precision.low > base else "_" if precision.high < base else ""
    value, low, high = (f"{abs(x):.2f}".removeprefix("0") for x in (precision.value, precision.low, precision.high))
    return f"{mark}{value}{mark} {low}\u2013{high}<br>n {one.n:,}, {one.share * 100:.1f} %"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def with_table(text: str, made: str) -> str:
    """Return a README with another table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the public sets")
    folder = parser.parse_args().data
    data = {name: train_part(name, folder) for name in SETS}
    for which in ("lfs", "slices"):
        readme = ROOT / which / "README.md"
        made = with_table(readme.read_text(encoding="utf-8"), table(which, data))
        with atomic_file(readme) as temporary:
            temporary.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
