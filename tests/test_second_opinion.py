from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_quality import DATA, TRUTH
from weaklm.errors import ModelError
from weaklm.metrics import auc
from weaklm.quality.second_opinion import halves, second_opinion

RANDOM = np.random.default_rng(0)


def votes(n_functions: int, coverage: float = 0.5) -> NDArray[np.int8]:
    """Return votes on DATA that are right in 8 of 10 cases."""
    shape = (len(TRUTH), n_functions)
    right = np.where(RANDOM.random(shape) < 0.8, TRUTH[:, None], 1 - TRUTH[:, None])
    return np.where(RANDOM.random(shape) < coverage, right, -1).astype(np.int8)


def named(*groups: str | None) -> list[Any]:
    return [SimpleNamespace(name=f"f{j}", redundancy_group=group) for j, group in enumerate(groups)]


def test_the_halves_share_no_function_and_leave_none_out() -> None:
    first, second = halves(votes(9), named(*[None] * 9))
    assert sorted(first + second) == list(range(9))
    assert abs(len(first) - len(second)) <= 1


def test_copies_and_verdicts_of_one_judge_stay_together() -> None:
    L = votes(8)
    L[:, 5] = L[:, 2]
    for seed in range(10):
        first, _ = halves(L, named("judge", None, None, "judge", None, None, None, "judge"), random_state=seed)
        assert len({0, 3, 7} & set(first)) in (0, 3)
        assert len({2, 5} & set(first)) in (0, 2)


def test_both_halves_vote_about_as_often_for_either_side() -> None:
    L = votes(20, coverage=0.3)
    L[:, :10] = np.where(L[:, :10] == 1, -1, L[:, :10])  # ten that only reject
    first, second = halves(L, named(*[None] * 20))
    for label in (0, 1):
        counts = [(L[:, part] == label).sum() for part in (first, second)]
        assert min(counts) > 0.8 * max(counts)


def test_the_seed_decides() -> None:
    L = votes(12)
    splits = [halves(L, named(*[None] * 12), random_state=seed) for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len({str(split) for split in splits}) > 1


def test_functions_that_are_one_voice_cannot_be_split() -> None:
    with pytest.raises(ModelError, match="3 functions, 1 of which say different things, cannot be split"):
        halves(votes(3), named("a", "a", "a"))


def test_two_opinions_agree_on_what_is_good() -> None:
    L = votes(8)
    one, other = second_opinion(DATA, L, named(*[None] * 8))
    assert not set(one.functions) & set(other.functions)
    for opinion in (one, other):
        assert auc(TRUTH, opinion.quality.oof_score_) > 0.85
        assert not opinion.quality.calibrated_
    assert one.quality.random_state != other.quality.random_state
