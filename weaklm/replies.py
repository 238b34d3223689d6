"""What came of asking a model: an answer, or why there is none; and when to stop asking."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass

from weaklm.errors import ModelError


@dataclass(frozen=True)
class Answer:
    """What the model said.

    ``tokens`` has its tokens with the natural logarithm of their probability, where the server tells; ``seconds`` is
    the time of the request; ``is_cut`` says that it was stopped before its end.
    """

    text: str
    tokens: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0
    is_cut: bool = False


@dataclass(frozen=True)
class NoAnswer:
    """Why there is none: a short reason to count by, and what was said about it."""

    reason: str
    detail: str = ""
    hopeless: bool = False  # no other request will fare better
    own: bool = False  # it is for what is asked; the model may well answer others
    again: bool = False  # the same request may do better later, after so many seconds:
    wait: float | None = None


def while_it_works(
    results: Iterable[tuple[int, Answer | NoAnswer]], stop_after: int, where: str
) -> Generator[tuple[int, Answer | NoAnswer], None, None]:
    """Yield results until it is clear that no more answers will come; then raise ModelError.

    That is so when ``stop_after`` in a row are none; once there was an answer, those at fault themselves do not count.
    """
    any_answer, failed = False, 0
    for place, result in results:
        if isinstance(result, Answer):
            any_answer, failed = True, 0
        elif not (any_answer and result.own):
            failed += 1
            if failed >= stop_after or (result.hopeless and not any_answer):
                since = f"{failed} requests in a row had no answer" if failed > 1 else "it gives no answer"
                raise ModelError(
                    f"asking {where} was stopped: {since}. The last: {result.reason}{': ' * bool(result.detail)}"
                    f"{result.detail}. What was answered before is kept; run again to go on."
                )
        yield place, result


def whole(text: str) -> str:
    """Return a text without halves of characters, which JSON can hold and a database cannot.

    >>> whole("fine"), whole("half \\ud83d")
    ('fine', 'half ?')
    """
    return text.encode("utf-8", "replace").decode("utf-8")
