"""What kind of answer the instruction asks for."""

from weaklm import Example, questions, slicing_function
from weaklm.text import numbers


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
