"""Speaks as a person with a life of its own."""

from weaklm import ABSTAIN, REJECT, Example, labeling_function
from weaklm.text import admissions, refusals, substance, words

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
