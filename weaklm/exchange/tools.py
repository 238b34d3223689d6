"""What annotation tools read and write: Argilla's records, Label Studio's tasks; what people said comes back as labels.

The score is shown to annotators as a suggestion (a prediction), votes as metadata or as predictions of their own.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from weaklm.data import HUMAN_LABEL, LABEL_NAMES, TEXT_COLUMNS
from weaklm.errors import DataError
from weaklm.exchange.cells import is_missing
from weaklm.exchange.rows import Form, taken

QUESTION = "label"  # the name of the question, or control, that annotators answer
AGENT = "weaklm"  # who suggests

LABEL_STUDIO_CONFIG = """<View>
  <Text name="prompt_prefix" value="$prompt_prefix"/>
  <Text name="instruction" value="$instruction"/>
  <Text name="context" value="$context"/>
  <Text name="response" value="$response"/>
  <Choices name="label" toName="response" choice="single" showInLine="true">
    <Choice value="ACCEPT"/>
    <Choice value="REJECT"/>
  </Choices>
</View>
"""


def _argilla(x: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of Argilla, as its ``Record.from_dict`` takes it."""
    label, confidence = _said_by(x.get("score"))
    suggestion = {QUESTION: {"value": label, "score": confidence, "agent": AGENT}} if label else {}
    facts = {name: x[name] for name in ("source", "split") if x[name]}
    return {
        "id": x["id"],
        "fields": {column: x[column] for column in TEXT_COLUMNS},
        "metadata": facts | ({"score": float(x["score"])} if label else {}),
        "suggestions": suggestion,
        "responses": {},
        "vectors": {},
    }


def _argilla_votes(row: dict[str, Any], votes: Mapping[str, int]) -> None:
    for vote, name in LABEL_NAMES.items():
        voters = [function for function, said in votes.items() if said == vote]
        if voters:
            row["metadata"][f"votes_{name.lower()}"] = voters


def _argilla_labels(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return who said what of a record; drafts and discarded responses do not count."""
    answers = (row.get("responses") or {}).get(QUESTION) or []
    counted = [answer for answer in answers if answer.get("status") in (None, "submitted")]
    return [(str(answer.get("user_id")), _label(answer.get("value"))) for answer in counted]


def _read_argilla(row: Mapping[str, Any]) -> dict[str, Any]:
    return _texts(taken(row, "fields", dict, "an object"), row) | _majority(_argilla_labels(row))


def _label_studio(x: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task of Label Studio; a human label is an annotation, the score a prediction."""
    label, confidence = _said_by(x.get("score"))
    predictions = [{"model_version": AGENT, "score": confidence, "result": [_choice(label)]}] if label else []
    human = x.get(HUMAN_LABEL)
    annotations = [] if is_missing(human) else [{"result": [_choice(str(human))]}]
    data = {column: x[column] for column in ("id", *TEXT_COLUMNS, "source")}
    return {"data": data, "predictions": predictions, "annotations": annotations}


def _label_studio_votes(row: dict[str, Any], votes: Mapping[str, int]) -> None:
    for function, vote in votes.items():
        if vote in LABEL_NAMES:
            row["predictions"].append({"model_version": function, "result": [_choice(LABEL_NAMES[vote])]})


def _label_studio_labels(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return who said what of a task; cancelled annotations do not count."""
    labels = []
    for annotation in row.get("annotations") or []:
        who = annotation.get("completed_by")
        name = who.get("email") or who.get("id") if isinstance(who, Mapping) else who
        for result in [] if annotation.get("was_cancelled") else annotation.get("result") or []:
            if result.get("from_name") == QUESTION:
                (choice, *others) = (result.get("value") or {}).get("choices") or [None]
                labels.append(
                    ("" if name is None else str(name), _label(", ".join([choice, *others]) if others else choice))
                )
    return labels


def _read_label_studio(row: Mapping[str, Any]) -> dict[str, Any]:
    return _texts(taken(row, "data", dict, "an object"), row) | _majority(_label_studio_labels(row))


FORMS = {
    "argilla": Form(
        write=lambda x, _: _argilla(x),
        read=lambda row, _: _read_argilla(row),
        fields=("id", "fields", "metadata", "suggestions", "responses", "vectors", "status", "_server_id"),
        prompt="parts",
        note_in="metadata",
        add_votes=_argilla_votes,
    ),
    "label_studio": Form(
        write=lambda x, _: _label_studio(x),
        read=lambda row, _: _read_label_studio(row),
        fields=("data", "predictions", "annotations"),
        prompt="parts",
        note_in="data",
        add_votes=_label_studio_votes,
    ),
}
_LABELS = {"argilla": _argilla_labels, "label_studio": _label_studio_labels}


def labels_of(rows: Iterable[Mapping[str, Any]], format: str, name: str) -> pd.DataFrame:
    """Return what each annotator said in a tool's rows: columns id, label, annotator, one row an answer."""
    said: list[tuple[str, str, str]] = []
    for number, row in enumerate(rows):
        try:
            answers = _LABELS[format](row)
            example = FORMS[format].read(row, {}).get("id") if answers else None
            if answers and example is None:
                raise DataError("the row that the labels are for has no id")
        except DataError as error:
            raise DataError(f"{name}, row {number}: {error}") from error
        said += [(str(example), label, annotator) for annotator, label in answers]
    return pd.DataFrame(said, columns=["id", "label", "annotator"], dtype=object)


def _texts(holder: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    columns = {c: taken(holder, c, str, "text") for c in ("instruction", "response")}
    columns |= {c: holder[c] for c in ("context", "prompt_prefix", "source") if isinstance(holder.get(c), str)}
    example = holder.get("id", row.get("id") if "fields" in row else None)
    return columns | ({} if example is None else {"id": str(example)})


def _said_by(score: Any) -> tuple[str | None, float | None]:
    """Return the label that a score stands for, and its confidence; None, None without a score."""
    if is_missing(score):
        return None, None
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise DataError(f"the column 'score' holds {score!r:.60}; a number from 0 to 1 was expected")
    accept = float(score)
    return LABEL_NAMES[int(accept >= 0.5)], max(accept, 1 - accept)


def _choice(label: str) -> dict[str, Any]:
    return {"from_name": QUESTION, "to_name": "response", "type": "choices", "value": {"choices": [label]}}


def _label(value: Any) -> str:
    label = str(value).upper()
    if label not in LABEL_NAMES.values():
        raise DataError(f"an annotator said {value!r}; ACCEPT or REJECT was expected")
    return label


def _majority(labels: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the label that most annotators gave, None on a tie, as a column; nothing where nobody said any."""
    if not labels:
        return {}
    (first, n), *others = Counter(label for _, label in labels).most_common()
    return {HUMAN_LABEL: None if others and others[0][1] == n else first}
