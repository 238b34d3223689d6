"""Labeling and slicing functions as people write them, for the compiler: each of them must run on columns."""

import enum
import re
import string

from weaklm import ABSTAIN, ACCEPT, REJECT, Example, labeling_function, preprocessor, slicing_function

WORDS = ["sorry", "apolog", "cannot", "as an ai"]
STOP_WORDS = {"the", "a", "of", "sorry", "Stra\xdfe"}
PRAISE = frozenset(("good", "great", "nice"))
KINDS = {"bank": 1, "shop": 0}
URL = re.compile(r"https?://\S+")
NUMBER = re.compile(r"\d+")
CAPITALS = re.compile(r"\b[A-Z]{2,}\b")


class Vote(enum.IntEnum):
    NO = 0
    SKIP = -1


class Limits:
    shortest = 3


# Words in a text


@labeling_function
def apologises(x: Example) -> int:
    if "sorry" in x.response.lower():
        return REJECT
    return ABSTAIN


@labeling_function
def apologises_in_one_line(x: Example) -> int:
    return REJECT if "Sorry" in x.response else ABSTAIN


@labeling_function
def any_of_a_list(x: Example) -> int:
    return REJECT if any(w in x.response.lower() for w in WORDS) else ABSTAIN


@labeling_function
def any_beyond_ascii(x: Example) -> int:
    text = x.response.lower()
    return REJECT if any(word in text for word in ("\xe9", "\xdf", "stra\xdfe", "\u0131", "\u03c3")) else ABSTAIN


@labeling_function(resources={"words": ["Sorry", "kind", "Kin", "i", "ai", "k"]})
def any_resource(x: Example, words: list[str]) -> int:
    return REJECT if any([w.lower() in x.response.lower() for w in words]) else ABSTAIN  # noqa: C419


@labeling_function
def sends_elsewhere(x: Example) -> int:
    sends = "contact us" in x.response.lower() or "visit a branch" in x.response.lower()
    return REJECT if sends and len(x.response.split()) < 15 else ABSTAIN


@labeling_function
def loop_that_returns(x: Example) -> int:
    for word in WORDS:
        if word in x.response.lower():
            return REJECT
    return ABSTAIN


@labeling_function
def loop_that_counts(x: Example) -> int:
    count = 0
    for word in WORDS:
        if word in x.response.lower():
            count += 1
    return REJECT if count > 1 else ABSTAIN


@labeling_function
def loop_that_adds(x: Example) -> int:
    count = 0
    for word in WORDS:
        count += x.response.count(word)
    return REJECT if count > 1 else ABSTAIN


@labeling_function
def sum_of_truths(x: Example) -> int:
    return REJECT if sum(w in x.response for w in WORDS) >= 2 else ABSTAIN


@labeling_function
def sum_of_counts(x: Example) -> int:
    return REJECT if sum(x.response.lower().count(w) for w in WORDS) >= 2 else ABSTAIN


@labeling_function
def sum_of_ones(x: Example) -> int:
    return REJECT if sum([1 for w in WORDS if w in x.response.lower()]) >= 2 else ABSTAIN


@labeling_function
def length_of_found(x: Example) -> int:
    return REJECT if len([w for w in WORDS if w in x.response.lower()]) >= 2 else ABSTAIN


@labeling_function
def either_text(x: Example) -> int:
    return REJECT if any("sorry" in text for text in (x.response, x.context)) else ABSTAIN


@labeling_function
def in_capitals(x: Example) -> int:
    return REJECT if "SORRY" in x.response.upper() else ABSTAIN


@labeling_function
def folded(x: Example) -> int:
    return REJECT if "sorry" in x.response.casefold() else ABSTAIN


@labeling_function
def found_at(x: Example) -> int:
    return REJECT if x.response.find("r") > 3 else ABSTAIN


# Starts, ends, all of a text


@labeling_function
def starts_with_an_answer(x: Example) -> int:
    return ACCEPT if x.response.lower().startswith(("yes", "no", "i", "ki")) else ABSTAIN


@labeling_function
def ends_with_a_mark(x: Example) -> int:
    return ACCEPT if x.response.strip().endswith((".", "!", "?")) else REJECT


@labeling_function
def ends_in_small_letters(x: Example) -> int:
    return ACCEPT if x.response.lower().strip().endswith("k") else REJECT


@labeling_function
def one_of_some(x: Example) -> int:
    return REJECT if x.response.strip().lower() in ("yes", "no", "n/a", "") else ABSTAIN


@labeling_function
def repeats_the_question(x: Example) -> int:
    return REJECT if x.response == x.instruction else ABSTAIN


@labeling_function
def quotes_the_question(x: Example) -> int:
    return REJECT if x.instruction.lower() in x.response.lower() else ABSTAIN


@labeling_function
def from_one_source(x: Example) -> int:
    return KINDS["shop"] if x.source == "bank" else ABSTAIN


@labeling_function
def from_known_sources(x: Example) -> int:
    return REJECT if x["source"] in KINDS else ABSTAIN


@labeling_function
def first_letter(x: Example) -> int:
    return REJECT if x.response[0].islower() else ABSTAIN


@labeling_function
def last_letter(x: Example) -> int:
    return REJECT if x.response and x.response[-1] not in ".!?" else ABSTAIN


@labeling_function
def near_the_start(x: Example) -> int:
    return REJECT if "sorry" in x.response[:10].lower() else ABSTAIN


@labeling_function
def near_the_end(x: Example) -> int:
    return REJECT if x.response[-3:] == "..." or x.response[:-1].endswith("r") else ABSTAIN


@labeling_function
def has_outer_spaces(x: Example) -> int:
    return REJECT if x.response != x.response.strip() else ABSTAIN


# Patterns


@labeling_function
def has_url(x: Example) -> int:
    return REJECT if URL.search(x.response) else ABSTAIN


@labeling_function
def has_fee(x: Example) -> int:
    return REJECT if re.search(r"\bfee\b", x.response, flags=re.I) is not None else ABSTAIN


@labeling_function
def begins_with_yes(x: Example) -> int:
    return ACCEPT if re.match(r"\s*(yes|no)\b", x.response, re.IGNORECASE) else ABSTAIN


@labeling_function
def is_plain(x: Example) -> int:
    match = re.fullmatch(r"[\w ]+", x.response)
    if not match:
        return ABSTAIN
    return ACCEPT


@labeling_function
def many_numbers(x: Example) -> int:
    return REJECT if len(re.findall(r"\d+", x.response)) > 2 else ABSTAIN


@labeling_function
def more_numbers_than_context(x: Example) -> int:
    return REJECT if len(NUMBER.findall(x.response)) > len(NUMBER.findall(x.context)) else ABSTAIN


@labeling_function
def counts_capitals(x: Example) -> int:
    return REJECT if sum(1 for _ in CAPITALS.finditer(x.response)) >= 1 else ABSTAIN


@labeling_function
def short_without_spaces(x: Example) -> int:
    return REJECT if len(re.sub(r"\s+", "", x.response)) < 5 else ABSTAIN


@labeling_function
def imports_inside(x: Example) -> int:
    import re

    pattern = re.compile(r"[^\w\s]")
    return REJECT if pattern.search(x.response) else ABSTAIN


# Lengths and shares


@labeling_function(resources={"min_words": 3})
def too_short(x: Example, min_words: int) -> int:
    """REJECT when the response has fewer than ``min_words`` words."""
    return REJECT if len(x.response.split()) < min_words else ABSTAIN


@labeling_function
def three_ways(x: Example) -> int:
    n = len(x.response)
    if n < 5:
        return REJECT
    elif n < 20:
        return ABSTAIN
    else:
        return ACCEPT


@labeling_function
def longer_than_context(x: Example) -> int:
    return REJECT if x.context and len(x.response) / len(x.context) > 1.5 else ABSTAIN


@labeling_function
def much_longer_than_context(x: Example) -> int:
    return REJECT if len(x.response) / len(x.context) > 1.5 else ABSTAIN


@labeling_function
def few_different_words(x: Example) -> int:
    words = x.response.lower().split()
    if len(words) == 0:
        return ABSTAIN
    return REJECT if len(set(words)) / len(words) < 0.5 else ABSTAIN


@labeling_function
def few_different_words_guarded(x: Example) -> int:
    words = x.response.split()
    return REJECT if len(set(words)) / max(len(words), 1) < 0.5 else ABSTAIN


@labeling_function
def long_words(x: Example) -> int:
    words = x.response.split()
    return REJECT if sum(len(w) for w in words) / len(words) > 6 else ABSTAIN


@labeling_function
def longest_word(x: Example) -> int:
    return REJECT if max((len(w) for w in x.response.split()), default=0) > 10 else ABSTAIN


@labeling_function
def marks(x: Example) -> int:
    return REJECT if x.response.count("!") + x.response.count("?") > 2 else ABSTAIN


@labeling_function
def many_lines(x: Example) -> int:
    return REJECT if len(x.response.splitlines()) > 2 else ABSTAIN


@labeling_function
def list_lines(x: Example) -> int:
    return REJECT if any(line.startswith(("-", "*")) for line in x.response.split("\n")) else ABSTAIN


@labeling_function
def walrus(x: Example) -> int:
    if (n := len(x.response)) > 5 and n < 20:
        return REJECT
    return ABSTAIN


@labeling_function
def shorter_of_two(x: Example) -> int:
    return REJECT if min(len(x.response), len(x.context)) < Limits.shortest else ABSTAIN


@labeling_function
def without_spaces(x: Example) -> int:
    return REJECT if len(x.response.replace(" ", "")) < 5 else ABSTAIN


# Words and characters


@labeling_function
def share_of_stop_words(x: Example) -> int:
    words = x.response.lower().split()
    return REJECT if sum(w in STOP_WORDS for w in words) / max(1, len(words)) > 0.3 else ABSTAIN


@labeling_function
def some_stop_word(x: Example) -> int:
    return REJECT if any(w in STOP_WORDS for w in x.response.lower().split()) else ABSTAIN


@labeling_function
def some_praise(x: Example) -> int:
    return REJECT if any(w.lower() in PRAISE for w in x.response.split()) else ABSTAIN


@labeling_function
def some_praise_with_marks(x: Example) -> int:
    return REJECT if any(w.strip(string.punctuation) in PRAISE for w in x.response.split()) else ABSTAIN


@labeling_function
def one_word(x: Example) -> int:
    return REJECT if "a" in x.response.split() or "k" in x.response.lower().split() else ABSTAIN


@labeling_function
def praise_by_sets(x: Example) -> int:
    return REJECT if set(x.response.lower().split()) & PRAISE else ABSTAIN


@labeling_function
def praise_by_disjoint_sets(x: Example) -> int:
    return REJECT if not PRAISE.isdisjoint(x.response.lower().split()) else ABSTAIN


@labeling_function
def much_praise(x: Example) -> int:
    return REJECT if len(PRAISE & set(x.response.lower().split())) > 1 else ABSTAIN


@labeling_function
def overlap(x: Example) -> int:
    return REJECT if len(set(x.response.lower().split()) & set(x.context.lower().split())) < 2 else ABSTAIN


@labeling_function
def first_word(x: Example) -> int:
    return REJECT if x.response.split()[0].lower() in ("yes", "no", "sorry") else ABSTAIN


@labeling_function
def two_words_in_a_row(x: Example) -> int:
    return REJECT if "yes no" in " ".join(x.response.lower().split()) else ABSTAIN


@labeling_function
def words_in_capitals(x: Example) -> int:
    return REJECT if sum(1 for w in x.response.split() if w.isupper()) > 2 else ABSTAIN


@labeling_function
def shouts(x: Example) -> int:
    return REJECT if sum(c.isupper() for c in x.response) > 0.3 * len(x.response) else ABSTAIN


@labeling_function
def shouts_by_letters(x: Example) -> int:
    letters = [c for c in x.response if c.isalpha()]
    if not letters:
        return ABSTAIN
    return REJECT if sum(1 for c in x.response if c.isupper()) / len(letters) > 0.5 else ABSTAIN


@labeling_function
def new_digits(x: Example) -> int:
    return REJECT if any(c.isdigit() for c in x.response) and not any(c.isdigit() for c in x.context) else ABSTAIN


@labeling_function
def only_letters(x: Example) -> int:
    return REJECT if all(c in string.ascii_letters for c in x.response) else ABSTAIN


# Other columns


@labeling_function
def low_score(x: Example) -> int:
    if x.score is None:
        return ABSTAIN
    return REJECT if 0.2 < x.score <= 0.8 and x.n > 2 else ABSTAIN


@labeling_function
def ratio(x: Example) -> int:
    return REJECT if x.n / x.m > 1 else ABSTAIN


@labeling_function
def whole_ratio(x: Example) -> int:
    return REJECT if x.m and x.n // x.m == 1 else ABSTAIN


@labeling_function
def even(x: Example) -> int:
    return REJECT if x.n % 2 == 0 and abs(x.n - x.m) >= 1 else ABSTAIN


@labeling_function
def flagged(x: Example) -> int:
    return ACCEPT if x.flag and not x.response else ABSTAIN


@labeling_function
def flag_as_vote(x: Example) -> int:
    return int(x.flag) - 1


@labeling_function
def number_as_vote(x: Example) -> int:
    return int(x.n)


# Ways of writing


def too_few(text: str, n: int = 3) -> bool:
    return len(text.split()) < n


def has_any(text: str, words: list[str]) -> bool:
    for word in words:  # noqa: SIM110 (so do people write)
        if word in text:
            return True
    return False


def is_question(text: str) -> bool:
    """Ends with a question mark."""
    text = text.strip()
    return text.endswith("?")


@labeling_function
def by_helper(x: Example) -> int:
    return REJECT if too_few(x.response) or has_any(x.response.lower(), WORDS) else ABSTAIN


@labeling_function
def by_helper_twice(x: Example) -> int:
    return ACCEPT if is_question(x.instruction) and not is_question(x.response) else ABSTAIN


@labeling_function
def by_enum(x: Example) -> int:
    return Vote.NO if "sorry" in x.response else Vote.SKIP


@labeling_function
def by_points(x: Example) -> int:
    points = 0
    if "sorry" in x.response:
        points += 1
    if x.response.endswith("."):
        points += 2
    if not x.context:
        points -= 1
    return REJECT if points >= 2 else (ACCEPT if points == 0 else ABSTAIN)


@labeling_function
def by_nested_ifs(x: Example) -> int:
    if "sorry" in x.response:
        if len(x.response) < 30:
            return REJECT
        if x.context:
            return ACCEPT
    return ABSTAIN


@labeling_function
def by_format(x: Example) -> int:
    text = f"{x.instruction} {x.response}".lower()
    return REJECT if "fee" in text else ABSTAIN


@labeling_function
def by_sum_of_texts(x: Example) -> int:
    return REJECT if "a b" in x.instruction + " " + x.response else ABSTAIN


@labeling_function
def by_tuples(x: Example) -> int:
    first, second = x.response, x.context
    low, high = 2, 10
    return REJECT if low <= len(first) <= high and second else ABSTAIN


@labeling_function
def by_default(x: Example) -> int:
    source = x.source or "bank"
    return REJECT if source == "bank" else ABSTAIN


@labeling_function
def raises(x: Example) -> int:
    if "sorry" in x.response:
        raise ValueError("no vote")
    return ACCEPT


@preprocessor
def words_of(x: Example) -> Example:
    x.words = x.response.lower().split()
    x.n_words = len(x.words)
    return x


@preprocessor(pre=[words_of])
def first_of(x: Example) -> Example:
    x.first = x.words[0] if x.n_words else ""
    return x


@labeling_function(pre=[words_of])
def by_preprocessor(x: Example) -> int:
    return REJECT if x.n_words < 3 or "sorry" in x.words else ABSTAIN


@labeling_function(pre=[first_of])
def by_two_preprocessors(x: Example) -> int:
    return REJECT if x.first == "sorry" else ABSTAIN


# Slices


@slicing_function
def without_context(x: Example) -> bool:
    return not x.context.strip()


@slicing_function
def dialogue(x: Example) -> bool:
    return bool(re.search(r"^\s*\w+:", x.response, re.M))


@slicing_function
def asks_how(x: Example) -> bool:
    return "?" in x.instruction and x.instruction.lower().startswith(("how", "what"))


@slicing_function
def long_instruction(x: Example) -> bool | None:
    if len(x.instruction.split()) > 2:
        return True
    return None


@slicing_function
def returns_a_match(x: Example) -> object:
    return re.search("a", x.response)


@slicing_function
def medium(x: Example) -> bool:
    return 3 <= len(x.response.split()) < 6


@slicing_function
def of_one_kind(x: Example) -> bool:
    return x.response.isdigit() | x.response.isalpha() | x.response.isspace() | x.response.isalnum()


@slicing_function
def before_in_the_alphabet(x: Example) -> bool:
    return x.response < x.instruction
