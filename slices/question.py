"""Which question word the instruction opens with, or that it is no question."""

import re

from weaklm import Example, slicing_function

_PERSON = re.compile(r"\b(?:who|whose|whom)\b|\b(?:which|what) (?:person|people|author|player|actor|company)\b")
_PLACE = re.compile(r"\bwhere\b|\b(?:which|what) (?:place|city|country|state|town|county|continent|location|branch)\b")
_TIME = re.compile(r"\bwhen\b|\bhow (?:long|soon|late|often)\b|\b(?:which|what) (?:year|date|day|month|time|century)\b")
_MEANING = re.compile(
    r"^\W*(?:what(?:'s| is| are| does| do| was| were)|define|explain|describe)\b[^.?!]*"
    r"\b(?:mean|meaning|stand for|term)\b"
    r"|^\W*what(?:'s| is| are) (?:an? |the )?[^\s?]+(?: [^\s?]+){0,2}\?*\s*$|^\W*define\b|\bmeaning of\b"
)
_OPENS = re.compile(
    r"\A\W*(?:am|are|can|could|did|do|does|had|has|have|how|is|may|might|must|shall|should|was|were|what|when|where|which"
    r"|who|whom|whose|why|will|would)\b"
)


@slicing_function
def asks_person(x: Example) -> bool:
    """Instructions that ask who: for a person, a group or a company.

    Source: the human class of TREC questions (Li, Roth 2002, doi:10.3115/1072228.1072378).

    >>> asks_person(Example(instruction="Who can open an account?"))
    True
    >>> asks_person(Example(instruction="How do I open an account?"))
    False
    """
    return _PERSON.search(x.instruction.lower()) is not None


@slicing_function
def asks_place(x: Example) -> bool:
    """Instructions that ask where.

    Source: the location class of TREC questions (Li, Roth 2002, doi:10.3115/1072228.1072378).

    >>> asks_place(Example(instruction="Where do I find my statement?"))
    True
    >>> asks_place(Example(instruction="When do I get my statement?"))
    False
    """
    return _PLACE.search(x.instruction.lower()) is not None


@slicing_function
def asks_time(x: Example) -> bool:
    """Instructions that ask when, how long or how often.

    Source: the dates and periods of the numeric class of TREC questions (Li, Roth 2002, doi:10.3115/1072228.1072378).

    >>> asks_time(Example(instruction="How long does a wire take?"))
    True
    >>> asks_time(Example(instruction="How much does a wire cost?"))
    False
    """
    return _TIME.search(x.instruction.lower()) is not None


@slicing_function
def asks_meaning(x: Example) -> bool:
    """Instructions that ask what something is or means.

    Source: the definition class of TREC questions (Li, Roth 2002, doi:10.3115/1072228.1072378).

    >>> asks_meaning(Example(instruction="What is a routing number?"))
    True
    >>> asks_meaning(Example(instruction="What is the fee for a wire abroad?"))
    False
    """
    return _MEANING.search(x.instruction.lower()) is not None


@slicing_function
def no_question(x: Example) -> bool:
    """Instructions without a question mark that open with no question word: commands, keywords and statements.

    Source: the directives and statements of dialogue act schemes (Stolcke et al. 2000, doi:10.1162/089120100561737).

    >>> no_question(Example(instruction="Write a letter to my bank."))
    True
    >>> no_question(Example(instruction="how do I pay"))
    False
    """
    return "?" not in x.instruction and _OPENS.search(x.instruction.lower()) is None


@slicing_function(resources={"min_questions": 2})
def several_questions(x: Example, min_questions: int) -> bool:
    """Instructions with ``min_questions`` question marks or more: an answer may leave one out.

    Source: ours; questions of several parts, of which models drop some (multi-part instructions: Zhou et al. 2023,
    arXiv:2311.07911).

    >>> several_questions(Example(instruction="What is APR? And how high is it?"))
    True
    >>> several_questions(Example(instruction="What is APR?"))
    False
    """
    return x.instruction.count("?") >= min_questions
