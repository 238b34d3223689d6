"""Graph: which labeling functions say the same, and which contradict each other, as a picture and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from weaklm import pictures
from weaklm.analysis.tally import Tally
from weaklm.atomic import atomic_file
from weaklm.errors import DataError

_SAME = 0.5  # phi above which two functions are drawn as saying the same
_CONFLICT = 0.2  # share of the rarer one's votes that the other contradicts, above which a conflict is drawn
_MOST = 0.5
_FEWEST = 5  # rows on which two differ, below which that says little
_DRAWN = 25  # edges of a kind, the strongest
_FORMATS = (".svg", ".png", ".pdf")


@dataclass(frozen=True, repr=False)
class Graph:
    """Functions and pairs of them; shows itself as a picture in a notebook.

    Attributes
    ----------
    functions
        One row a function, those that say the same beside each other: ``function``, ``kind`` (the votes that it
        casts), ``coverage``. Those that never vote are not drawn.
    pairs
        One row a pair that says the same or conflicts, the strongest first: ``function``, ``other``, ``kind``, ``phi``,
        ``rows`` (where both vote), ``conflicts`` (where they differ), and ``conflict_share``: of the votes of the one
        that votes less, since of the rows where both vote it is always all when each has one polarity.

    Examples
    --------
    >>> L = np.repeat(np.array([[0, 0, 1], [0, 0, 1], [-1, -1, 1], [-1, -1, -1]], np.int8), 5, axis=0)
    >>> graph = Graph.of(["sorry", "apology", "polite"], Tally.of(L))
    >>> graph.pairs[["function", "other", "kind", "rows"]].values.tolist()[0]
    ['sorry', 'apology', 'say the same', 10]
    """

    functions: pd.DataFrame
    pairs: pd.DataFrame

    @classmethod
    def of(cls, names: Sequence[str], tally: Tally) -> "Graph":
        """Return the graph of functions from their counts."""
        kinds = {(True, False): "only REJECT", (False, True): "only ACCEPT", (False, False): "never votes"}
        kind = [kinds.get((bool(votes[0]), bool(votes[1:].any())), "both votes") for votes in tally.votes]
        functions = pd.DataFrame({"function": names, "kind": kind, "coverage": tally.coverage})
        order = _neighbours_first(tally)
        return cls(functions.iloc[order].reset_index(drop=True), _pairs(names, tally))

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file, on white, in the format that the ending names: .svg, .png or .pdf."""
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise DataError(f"{path} ends in {path.suffix!r}; a picture is written as one of {', '.join(_FORMATS)}")
        with atomic_file(path) as temporary:
            named = temporary.with_suffix(path.suffix)  # the drawing library looks at the ending
            self._draw(named)
            named.replace(temporary)
        return path

    @property
    def description(self) -> str:
        """What the picture shows, in words, for those who cannot see it."""
        n, n_silent = len(self.functions), int((self.functions["kind"] == "never votes").sum())
        silent = f" (not drawn: {n_silent} without a vote)" if n_silent else ""
        said = [
            f"{row.function} and {row.other} "
            + (
                f"say the same (phi {row.phi:.2f})"
                if row.kind == "say the same"
                else f"conflict on {row.conflicts} of {row.rows} rows"
            )
            for row in self.pairs.head(5).itertuples()
        ]
        return (
            f"{n} labeling function{'s' * (n != 1)}{silent}, {len(self.pairs)} pairs that say the same or conflict. "
            + "; ".join(said)
        )

    def _draw(self, path: Path | None = None) -> str:
        drawn = self.functions[self.functions["kind"] != "never votes"]
        place = {name: i for i, name in enumerate(drawn["function"])}
        nodes = [{"name": row.function, "kind": row.kind, "size": float(row.coverage)} for row in drawn.itertuples()]
        edges: list[dict[str, Any]] = []
        for kind, pairs in self.pairs.groupby("kind", sort=False):
            for row in pairs.head(_DRAWN).itertuples():
                share = float(row.phi if kind == "say the same" else row.conflict_share)
                mark = f"{share:.0%}" if kind == "conflict on most rows" else ""
                ends = place[row.function], place[row.other]
                edges.append({"ends": ends, "kind": kind, "strength": share, "mark": mark})
        edges.reverse()  # the strongest are drawn last, over the others
        return pictures.network(nodes, edges, description=self.description, path=path)

    def _repr_html_(self) -> str:
        return self._draw()

    def __repr__(self) -> str:
        return f"{self.description}\n{self.pairs.to_string(index=False)}" if len(self.pairs) else self.description


def _pairs(names: Sequence[str], tally: Tally) -> pd.DataFrame:
    """Return the pairs that are worth drawing, the strongest first."""
    a, b = np.triu_indices(len(names), 1)
    phi, rows, conflicts = tally.phi[a, b], tally.both[a, b], tally.differed[a, b]
    n_votes = tally.votes.sum(axis=1)
    share = conflicts / np.maximum(np.minimum(n_votes[a], n_votes[b]), 1)
    conflict = (share >= _CONFLICT) & (conflicts >= _FEWEST)
    kind = np.where(share > _MOST, "conflict on most rows", "conflict")
    kind = np.where(conflict, kind, "say the same")
    pairs = pd.DataFrame(
        {
            "function": np.array(names, dtype=object)[a],
            "other": np.array(names, dtype=object)[b],
            "kind": kind,
            "phi": phi,
            "rows": rows,
            "conflicts": conflicts,
            "conflict_share": share,
        }
    )
    strength = np.where(conflict, share, phi)
    chosen = np.flatnonzero(conflict | (phi > _SAME))
    return pairs.iloc[chosen[np.argsort(-strength[chosen], kind="stable")]].reset_index(drop=True)


def _neighbours_first(tally: Tally) -> list[int]:
    """Return an order of the functions in which those that say the same stand side by side."""
    if len(tally.votes) < 3:
        return list(range(len(tally.votes)))
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    distance = squareform(1 - np.abs(tally.phi) * (1 - np.eye(len(tally.votes))) - np.eye(len(tally.votes)))
    tree = optimal_leaf_ordering(linkage(distance, "average"), distance)
    return [int(i) for i in leaves_list(tree)]
