"""Speaks as a person with a life of its own."""

import re

from weaklm import ABSTAIN, REJECT, Example, labeling_function
from weaklm.text import admissions, refusals, substance, words

_ACTED = re.compile(
    r"\b(?:i|we)(?:'ve| have)(?: already| now| just)? (?:sent|e-?mailed|updated|cancell?ed|booked|scheduled|processed"
    r"|submitted|forwarded|transferred|notified|reset|refunded|ordered|filed|opened a|created a (?:ticket|case))\b"
    r"|\bi(?:'ll| will) (?:send|e-?mail|call|forward|transfer|notify|contact|get back|check with|look into|follow up)\b"
)
_WRITES = re.compile(
    r"\b(?:write|draft|compose|create|generate|rewrite|reply|respond|e-?mail|letter|message|story|dialog(?:ue)?|script"
    r"|conversation|pretend|role)\b",
    re.IGNORECASE,
)
_SELF = frozenset(("i", "my", "me", "mine", "myself"))


@labeling_function(resources={"min_share": 0.04})
def speaks_of_itself(x: Example, min_share: float) -> int:
    """REJECT when ``min_share`` of the words or more are "I", "my", "me", and there is a context to answer from.

    Courtesies ("I hope this helps"), refusals and admissions are another matter and do not count.

    Source: first-person statements are opinion or experience, not what the knowledge says (Rashkin et al. 2021,
    arXiv:2107.06963, who control grounded dialogue by it).

    >>> context = "The museum opens at 9."
    >>> speaks_of_itself(Example(context=context, response="I love museums, my favourite is in Leeds."))
    0
    >>> speaks_of_itself(Example(context=context, response="The museum opens at 9. I hope this helps."))
    -1
    """
    found = words(substance(x.response))
    if not x.context.strip() or not found or refusals(x.response) or admissions(x.response):
        return ABSTAIN
    return REJECT if sum(word in _SELF for word in found) >= min_share * len(found) else ABSTAIN


@labeling_function
def claims_action(x: Example) -> int:
    """REJECT when the response says that it has done something, or will, outside the conversation.

    "I have sent you an e-mail" and "I will call you back" are promises of a model that only writes. Not where a text is
    to be written.

    Source: ours; who believes that the card is blocked does not block it. Not for models that act through tools.

    >>> claims_action(Example(instruction="Please block my card.", response="I have cancelled your card."))
    0
    >>> claims_action(Example(instruction="Please block my card.", response="You can block it in the app."))
    -1
    """
    said = x.response.lower().replace("\u2019", "'")
    return REJECT if _ACTED.search(said) and not _WRITES.search(x.instruction) else ABSTAIN
