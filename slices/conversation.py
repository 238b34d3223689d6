"""Where in a conversation the instruction stands."""

import re

from weaklm import Example, slicing_function
from weaklm.text import words

_POINTERS = frozenset(
    ("it", "its", "they", "them", "their", "that", "this", "those", "these", "he", "she", "him", "her", "there", "one")
)
_SPEAKER = re.compile(r"^\W*(user|assistant|human|ai|bot|agent|customer|client|question|answer)\b\W*:", re.I | re.M)


@slicing_function
def later_turn(x: Example) -> bool:
    """Instructions with earlier turns before them: lines of the prefix that begin with a speaker.

    Source: ours; later turns are answered worse than first ones (Katsis et al. 2025, MTRAG, arXiv:2501.03468).

    >>> later_turn(Example(prompt_prefix="user: What is APR?\\nassistant: The yearly cost."))
    True
    >>> later_turn(Example(instruction="What is APR?", prompt_prefix="Answer in one sentence."))
    False
    """
    return bool(_SPEAKER.search(x.prompt_prefix))


@slicing_function(resources={"max_words": 12})
def points_back(x: Example, max_words: int) -> bool:
    """Short instructions after earlier turns that hold a pronoun, so that they cannot be understood alone.

    Source: ours; non-standalone questions after Katsis et al. 2025 (MTRAG, arXiv:2501.03468).

    >>> points_back(Example(instruction="How high is it?", prompt_prefix="user: Is there a fee?"))
    True
    >>> points_back(Example(instruction="How high is it?"))
    False
    """
    asked = words(x.instruction)
    return bool(_SPEAKER.search(x.prompt_prefix)) and len(asked) <= max_words and not _POINTERS.isdisjoint(asked)
