"""Where in a conversation the instruction stands."""

import re

from weaklm import Example, slicing_function
from weaklm.text import words

_POINTERS = frozenset(
    ("it", "its", "they", "them", "their", "that", "this", "those", "these", "he", "she", "him", "her", "there", "one")
)
_SMALL_TALK = re.compile(
    r"\b(?:hi|hello|hey|thanks|thank you|good (?:morning|evening|afternoon|night)|how are you|nice to meet you|bye"
    r"|goodbye|who are you|what is your name|what's your name|are you (?:a )?(?:human|bot|robot|real|an ai))\b"
)
_SPEAKER = re.compile(  # within a line: over line ends, it would take the square of the number of empty lines
    r"^[^\w\n]*(?:user|assistant|human|ai|bot|agent|customer|client|question|answer)\b[^\w\n]*:", re.I | re.M
)


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


@slicing_function(resources={"max_words": 8})
def small_talk(x: Example, max_words: int) -> bool:
    """Instructions of at most ``max_words`` words that greet, thank or ask after the model itself.

    Source: the chat class of instructions (Ouyang et al. 2022, InstructGPT, arXiv:2203.02155).

    >>> small_talk(Example(instruction="Hi, are you a robot?"))
    True
    >>> small_talk(Example(instruction="Hi, I lost my card on the train and need a new one."))
    False
    """
    return _SMALL_TALK.search(x.instruction.lower()) is not None and len(x.instruction.split()) <= max_words
