"""Rows that differ from each other: clusters, no near neighbours, a quota for each slice and cluster."""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weaklm.curation.decisions import Integers, Numbers
from weaklm.curation.duplicates import reader
from weaklm.curation.embedding import Embedding, Vectors, embed, unit
from weaklm.curation.mixing import first_of_groups, quotas
from weaklm.curation.table import Table

_ROWS_AT_ONCE = 20_000
_BLOCK = 256
_FIT_ROWS = 40_000  # at least, and 60 rows a cluster
_MOST_CLUSTERS = 1000


def diversify(table: Table, n: int, embedding: ArrayLike | None, max_similarity: float, seed: int) -> Table:
    """Return the table with n of its rows: no near neighbours, and quotas for slices and clusters."""
    rows = table.best_first("confidence")
    if embedding is None:
        X = embed(reader(table.data, ("instruction", "response"), rows), len(rows), seed)
    else:
        own = unit(embedding, len(table.data))[rows]
        X = Embedding(own, own)
    cluster = clusters(X.topics, seed)
    like, similarity = near_neighbours(X.words, cluster, max_similarity)
    taken = chosen(table.strata()[rows], cluster, like < 0, n)
    step = f"near neighbour of a better row (cosine above {max_similarity:g})"
    diverse = table.drop_alike(rows, like, similarity, step)
    group = np.zeros(len(table.data), dtype=np.int64)
    group[rows] = cluster
    step = f"not among the {n:,} most diverse"
    diverse = diverse.keep(rows[taken], step, lambda dropped: [f"cluster {k}" for k in group[dropped]])
    n_taken = int(taken.sum())
    few = f"Only {n_taken:,} of the {n:,} rows asked for differ enough; raise max_similarity for more."
    beside = f"{n_taken:,} rows chosen at random from the same rows are stored beside these: .baseline."
    return diverse.note(*[few] * (n_taken < n), beside)


def clusters(X: Vectors, random_state: int = 0) -> Integers:
    """Return the cluster of each row of X: about as many clusters as they have rows each, 1,000 at most.

    Source: mini-batch k-means (Sculley 2010, doi:10.1145/1772690.1772862).
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(X) == 0:
        return np.zeros(0, dtype=np.int64)
    k = min(max(round(math.sqrt(len(X))), 1), _MOST_CLUSTERS)
    chosen = np.sort(np.random.default_rng(random_state).permutation(len(X))[: max(_FIT_ROWS, 60 * k)])
    means = MiniBatchKMeans(k, n_init=1, batch_size=4096, max_iter=20, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters: some stay empty
        means.fit(X[chosen])
    parts = [means.predict(X[at : at + _ROWS_AT_ONCE]) for at in range(0, len(X), _ROWS_AT_ONCE)]
    return np.concatenate(parts).astype(np.int64)


def near_neighbours(X: Vectors, cluster: Integers, max_similarity: float) -> tuple[Integers, Numbers]:
    """Return for each row, the best first, the kept better row of its cluster that is too near (or -1), and how near.

    Near is by the cosine of their vectors. Rows of two clusters are not compared: few that near are parted.

    Source: the filter of DEITA (Liu et al. 2023, arXiv:2312.15685), which takes a row only if none taken is near.

    >>> near_neighbours(np.eye(2, dtype=np.float32)[[0, 1, 0]], np.zeros(3, dtype=np.int64), 0.9)[0].tolist()
    [-1, -1, 0]
    """
    like, similarity = np.full(len(X), -1, dtype=np.int64), np.zeros(len(X))
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        for at in range(0, len(members), _BLOCK):
            block, rest = members[at : at + _BLOCK], members[at:]
            cosine = X[block] @ X[rest].T
            is_near = np.triu(cosine > max_similarity, k=1)
            for k in np.flatnonzero(is_near.any(axis=1)):
                if like[block[k]] < 0:
                    near = np.flatnonzero(is_near[k] & (like[rest] < 0))
                    like[rest[near]], similarity[rest[near]] = block[k], cosine[k, near]
    return like, similarity


def chosen(stratum: NDArray[Any], cluster: Integers, distinct: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Return which n of the distinct rows are taken, the best first; fewer where fewer are distinct.

    Each stratum gives by its share of all rows, and in it each cluster as much as the others, as far as they can.

    >>> stratum, cluster = np.array(["a"] * 6 + ["b"] * 2), np.array([0, 0, 0, 0, 1, 1, 0, 1])
    >>> chosen(stratum, cluster, np.ones(8, dtype=bool), 4).tolist()
    [True, True, False, False, True, False, True, False]
    """
    if len(stratum) == 0:
        return np.zeros(0, dtype=bool)
    names, place = np.unique(stratum, return_inverse=True)
    has = np.bincount(place[distinct], minlength=len(names))
    of_stratum = quotas(has, np.bincount(place), n)
    taken = np.zeros(len(stratum), dtype=bool)
    for k, count in enumerate(of_stratum):
        rows = np.flatnonzero(distinct & (place == k))
        found, group = np.unique(cluster[rows], return_inverse=True)
        even = quotas(np.bincount(group, minlength=len(found)), np.ones(len(found)), int(count))
        taken[rows] = first_of_groups(group, even.tolist()) if len(rows) else False
    return taken
