"""The vote matrix: blocks, distinct rows, samples and agreement give what a plain loop gives."""

import numpy as np
import pytest
from numpy.typing import NDArray

from weaklm.vote_matrix import agreement, blocks, distinct_rows, planes, spread_rows


def votes(n: int, m: int, share: float, cardinality: int = 3) -> NDArray[np.int8]:
    rng = np.random.default_rng(0)
    L = rng.integers(0, cardinality, (n, m))
    return np.where(rng.random((n, m)) < share, L, -1).astype(np.int8)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5000, 20), (1000, 700)])
def test_blocks_are_all_rows_in_order(n: int, m: int) -> None:
    L = votes(n, m, 0.5)
    assert np.concatenate([L[rows] for rows in blocks(L)]).tolist() == L.tolist()


def test_distinct_rows_say_how_often_each_occurs() -> None:
    L = np.repeat(votes(50, 4, 0.5), 3, axis=0)
    rows, counts = distinct_rows(L)
    assert len(rows) == len({tuple(row) for row in L.tolist()})
    assert {tuple(row): n for row, n in zip(rows.tolist(), counts, strict=True)} == {
        tuple(row): L.tolist().count(row) for row in L.tolist()
    }


def test_rows_that_mostly_differ_stay_as_they_are() -> None:
    L = votes(3000, 30, 0.9)
    rows, counts = distinct_rows(L)
    assert rows is L
    assert counts.sum() == 3000


def test_a_sample_has_one_row_of_each_stretch_and_is_always_the_same() -> None:
    chosen = spread_rows(1000, 100)
    assert (chosen // 10).tolist() == list(range(100))
    assert chosen.tolist() == spread_rows(1000, 100).tolist()
    assert len(set((chosen % 10).tolist())) == 10  # not every tenth row, which data in a rhythm would fool


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_agreement_is_counted_pair_by_pair(share: float) -> None:
    L, counts = votes(400, 6, share), np.arange(400.0) % 3
    pairs = agreement(L, counts, 3)
    for j in range(6):
        assert pairs.votes[:, j].tolist() == [counts[L[:, j] == k].sum() for k in range(3)]
        for k in range(6):
            both = (L[:, j] != -1) & (L[:, k] != -1)
            assert pairs.both[j, k] == counts[both].sum()
            assert pairs.same[j, k] == counts[both & (L[:, j] == L[:, k])].sum()


def test_sparse_and_dense_planes_hold_the_same() -> None:
    L = votes(300, 5, 0.02)
    dense = [np.equal(L, k).astype(float) for k in range(3)]
    found = planes(L, 3)
    assert not isinstance(found[0], np.ndarray)
    assert [plane.toarray().tolist() for plane in found] == [plane.tolist() for plane in dense]
