"""Says from memory what it cannot look up: figures in an answer to a prompt that has no context."""

from weaklm import ABSTAIN, REJECT, Example, labeling_function
from weaklm.text import numbers


@labeling_function(resources={"min_numbers": 10})
def figures_from_memory(x: Example, min_numbers: int) -> int:
    """REJECT when a response without a context has ``min_numbers`` different numbers that the prompt does not have.

    Source: the more atomic facts a response states from memory, and the rarer they are, the more of them are wrong (Min
    et al. 2023, FActScore, arXiv:2305.14251). Not for tables that were asked for, nor for reckoning.

    >>> populations = ", ".join(f"{1900 + n}: {31 * n * n + 7}" for n in range(8))
    >>> figures_from_memory(Example(instruction="How did Leeds grow?", response=populations))
    0
    >>> figures_from_memory(Example(instruction="How did Leeds grow?", response="It doubled in 50 years."))
    -1
    """
    if x.context.strip():
        return ABSTAIN
    known = {*numbers(x.instruction), *numbers(x.prompt_prefix)}
    return REJECT if len(set(numbers(x.response)) - known) >= min_numbers else ABSTAIN
