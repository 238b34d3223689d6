"""From anything that a project made back to what it was made from: an adapter's rows, and the code that chose them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from weaklm.errors import ProjectError, nearest


@dataclass(frozen=True)
class Step:
    """A step of a project as it was recorded.

    ``functions`` are the versions of functions that it used, "name-hash"; ``missing`` the parents that are recorded
    neither as steps nor as functions.
    """

    id: str
    kind: str
    created: str
    settings: dict[str, Any]
    outputs: dict[str, Any]
    parents: tuple[str, ...]
    functions: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class AdapterLineage:
    """What an adapter was made from; prints as text, ``to_dict()`` for programs.

    Attributes
    ----------
    steps
        The training first, then what it was made from, back to the fit.
    rows
        The rows that it was trained on: the kept rows of its curated set.
    functions
        One row a labeling function: ``name``, ``code_hash``, ``source``, and ``now``: "same", "changed" or "gone".
    """

    steps: tuple[Step, ...]
    rows: pd.DataFrame
    functions: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return the lineage as plain values; of the rows their ids."""
        return {
            "steps": [asdict(step) for step in self.steps],
            "rows": self.rows["id"].astype(str).tolist(),
            "functions": self.functions.to_dict("records"),
        }

    def __str__(self) -> str:
        first = self.steps[0]
        base = first.outputs.get("base_model") or first.settings.get("base_model") or "its base model"
        left_out = sum(first.outputs.get("dropped", {}).values())
        said = f", less {left_out:,} that the training left out" if left_out else ""
        lines = [f"adapter {first.id} on {base}: {len(self.rows):,} rows{said}"]
        lines += [f"  {step.kind:9} {step.id}  {step.created}  {_settings(step.settings)}" for step in self.steps]
        for step in self.steps:
            lines += [f"  missing    {parent}, which {step.kind} {step.id} was made from" for parent in step.missing]
        lines.append("  functions")
        notes = {"same": "", "changed": "  changed since", "gone": "  gone since"}
        for function in self.functions.itertuples():
            lines.append(f"    {function.name}  (code {function.code_hash}){notes.get(function.now, '')}")
        return "\n".join(lines)

    __repr__ = __str__


def trace(run_id: str, runs: Sequence[Mapping[str, Any]], versions: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return a recorded step and all that it was made from, each after what was made from it.

    Parameters
    ----------
    runs
        The recorded steps, with ``id``, ``kind``, ``parents``, ``settings``, ``outputs`` and ``created``.
    versions
        The recorded versions of functions, "name-hash": parents that are no steps.

    >>> runs = [{"id": "b", "kind": "train", "parents": ["a"]}, {"id": "a", "kind": "curate", "parents": ["f-1"]}]
    >>> [(step.kind, step.functions) for step in trace("b", runs, ["f-1"])]
    [('train', ()), ('curate', ('f-1',))]
    """
    by_id = {str(run["id"]): run for run in runs}
    if run_id not in by_id:
        raise ProjectError(f"no step has the id {run_id!r}; {nearest(run_id, by_id)}")
    known, found, todo = set(versions), {}, [run_id]
    while todo:
        run = by_id[todo.pop(0)]
        if run["id"] in found:
            continue
        parents = [str(parent) for parent in run["parents"]]
        found[str(run["id"])] = Step(
            id=str(run["id"]),
            kind=str(run["kind"]),
            created=str(run.get("created", "")),
            settings=dict(run.get("settings") or {}),
            outputs=dict(run.get("outputs") or {}),
            parents=tuple(parents),
            functions=tuple(parent for parent in parents if parent in known),
            missing=tuple(parent for parent in parents if parent not in known and parent not in by_id),
        )
        todo += [parent for parent in parents if parent in by_id]
    return tuple(found.values())


def adapter_lineage(
    run_id: str,
    *,
    runs: Sequence[Mapping[str, Any]],
    versions: Sequence[Mapping[str, Any]],
    rows: Mapping[str, pd.DataFrame],
    now: Mapping[str, str] | None = None,
) -> AdapterLineage:
    """Return what an adapter was made from: every row, and the code of every function that labelled it.

    Parameters
    ----------
    run_id
        The id of the training.
    runs
        The recorded steps of all kinds.
    versions
        The recorded functions, with ``name``, ``code_hash`` and ``source``.
    rows
        The kept rows of curated sets by the id of the curation.
    now
        The code hash of the functions as they are now, by name. None: nothing is said about changes.

    Raises
    ------
    ProjectError
        If the step is no training, or its curated set is not among ``rows``.
    """
    recorded = {f"{one['name']}-{one['code_hash']}": one for one in versions}
    steps = trace(run_id, runs, list(recorded))
    if steps[0].kind != "train":
        raise ProjectError(f"{run_id} is a step of the kind {steps[0].kind!r}; the id of a training was expected")
    curations = [step.id for step in steps if step.kind == "curate"]
    if not curations or curations[0] not in rows:
        raise ProjectError(
            f"the curated set that {run_id} was trained on is not there: {', '.join(curations) or 'none'}"
        )
    used = dict.fromkeys(version for step in steps for version in step.functions)
    functions = pd.DataFrame(
        [[recorded[version][key] for key in ("name", "code_hash", "source")] for version in used],
        columns=["name", "code_hash", "source"],
    )
    state = ["" if now is None else _state(one.name, one.code_hash, now) for one in functions.itertuples()]
    return AdapterLineage(steps, rows[curations[0]].reset_index(drop=True), functions.assign(now=state))


def _state(name: str, code_hash: str, now: Mapping[str, str]) -> str:
    return "gone" if name not in now else "same" if now[name] == code_hash else "changed"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items())
