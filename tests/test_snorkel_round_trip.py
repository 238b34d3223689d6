"""Snorkel's objects run here unchanged and ours run there, with the real package in both roles."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from snorkel.labeling import LabelingFunction as SnorkelLabelingFunction
from snorkel.labeling import LFAnalysis as SnorkelLFAnalysis
from snorkel.labeling import LFApplier as SnorkelLFApplier
from snorkel.labeling import PandasLFApplier
from snorkel.labeling import labeling_function as snorkel_labeling_function
from snorkel.labeling.model import LabelModel as SnorkelsLabelModel
from snorkel.preprocess import BasePreprocessor
from snorkel.preprocess import Preprocessor as SnorkelPreprocessor
from snorkel.preprocess import preprocessor as snorkel_preprocessor
from snorkel.slicing import PandasSFApplier
from snorkel.slicing import SlicingFunction as SnorkelSlicingFunction
from snorkel.slicing import slicing_function as snorkel_slicing_function

from weaklm.analysis import LFAnalysis
from weaklm.apply import LFApplier, SFApplier
from weaklm.code import code_hash, reads
from weaklm.data import complete, examples
from weaklm.functions import collect, labeling_function, preprocessor, slicing_function

RESPONSES = ["Sorry, I cannot.", "Because it rained all night.", "No.", "SORRY!", "It is because of the fee.", "Yes."]
DATA = pd.DataFrame({"instruction": "Why?", "response": RESPONSES, "place": [1, 2, 3, 4, 5, 6]})
VOTES = [[0, -1, -1], [-1, 1, -1], [-1, -1, 0], [0, -1, 0], [-1, 1, -1], [-1, -1, 0]]


class Lengths(SnorkelPreprocessor):
    """A preprocessor by class, as Snorkel's own for spaCy is."""

    def __init__(self) -> None:
        super().__init__("lengths", {"text": "response"}, {"n": "n_words"}, memoize=True)

    def run(self, text: str) -> dict[str, int]:
        return {"n": len(text.split())}


@snorkel_preprocessor()
def snorkel_lowered(x: Any) -> Any:
    x.lowered = x.response.lower()
    return x


@snorkel_preprocessor(memoize=True, pre=[snorkel_lowered])
def snorkel_tokens(x: Any) -> Any:
    x.tokens = x.lowered.strip(".!").split()
    return x


@snorkel_labeling_function(name="apology", resources={"words": ("sorry",)}, pre=[snorkel_lowered])
def snorkel_sorry(x: Any, words: tuple[str, ...]) -> int:
    return 0 if any(word in x.lowered for word in words) else -1


@snorkel_labeling_function(pre=[snorkel_tokens])
def snorkel_reason(x: Any) -> int:
    return 1 if "because" in x.tokens else -1


@snorkel_labeling_function(resources={"shortest": 2}, pre=[Lengths()])
def snorkel_short(x: Any, shortest: int) -> int:
    return 0 if x.n_words < shortest else -1


@snorkel_slicing_function()
def snorkel_late(x: Any) -> bool:
    return bool(x.place > 3)


@preprocessor(memoize=True)
def tokens(x: Any) -> Any:
    x.tokens = x.response.lower().strip(".!").split()
    return x


@labeling_function(name="apology", resources={"words": ("sorry",)})
def sorry(x: Any, words: tuple[str, ...]) -> int:
    return 0 if any(word in x.response.lower() for word in words) else -1


@labeling_function(pre=[tokens])
def reason(x: Any) -> int:
    return 1 if "because" in x.tokens else -1


@labeling_function(resources={"shortest": 2}, pre=[Lengths()])
def short(x: Any, shortest: int) -> int:
    return 0 if x.n_words < shortest else -1


@slicing_function
def late(x: Any) -> bool:
    return bool(x.place > 3)


THEIRS = [snorkel_sorry, snorkel_reason, snorkel_short]
OURS = [sorry, reason, short]


@pytest.mark.parametrize("functions", [THEIRS, OURS, [snorkel_sorry, reason, short]], ids=["theirs", "ours", "mixed"])
def test_every_applier_gives_the_same_votes(functions: list[Any]) -> None:
    points = [SimpleNamespace(**vars(x)) for x in examples(complete(DATA))]
    assert LFApplier(functions).apply(DATA).tolist() == VOTES
    assert PandasLFApplier(functions).apply(DATA, progress_bar=False).tolist() == VOTES
    assert SnorkelLFApplier(functions).apply(points, progress_bar=False).tolist() == VOTES


@pytest.mark.parametrize("function", [snorkel_late, late])
def test_every_applier_gives_the_same_slices(function: Any) -> None:
    members = [False, False, False, True, True, True]
    assert SFApplier([function]).apply(DATA)[:, 0].tolist() == members
    theirs = PandasSFApplier([function]).apply(DATA, progress_bar=False)
    assert theirs[function.name].astype(bool).tolist() == members


def test_our_objects_are_snorkels() -> None:
    assert all(isinstance(f, SnorkelLabelingFunction) for f in (*OURS, late))
    assert isinstance(late, SnorkelSlicingFunction)
    assert not any(isinstance(f, SnorkelSlicingFunction) for f in OURS)
    assert isinstance(tokens, BasePreprocessor)


@pytest.mark.slow
def test_slicing_functions_are_snorkels_when_weaklm_comes_first() -> None:
    program = (
        "from weaklm.functions import SlicingFunction as Ours; from snorkel.slicing import SlicingFunction as Theirs; "
        "print(issubclass(Ours, Theirs))"
    )
    printed = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, check=True).stdout
    assert printed.decode().strip() == "True"


def test_snorkels_functions_are_collected_hashed_and_read() -> None:
    assert collect(THEIRS, OURS[1:]) == [*THEIRS, *OURS[1:]]
    assert code_hash(snorkel_short) == code_hash(short)  # they differ by name only
    assert len({code_hash(f) for f in (*THEIRS, *OURS)}) == 5
    assert [reads(f) & {"response", "place"} for f in (*THEIRS, snorkel_late)] == [{"response"}] * 3 + [{"place"}]


def test_our_votes_go_into_snorkels_analysis_and_label_model() -> None:
    L = np.tile(LFApplier(OURS).apply(DATA), (5, 1))
    assert SnorkelLFAnalysis(L, OURS).lf_coverages().tolist() == pytest.approx(
        LFAnalysis(L, OURS).lf_summary()["Coverage"].tolist()
    )
    model = SnorkelsLabelModel(verbose=False)
    model.fit(L, seed=0, progress_bar=False)
    assert model.predict(L)[:3].tolist() == [0, 1, 0]
