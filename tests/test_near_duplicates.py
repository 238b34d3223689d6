"""Near-duplicates against brute force, and the numbers of a mix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weaklm.curation.minhash import shingles, text_series
from weaklm.curation.mixing import quotas
from weaklm.curation.near_duplicates import near_duplicates

Texts = list[str]


def found(texts: Texts, threshold: float = 0.8, n_fixed: int | None = None) -> dict[int, int]:
    values = np.array(texts, dtype=object)
    like, _ = near_duplicates(lambda rows: text_series(values[rows]), len(texts), threshold, n_fixed=n_fixed)
    return {int(row): int(like[row]) for row in np.flatnonzero(like >= 0)}


def jaccard(texts: Texts) -> np.ndarray:
    """Return the similarity of all pairs, from plain sets of tuples."""
    runs = [{tuple(text.split()[k : k + 5]) for k in range(max(len(text.split()) - 4, 1))} for text in texts]
    return np.array([[len(a & b) / len(a | b) for b in runs] for a in runs])


def superfluous(J: np.ndarray, threshold: float = 0.8) -> set[int]:
    """Return the texts that nearly repeat a kept better one, in order."""
    out: set[int] = set()
    for row in range(len(J)):
        if any(better not in out for better in np.flatnonzero(J[row, :row] >= threshold)):
            out.add(row)
    return out


def edited(n: int, n_words: int, most_edits: int, n_originals: int, seed: int = 0) -> Texts:
    generator = np.random.default_rng(seed)
    originals = [[f"w{generator.integers(5000)}" for _ in range(n_words)] for _ in range(n_originals)]
    texts = []
    for _ in range(n):
        words = list(originals[generator.integers(n_originals)])
        for place in generator.choice(n_words, generator.integers(0, most_edits + 1), replace=False):
            words[place] = f"x{generator.integers(10**6)}"
        texts.append(" ".join(words))
    return texts


def test_planted_copies_are_found_as_brute_force_finds_them() -> None:
    texts = edited(240, n_words=100, most_edits=2, n_originals=80)
    J = jaccard(texts)
    expected, repeats = superfluous(J), found(texts)
    assert len(expected) > 100
    assert len(set(repeats) & expected) / len(expected) >= 0.98
    assert all(J[row, better] >= 0.8 and better < row for row, better in repeats.items())


def test_a_crowd_that_fills_in_one_template_is_told_apart() -> None:
    texts = edited(120, n_words=100, most_edits=6, n_originals=1)
    expected = superfluous(jaccard(texts))
    assert len(expected) > 20
    assert set(found(texts)) == expected


def test_fixed_texts_stay_and_the_others_are_compared_with_them_alone() -> None:
    base = " ".join(f"w{k}" for k in range(30))
    assert found([base, base, base, "other words are these here", "other words are these here"], n_fixed=2) == {2: 0}


def test_a_fixed_text_behind_another_of_its_crowd_is_compared_too() -> None:
    words = [f"w{k}" for k in range(100)]
    crowd = []
    for text in range(40):  # 71 of 121 runs are those of the template
        crowd.append(" ".join(f"x{text}y{k}" if k % 20 == 10 else word for k, word in enumerate(words)))
    assert found([*crowd, crowd[-1]], n_fixed=40) == {40: 39}


def test_texts_without_a_word_repeat_nothing() -> None:
    assert found(["", "!", "", "?"]) == {}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), max_size=8))
def test_runs_are_those_of_plain_sets(texts: Texts) -> None:
    sizes = shingles(text_series(np.array(texts, dtype=object)), 3)[1]
    words = [text.split() for text in texts]
    expected = [len({tuple(w[k : k + 3]) for k in range(max(len(w) - 2, 1))}) if w else 0 for w in words]
    assert sizes.tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=6), st.integers(0, 60))
def test_quotas_give_all_that_can_be_given_and_no_more(groups: list[tuple[int, int]], n: int) -> None:
    has, weights = (np.array(column) for column in zip(*groups, strict=True))
    given_rows = quotas(has, weights, n)
    assert given_rows.sum() == min(n, has[weights > 0].sum())
    assert (given_rows <= np.where(weights > 0, has, 0)).all()


@pytest.mark.parametrize("threshold", [0.5, 0.9, 1.0])
def test_other_thresholds_hold_as_well(threshold: float) -> None:
    texts = edited(150, n_words=60, most_edits=5, n_originals=40, seed=1)
    J = jaccard(texts)
    expected = superfluous(J, threshold)
    assert len(set(found(texts, threshold)) & expected) >= 0.97 * len(expected)
