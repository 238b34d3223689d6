"""Retrieved-context quality beside response quality: was the passage bad, or what the model made of a good one?"""

from typing import Any

from weaklm.data import ACCEPT, REJECT
from weaklm.reports.scored import Members, Scored, share
from weaklm.wording import percent


def retrieval(scored: Scored, members: Members) -> dict[str, Any] | None:
    """Return the share of good contexts, and the rates of responses to good and to bad ones; None without labels.

    What people said of the contexts stands in the column ``context_label``, as ACCEPT or REJECT. Keys: ``n`` labelled
    rows; ``context``, the share of them with a good context; ``good`` and ``bad``, the rates of the responses there;
    ``rejected_with_bad``, the share of the rejected responses whose context was bad; ``slices``, the share of good
    contexts in each.
    """
    labels = scored.context_labels()
    known = labels >= 0
    if not known.any():
        return None
    good, bad = labels == ACCEPT, labels == REJECT
    rejected = known & ~scored.accepted
    return {
        "n": int(known.sum()),
        "context": share(good[known], scored.instruction[known]).to_dict(),
        "good": {"name": "good context", **scored.rates(good)},
        "bad": {"name": "bad context", **scored.rates(bad)},
        "rejected_with_bad": share(bad[rejected], scored.instruction[rejected]).to_dict(),
        "slices": [
            {"name": name, "context": share(good[part], scored.instruction[part]).to_dict()}
            for name, inside in members.items()
            if (part := known & inside).any()
        ],
    }


def retrieval_note(found: dict[str, Any]) -> str:
    """Return one sentence: where the rejected responses come from."""
    blamed = found["rejected_with_bad"]
    if not blamed["n"]:
        return f"The context is good on {percent(found['context']['value'], 0)} of {found['n']:,} labelled rows."
    return (
        f"Of {blamed['n']:,} rejected responses with a labelled context, {percent(blamed['value'], 0)} had a bad one: "
        "there the retrieval is to be mended, and not the model."
    )
