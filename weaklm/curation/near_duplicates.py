"""Texts that repeat a better one, or nearly: found by MinHash, proven by counting, without comparing all with all."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weaklm.curation.minhash import Integers, Keys, Read, bands_of, chunks, shingles
from weaklm.wordkeys import forget

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

_ROUNDS = 5  # each tells one text of a crowd from the others
_CROWD_PAIRS = 100_000_000  # then the rest are compared all with all, as far as this goes: some 15 seconds
_PAIRS_AT_ONCE = 4_000_000
_RUNS_AT_ONCE, _RUNS_KEPT = 4_000_000, 30_000_000  # 32 and 240 MB
_RUNS_OF_A_SETTING = 2_000  # of two contexts of a thousand words each


def exact_keys(read: Read, n: int) -> Keys:
    """Return one number for each of n texts; equal for texts that differ in case and white space only.

    >>> from weaklm.curation.minhash import text_series
    >>> keys = exact_keys(lambda rows: text_series(np.array(["A  b", " a b", "a, b"], dtype=object)[rows]), 3)
    >>> bool(keys[0] == keys[1]), bool(keys[0] == keys[2])
    (True, False)
    """
    found = [np.zeros(0, dtype=np.uint64)]
    for rows in chunks(n):
        plain = read(rows).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
        found.append(plain.hash(seed=0).to_numpy())
    return np.concatenate(found)


def first_equal(keys: Keys) -> Integers:
    """Return for each key the place of the first one that equals it.

    >>> first_equal(np.array([5, 7, 5], dtype=np.uint64)).tolist()
    [0, 1, 0]
    """
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    return first[place].astype(np.int64)


def near_duplicates(
    read: Read,
    n: int,
    threshold: float = 0.8,
    *,
    n_words: int = 5,
    setting: Read | None = None,
    n_fixed: int | None = None,
    random_state: int = 0,
) -> tuple[Integers, Numbers]:
    """Return for each of n texts, the best first, the kept better one that it nearly repeats (or -1), and how nearly.

    How nearly is the Jaccard similarity J of their runs of ``n_words`` words: the share of all their different runs
    that both have. A text nearly repeats another from J = ``threshold`` on. A text that repeats a better one is out
    and makes no other text go.

    Parameters
    ----------
    setting
        Reads a second text of each row, which must be as much alike: the context that a response is about.
    n_fixed
        The first so many texts stay whatever they repeat, and the others are compared with them alone.

    Source: MinHash (Broder 1997, doi:10.1109/SEQUEN.1997.666900) in bands (Leskovec, Rajaraman, Ullman, "Mining of
    Massive Datasets", section 3.4) by multiplicative hashing. Bands find pairs; then J is counted, not estimated, so
    that no pair is wrong, and at the threshold 99 in 100 are found. Texts of which many share a band and are not alike
    (a template that each fills in) are compared all with all, unless they are more than some 14,000: then all of them
    with the best.

    >>> from weaklm.curation.minhash import text_series
    >>> texts = np.array(["the fee is ninety five euro a year", "The fee is ninety-five euro a year!", "no"])
    >>> like, similarity = near_duplicates(lambda rows: text_series(texts[rows]), 3)
    >>> like.tolist(), similarity.tolist()
    ([-1, 0, -1], [0.0, 1.0, 0.0])
    """
    bands, n_runs = bands_of(read, n, threshold, n_words, random_state)
    search = _Search(read, setting, n_runs, n_words=n_words, threshold=threshold, n_fixed=n_fixed)
    active = np.flatnonzero(n_runs)  # texts without a word repeat nothing
    for _ in range(_ROUNDS):
        active = search.settle(bands, active)
    search.settle_crowd(active)
    forget()
    return search.like, search.similarity


class _Search:
    """What is known so far of which text repeats which."""

    def __init__(
        self, read: Read, setting: Read | None, n_runs: Integers, *, n_words: int, threshold: float, n_fixed: int | None
    ) -> None:
        self.like, self.similarity = np.full(len(n_runs), -1, dtype=np.int64), np.zeros(len(n_runs))
        self._texts, self._settings = _Runs(read, n_words), _Runs(setting, n_words) if setting is not None else None
        self._n_runs, self._threshold, self._n_fixed = n_runs, threshold, n_fixed

    def settle(self, bands: list[Keys], active: Integers) -> Integers:
        """Compare the active texts with the best of each crowd that shares a band; return those still to compare."""
        leader, member = _led(bands, active)
        is_led = np.zeros(len(self.like), dtype=bool)
        is_led[member] = True
        settled = ~is_led[leader]  # best in all of its bands, so nothing can drop it any more
        self._compare(leader[settled], member[settled])
        return active[is_led[active] & (self.like[active] < 0)]

    def settle_crowd(self, active: Integers) -> None:
        """Compare the active texts with each other, the best first."""
        active = active[np.cumsum(self._n_runs[active]) <= _RUNS_KEPT]
        n_leaders = len(active) if self._n_fixed is None else int((active < self._n_fixed).sum())
        if len(active) < 2 or not n_leaders:
            return
        A, sizes = self._texts.matrix(active)
        at, n_left = 0, _CROWD_PAIRS
        while at < n_leaders and n_left > 0:
            end = min(at + max(_PAIRS_AT_ONCE // (len(active) - at), 1), n_leaders)
            n_left -= (end - at) * (len(active) - at)
            shared = (A[at:end] @ A[at:].T).toarray()
            alike = shared / (sizes[at:end, None] + sizes[None, at:] - shared)
            for k in np.flatnonzero(np.triu(alike >= self._threshold, k=1).any(axis=1)):
                if self.like[active[at + k]] < 0:
                    others = k + 1 + np.flatnonzero(alike[k, k + 1 :] >= self._threshold)
                    others = others[self.like[active[at + others]] < 0]
                    self._follow(np.full(len(others), active[at + k]), active[at + others], alike[k, others])
            at = end

    def _compare(self, first: Integers, second: Integers) -> None:
        if self._n_fixed is not None:
            asked = (first < self._n_fixed) & (second >= self._n_fixed)
            first, second = first[asked], second[asked]
        self._follow(first, second, self._texts.similarity(first, second, self._n_runs[first] + self._n_runs[second]))

    def _follow(self, first: Integers, second: Integers, alike: Numbers) -> None:
        """Note of pairs that are alike, and about what is alike, that the second repeats the first."""
        near = alike >= self._threshold
        if self._n_fixed is not None:
            near &= second >= self._n_fixed
        if self._settings is not None and near.any():
            sizes = np.full(int(near.sum()), _RUNS_OF_A_SETTING)
            near[near] = self._settings.similarity(first[near], second[near], sizes) >= self._threshold
        second, chosen = _nearest(first[near], second[near], alike[near])
        self.like[second], self.similarity[second] = first[near][chosen], alike[near][chosen]


def _led(bands: list[Keys], active: Integers) -> tuple[Integers, Integers]:
    """Return the different pairs of the first active text of a crowd that shares a band, and one of the others."""
    pairs = [np.zeros((2, 0), dtype=np.int64)]
    for band in bands:
        order = np.argsort(band[active], kind="stable")
        keys = band[active[order]]
        is_first = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, dtype=bool)
        leader = active[order][np.flatnonzero(is_first)[np.cumsum(is_first) - 1]]
        pairs.append(np.stack([leader, active[order]])[:, ~is_first])
    leader, member = np.concatenate(pairs, axis=1)
    codes = np.unique(leader << 32 | member)
    return codes >> 32, codes & 0xFFFFFFFF


def _nearest(first: Integers, second: Integers, alike: Numbers) -> tuple[Integers, Integers]:
    """Return the different second texts, and the place of the pair in which each is nearest to a first one."""
    order = np.lexsort((first, -alike, second))
    different, place = np.unique(second[order], return_index=True)
    return different, order[place]


class _Runs:
    """The runs of words of texts, kept from one round to the next: a crowd is asked about again and again."""

    def __init__(self, read: Read, n_words: int) -> None:
        self._read, self._n_words = read, n_words
        self._rows, self._sizes = np.zeros((2, 0), dtype=np.int64)
        self._keys = np.zeros(0, dtype=np.uint64)

    def similarity(self, first: Integers, second: Integers, n_runs: Integers) -> Numbers:
        """Return the Jaccard similarity of pairs of texts (1 where neither has a word), of about so many runs."""
        alike = np.ones(len(first))
        for pairs in _parted(n_runs, _RUNS_KEPT):
            self._know(np.unique([first[pairs], second[pairs]]))
            for part in _parted(n_runs[pairs], _RUNS_AT_ONCE):
                few = pairs[part]
                alike[few] = self._jaccard(first[few], second[few])
        return alike

    def matrix(self, rows: Integers) -> "tuple[csr_matrix, Numbers]":
        """Return which runs each of some texts has, (n_texts, n_different_runs), and how many each has."""
        from scipy.sparse import csr_matrix

        self._know(rows)
        different, column = np.unique(self._keys, return_inverse=True)
        ends = np.concatenate([[0], np.cumsum(self._sizes)])
        A = csr_matrix((np.ones(len(column), dtype=np.float32), column, ends), shape=(len(self._rows), len(different)))
        places = np.searchsorted(self._rows, rows)
        return A[places], self._sizes[places].astype(float)

    def _know(self, rows: Integers) -> None:
        """Take the runs of these texts apart, if they are not known yet."""
        if np.isin(rows, self._rows, assume_unique=True).all():
            return
        parts = [shingles(self._read(rows[chunk]), self._n_words) for chunk in chunks(len(rows))]
        self._rows = rows
        self._keys = np.concatenate([keys for keys, _ in parts])
        self._sizes = np.concatenate([sizes for _, sizes in parts])
        self._starts = np.cumsum(self._sizes) - self._sizes

    def _jaccard(self, first: Integers, second: Integers) -> Numbers:
        a, b = np.searchsorted(self._rows, first), np.searchsorted(self._rows, second)
        # The number of a pair, and of a run in it: those that are there twice are in both texts.
        runs = np.concatenate([self._marked(a), self._marked(b)])
        runs.sort()
        both = runs[1:][runs[1:] == runs[:-1]] >> np.uint64(48)
        shared = np.bincount(both.astype(np.int64), minlength=len(a))
        union = self._sizes[a] + self._sizes[b] - shared
        return np.divide(shared, union, out=np.ones(len(a)), where=union > 0)

    def _marked(self, places: Integers) -> Keys:
        """Return the runs of some texts, one text after the other, each run with its text's number on top."""
        length = self._sizes[places]
        offset = np.repeat(self._starts[places] - (np.cumsum(length) - length), length)
        runs = self._keys[offset + np.arange(len(offset))] >> np.uint64(16)
        return runs | np.repeat(np.arange(len(places), dtype=np.uint64) << np.uint64(48), length)


def _parted(sizes: Integers, most: int) -> list[Integers]:
    """Return the places of some sizes in parts whose sums are about ``most``, and of 50,000 places at most."""
    part = np.cumsum(np.maximum(sizes, most // 50_000)) // most
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(part)) + 1) if len(sizes) else []
