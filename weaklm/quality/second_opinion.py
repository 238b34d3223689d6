"""Two quality models that share no function: one may choose the training data, the other says whether it paid off.

A model that was tuned on answers which a proxy chose looks good to that proxy, also where it only learned to please
it. A proxy made of other functions was not pleased on purpose. Both read the same features, so what these cannot see,
neither judge sees (on MTRAG and BEGIN the errors of two such judges correlate at .85 to .90): people's labels remain
the last word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from weaklm.analysis.tally import Tally
from weaklm.data import ACCEPT, REJECT
from weaklm.errors import ModelError
from weaklm.label_model import LabelModel
from weaklm.quality import QualityModel

_SAME = 0.5  # phi of two functions above which they are one voice


@dataclass(frozen=True)
class Opinion:
    """A label model and a quality model of some of the functions.

    Attributes
    ----------
    columns, functions
        Places in L, and names, of the functions that it heard.
    """

    columns: tuple[int, ...]
    functions: tuple[str, ...]
    label_model: LabelModel
    quality: QualityModel


def second_opinion(
    data: pd.DataFrame, L: ArrayLike, functions: Sequence[Any], *, random_state: int = 0
) -> tuple[Opinion, Opinion]:
    """Return two opinions on ``data`` from votes L (n, n_functions), of disjoint halves of the functions.

    No human label is used. The folds of the two differ, too. Raises ModelError where the functions cannot be split so
    that each half votes for both sides.
    """
    votes = np.asarray(L)
    opinions = []
    for number, columns in enumerate(halves(votes, functions, random_state=random_state)):
        label_model = LabelModel().fit(votes[:, columns])
        quality = QualityModel(random_state=random_state + number).fit(
            data,
            label_model.predict_proba(votes[:, columns]),
            covered=label_model.covered(votes[:, columns]),
        )
        names = tuple(functions[j].name for j in columns)
        opinions.append(Opinion(tuple(columns), names, label_model, quality))
    return opinions[0], opinions[1]


def halves(L: ArrayLike, functions: Sequence[Any], *, random_state: int = 0) -> tuple[list[int], list[int]]:
    """Return the columns of L (n, n_functions) in two halves with about as many votes for either side.

    Functions that say the same (phi above 0.5), or have one ``redundancy_group``, stay together: a judge's verdicts
    are one voice. Those with most votes are dealt first, equal ones by ``random_state``.

    >>> from types import SimpleNamespace
    >>> L = np.array([[1, 1, -1, -1], [0, 0, -1, -1], [-1, -1, 1, 1], [-1, -1, 0, 0]])
    >>> halves(L, [SimpleNamespace(redundancy_group=None)] * 4)
    ([0, 1], [2, 3])
    """
    votes = np.asarray(L)
    if votes.shape[1] != len(functions):
        raise ModelError(f"L has {votes.shape[1]} columns for {len(functions)} functions; one each is expected")
    n_votes = np.stack([(votes == k).sum(axis=0) for k in (REJECT, ACCEPT)], axis=1).astype(float)
    voices = [np.flatnonzero(voice == k) for voice in [_voices(votes, functions)] for k in np.unique(voice)]
    shuffled = np.random.default_rng(random_state).permutation(len(voices))
    order = sorted(shuffled, key=lambda k: -n_votes[voices[k]].sum())
    parts: tuple[list[int], list[int]] = ([], [])
    ahead = np.zeros(2)  # by how many votes for each side the first half leads
    for k in order:
        adds = n_votes[voices[k]].sum(axis=0)
        first = np.abs(ahead + adds).sum() <= np.abs(ahead - adds).sum()
        ahead += adds if first else -adds
        parts[0 if first else 1].extend(voices[k].tolist())
    for part in parts:
        if not (n_votes[part].sum(axis=0) > 0).all():
            raise ModelError(
                f"{len(functions)} functions, {len(voices)} of which say different things, cannot be split into two "
                "halves that both vote ACCEPT and REJECT; add functions that look at other things"
            )
    return sorted(parts[0]), sorted(parts[1])


def _voices(votes: NDArray[Any], functions: Sequence[Any]) -> NDArray[np.int64]:
    """Return the voice of each function; those that say the same, or have one redundancy group, share it."""
    from scipy.sparse.csgraph import connected_components

    groups = [getattr(function, "redundancy_group", None) for function in functions]
    same = Tally.of(votes).phi > _SAME
    for j, group in enumerate(groups):
        same[j] |= [group is not None and group == other for other in groups]
    return np.asarray(connected_components(same, directed=False)[1])
