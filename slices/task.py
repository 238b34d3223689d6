"""What kind of answer the instruction asks for."""

import re

from weaklm import Example, questions, slicing_function
from weaklm.text import numbers

_LIST = re.compile(
    r"\b(?:list|lists|steps|tips|ideas|bullet points?|enumerate)\b|\b(?:what|which) are (?:some|the)\b"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|[2-9]|1[0-9]|20|some|several|many) (?:[a-z]+ )?"
    r"(?:ways|examples|reasons|benefits|advantages|differences|types|things|features|methods|questions|words|names)\b"
)
_TEXT = re.compile(
    r"\b(?:write|compose|draft|create|generate|design|make|tell)\b[^.?!]{0,40}?\b(?:story|poem|essay|article|letter|e-?mail"
    r"|haiku|song|lyrics|blog|post|tweet|slogan|headline|title|description|paragraph|sentence|dialogue|conversation|speech"
    r"|review|advertisement|ad|script|report|joke|summary|caption|message)s?\b"
)
_CHANGE = re.compile(
    r"\b(?:re-?write|re-?phrase|paraphrase|translate|reword|summari[sz]e|simplify|shorten|proofread|classify|categori[sz]e"
    r"|extract|(?:edit|correct|convert|change|transform|improve|complete|continue|fix|revise)"
    r" (?:the|this|it|and|each|following))\b"
)
_CODE = re.compile(
    r"\b(?:code|python|java|javascript|sql|html|css|regex|regular expression|pseudocode|algorithm|script|function"
    r"|program)\b|\bc\+\+"
)


@slicing_function
def asks_way(x: Example) -> bool:
    """Instructions that ask for a way to do something, or for its steps.

    Source: the instruction class of non-factoid questions (Bolotova et al. 2022, doi:10.1145/3477495.3531926).

    >>> asks_way(Example(instruction="How do I dispute a charge?"))
    True
    >>> asks_way(Example(instruction="How much is the fee?"))
    False
    """
    return questions.asks_way(x.instruction)


@slicing_function
def asks_yes_no(x: Example) -> bool:
    """Instructions that begin with an auxiliary verb, so that yes or no answers them.

    Source: the verification class of questions (Lehnert 1978, The Process of Question Answering).

    >>> asks_yes_no(Example(instruction="Is there a fee?"))
    True
    >>> asks_yes_no(Example(instruction="What is the fee?"))
    False
    """
    return questions.asks_yes_no(x.instruction)


@slicing_function
def asks_figure(x: Example) -> bool:
    """Instructions that ask for a number, an amount, a duration or a date.

    Source: the numeric class of TREC questions (Li, Roth 2002, doi:10.3115/1072228.1072378).

    >>> asks_figure(Example(instruction="How much is the fee?"))
    True
    >>> asks_figure(Example(instruction="How do I pay?"))
    False
    """
    return questions.asks_figure(x.instruction)


@slicing_function
def asks_reason(x: Example) -> bool:
    """Instructions that ask why.

    Source: the reason class of non-factoid questions (Bolotova et al. 2022, doi:10.1145/3477495.3531926).

    >>> asks_reason(Example(instruction="Why did my score fall?"))
    True
    >>> asks_reason(Example(instruction="What is my score?"))
    False
    """
    return questions.asks_reason(x.instruction)


@slicing_function
def asks_comparison(x: Example) -> bool:
    """Instructions that set one thing against another.

    Source: the comparison class of non-factoid questions (Bolotova et al. 2022, doi:10.1145/3477495.3531926).

    >>> asks_comparison(Example(instruction="What is the difference between a debit and a credit card?"))
    True
    >>> asks_comparison(Example(instruction="What is a debit card?"))
    False
    """
    return questions.asks_comparison(x.instruction)


@slicing_function
def gives_numbers(x: Example) -> bool:
    """Instructions that hold a number themselves, so that the answer may have to compute with it.

    Source: ours; models that copy figures well may still apply them badly.

    >>> gives_numbers(Example(instruction="I was charged $1,200 twice. What now?"))
    True
    >>> gives_numbers(Example(instruction="I was charged again. What now?"))
    False
    """
    return bool(numbers(x.instruction))


@slicing_function
def asks_list(x: Example) -> bool:
    """Instructions that ask for several things: a list, steps, three examples.

    Source: the list questions of TREC (Voorhees 2003, Overview of the TREC 2003 Question Answering Track).

    >>> asks_list(Example(instruction="Name three ways to save."))
    True
    >>> asks_list(Example(instruction="How high is the fee?"))
    False
    """
    return _LIST.search(x.instruction.lower()) is not None


@slicing_function
def asks_text(x: Example) -> bool:
    """Instructions that ask for a text to be written: a letter, a story, a slogan.

    Source: the generation class of instructions (Ouyang et al. 2022, InstructGPT, arXiv:2203.02155).

    >>> asks_text(Example(instruction="Write a polite letter to my bank."))
    True
    >>> asks_text(Example(instruction="What does the letter say?"))
    False
    """
    return _TEXT.search(x.instruction.lower()) is not None


@slicing_function
def asks_change(x: Example) -> bool:
    """Instructions that ask to work on a text: rewrite, translate, summarise, classify, extract.

    Source: the rewrite, summarization, classification and extract classes of instructions (Ouyang et al. 2022,
    InstructGPT, arXiv:2203.02155).

    >>> asks_change(Example(instruction="Summarize the passage in a sentence."))
    True
    >>> asks_change(Example(instruction="What is the passage about?"))
    False
    """
    return _CHANGE.search(x.instruction.lower()) is not None


@slicing_function
def asks_code(x: Example) -> bool:
    """Instructions that speak of code: a program, a query, a pattern.

    Source: ours; code is right when it runs, not when it reads well (Chen et al. 2021, arXiv:2107.03374).

    >>> asks_code(Example(instruction="Write a Python function that adds two numbers."))
    True
    >>> asks_code(Example(instruction="Add two numbers."))
    False
    """
    return _CODE.search(x.instruction.lower()) is not None
