"""How long the instruction is."""

from weaklm import Example, slicing_function
from weaklm.text import words


@slicing_function(resources={"max_words": 5})
def short_instruction(x: Example, max_words: int) -> bool:
    """Instructions of at most ``max_words`` words: keywords and half questions that leave much to guess.

    Source: ours; the median web query has two or three words (Jansen, Spink, Saracevic 2000,
    doi:10.1016/S0306-4573(99)00056-4), and such queries are where answers miss what was meant.

    >>> short_instruction(Example(instruction="lost card fee"))
    True
    >>> short_instruction(Example(instruction="I lost my card; what does a new one cost?"))
    False
    """
    return len(words(x.instruction)) <= max_words


@slicing_function(resources={"min_words": 25})
def long_instruction(x: Example, min_words: int) -> bool:
    """Instructions of ``min_words`` words or more: several wishes, or a story before the question.

    Source: ours; instructions with several constraints are followed less well (Zhou et al. 2023, arXiv:2311.07911).

    >>> long_instruction(Example(instruction="I lost my card. " * 10))
    True
    >>> long_instruction(Example(instruction="I lost my card."))
    False
    """
    return len(words(x.instruction)) >= min_words
