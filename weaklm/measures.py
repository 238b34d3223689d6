"""What is measured of responses: eight families of named columns, each a function of some rows taken apart.

All work on whole columns of tokens. NaN stands where a measure has no meaning, such as grounding without a context.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.corpus import Flags, Hashes, Integers, Numbers, Tokens, Vocabulary, found_in, keys_of, ratio
from weaklm.form import breaks_off, has_machine_tokens, is_wrapped, length_to_limit
from weaklm.questions import asks_figure, asks_way
from weaklm.text import HEDGES, admissions, courtesies, refusals, stem

Columns = dict[str, NDArray[Any]]

_FIRST_PERSON = ("i", "me", "my", "mine", "we", "us", "our", "am")
_SECOND_PERSON = ("you", "your", "yours")
_NEGATIONS = ("no", "not", "nor", "never", "neither", "cannot", "without", "don", "doesn", "isn")
_SENTENCE_WORDS = 5  # shorter ones ("Call us.") may well come twice
_SENTENCE_TERMS = 3  # a sentence with fewer terms ("Yes, it is.") has nothing that could be supported


@dataclass(frozen=True)
class Chunk:
    """Some rows taken apart. Equal instructions, contexts and prefixes are kept once; ``_of`` says which is a row's."""

    data: pd.DataFrame
    written: Tokens  # the responses as they are
    response: Tokens  # the responses without courtesies: what is checked against the context
    instruction: Tokens
    instruction_of: Integers
    context: Tokens
    context_of: Integers
    prefix: Tokens
    prefix_of: Integers
    weight: Numbers  # of each stem in the vocabulary
    stems: list[str]
    context_words: Integers  # the number of words of each row's context
    is_grounded: Flags  # whether each row has a context, or should have one

    @classmethod
    def of(cls, data: pd.DataFrame, weights: Mapping[str, float], unknown: float, expects_context: bool) -> "Chunk":
        """Take the rows of a complete frame apart; ``unknown`` is the weight of a stem that ``weights`` lacks."""
        vocabulary = Vocabulary()
        responses = data["response"].tolist()
        parts: dict[str, Any] = {"written": vocabulary.read(responses)}
        parts["response"] = parts["written"].without([courtesies(text) for text in responses])
        for name, column in (("instruction", "instruction"), ("context", "context"), ("prefix", "prompt_prefix")):
            codes, texts = pd.factorize(data[column])
            parts |= {name: vocabulary.read(list(texts)), f"{name}_of": codes.astype(np.int64)}
        stems = vocabulary.stems
        weight = np.array([weights.get(word, unknown) for word in stems])
        n_words = np.bincount(parts["context"].text, minlength=parts["context"].n)[parts["context_of"]]
        is_grounded = (n_words > 0) | expects_context
        return cls(data, **parts, weight=weight, stems=stems, context_words=n_words, is_grounded=is_grounded)

    def rows(self, measure: Callable[..., float]) -> Numbers:
        """Return a measure of each response."""
        return np.array([measure(response) for response in self.data["response"]], dtype=float)

    def rows_with_prompt(self, measure: Callable[..., float]) -> Numbers:
        """Return a measure of each response with its prompt prefix and instruction."""
        columns = (self.data[name] for name in ("response", "prompt_prefix", "instruction"))
        return np.array([measure(*texts) for texts in zip(*columns, strict=True)], dtype=float)

    def grounded(self, values: Numbers) -> Numbers:
        """Return one value a row where grounding has a meaning, else NaN."""
        return np.where(self.is_grounded, values, np.nan)

    def is_in(self, known: Tokens, known_of: Integers) -> Flags:
        """Tell for each word of the responses whether the row's other text has its stem."""
        keys = np.sort(keys_of(known.text, known.stem))
        return found_in(keys_of(known_of[self.response.text], self.response.stem), keys)

    def grams_in(self, n: int, known: Tokens, known_of: Integers) -> tuple[Flags, Integers]:
        """Tell for each run of n words of the responses whether the row's other text has it; and where it begins."""
        keys, places = known.ngrams(n)
        own, own_places = self.response.ngrams(n)
        sorted_keys: Hashes = np.sort(keys_of(known.text[places], keys))
        return found_in(keys_of(known_of[self.response.text[own_places]], own), sorted_keys), own_places

    @cached_property
    def seen(self) -> Flags:
        """Whether each word of the responses stands in the row's context."""
        return self.is_in(self.context, self.context_of)


def _first(tokens: Tokens, key: Hashes) -> Flags:
    """Flag the first of equal keys."""
    flags = np.zeros(len(tokens.text), dtype=bool)
    flags[np.unique(key, return_index=True)[1]] = True
    return flags


def novelty(chunk: Chunk) -> Columns:
    """How much of the response the context does not have."""
    r = chunk.response
    weight = chunk.weight[r.stem] * r.is_term
    novel = r.is_term & ~chunk.seen
    distinct = _first(r, keys_of(r.text, r.stem))
    return {
        "novel_terms": chunk.grounded(r.total(novel & distinct)),
        "novel_share": chunk.grounded(r.share(novel, r.is_term)),
        "novel_weight": chunk.grounded(r.share(novel * weight, weight)),
        "novel_weight_sum": chunk.grounded(r.total(novel * distinct * weight)),
    }


def copying(chunk: Chunk) -> Columns:
    """How much of the response stands in the context word for word."""
    r = chunk.response
    columns: Columns = {}
    for n, name in ((2, "novel_bigrams"), (3, "novel_trigrams")):
        found, places = chunk.grams_in(n, chunk.context, chunk.context_of)
        counts = np.bincount(r.text[places], minlength=r.n).astype(float)
        columns[name] = chunk.grounded(1 - ratio(np.bincount(r.text[places], found, r.n), counts))
        if n == 2:
            pairs, pair_places = found, places
    copied = np.zeros(len(r.text), dtype=bool)
    copied[pair_places[pairs]] = True
    copied[pair_places[pairs] + 1] = True
    every = np.ones(len(r.text))
    columns["copied_share"] = chunk.grounded(r.share(copied, every))
    # A copied fragment: neighbouring copied words of one text.
    begins = copied & ~np.concatenate([[False], (copied[:-1] & (r.text[1:] == r.text[:-1]))])
    fragment = np.cumsum(begins)[copied] - 1
    sizes = np.bincount(fragment) if len(fragment) else np.zeros(0)
    owners = r.text[begins]
    longest = np.zeros(r.n)
    np.maximum.at(longest, owners, sizes)
    columns["copied_longest"] = chunk.grounded(longest)
    columns["copied_density"] = chunk.grounded(ratio(np.bincount(owners, sizes**2, r.n), r.total(every)))
    return columns


def support(chunk: Chunk) -> Columns:
    """How much of each sentence the context has, and its best single sentence has: the mean and the weakest."""
    r = chunk.response
    weight = chunk.weight[r.stem] * r.is_term
    sentence, owner = r.sentences()
    n_sentences = len(owner)
    terms = np.bincount(sentence, r.is_term, n_sentences)
    total = np.bincount(sentence, weight, n_sentences)
    whole = ratio(np.bincount(sentence, weight * chunk.seen, n_sentences), total)
    best = _best_support(chunk, sentence, weight, n_sentences)
    counted = terms >= _SENTENCE_TERMS
    columns: Columns = {}
    for name, found in (("support", whole), ("best_support", best)):
        n = np.bincount(owner[counted], minlength=r.n).astype(float)
        columns[f"{name}_mean"] = chunk.grounded(ratio(np.bincount(owner[counted], found[counted], r.n), n))
        weakest = np.full(r.n, np.inf)
        np.minimum.at(weakest, owner[counted], found[counted])
        columns[f"{name}_min"] = chunk.grounded(np.where(np.isinf(weakest), np.nan, weakest))
    return columns


def _best_support(chunk: Chunk, sentence: Integers, weight: Numbers, n_sentences: int) -> Numbers:
    """Return for each sentence of the responses the share of its terms that the best sentence of its context has."""
    r, c = chunk.response, chunk.context
    place, _ = c.sentences()
    known = np.flatnonzero(c.is_term & _first(c, keys_of(place, c.stem)))
    key = keys_of(c.text[known], c.stem[known])
    order = np.argsort(key, kind="stable")
    key, place = key[order], place[known][order]
    asked = np.flatnonzero(r.is_term & _first(r, keys_of(sentence, r.stem)))
    own = keys_of(chunk.context_of[r.text[asked]], r.stem[asked])
    low, high = np.searchsorted(key, own, "left"), np.searchsorted(key, own, "right")
    # Every pair of a term of a response and a sentence of its context that has the term.
    counts = high - low
    term = np.repeat(asked, counts)
    other = place[np.arange(len(term)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)]
    n_places = int(place.max()) + 1 if len(place) else 1
    pair, at = np.unique(sentence[term] * n_places + other, return_inverse=True)
    overlap = np.bincount(at, weight[term], len(pair))
    best = np.zeros(n_sentences)
    np.maximum.at(best, pair // n_places, overlap)
    return ratio(best, np.bincount(sentence[asked], weight[asked], n_sentences))


def missing(chunk: Chunk) -> Columns:
    """Numbers and names that neither context, instruction nor earlier turns have."""
    r = chunk.response
    known = (
        chunk.seen | chunk.is_in(chunk.instruction, chunk.instruction_of) | chunk.is_in(chunk.prefix, chunk.prefix_of)
    )
    distinct = _first(r, keys_of(r.text, r.stem))
    number, name = r.is_number & distinct, r.is_name & distinct
    return {
        "numbers": r.total(number),
        "missing_numbers": chunk.grounded(r.total(number & ~known)),
        "missing_numbers_share": chunk.grounded(r.share(number & ~known, number)),
        "names": r.total(name),
        "missing_names": chunk.grounded(r.total(name & ~known)),
        "missing_names_share": chunk.grounded(r.share(name & ~known, name)),
        "novel_to_all": chunk.grounded(r.share(r.is_term & ~known, r.is_term)),
    }


def relevance(chunk: Chunk) -> Columns:
    """How much of the instruction the response takes up, and the context could answer."""
    q, c, r = chunk.instruction, chunk.context, chunk.response
    asked = np.flatnonzero(q.is_term & _first(q, keys_of(q.text, q.stem)))
    # One entry for each term of each row's instruction: instructions are shared by rows.
    counts = np.bincount(q.text[asked], minlength=q.n)
    starts = np.cumsum(counts) - counts
    per_row = counts[chunk.instruction_of]
    row = np.repeat(np.arange(r.n), per_row)
    at = np.arange(len(row)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    word = q.stem[asked[at + np.repeat(starts[chunk.instruction_of], per_row)]] if len(row) else row
    weight = chunk.weight[word]
    taken = found_in(keys_of(row, word), np.sort(keys_of(r.text, r.stem)))
    answerable = found_in(keys_of(chunk.context_of[row], word), np.sort(keys_of(c.text, c.stem)))
    total = np.bincount(row, weight, r.n)
    offered = r.is_term & chunk.seen & ~chunk.is_in(q, chunk.instruction_of) & _first(r, keys_of(r.text, r.stem))
    instructions = chunk.data["instruction"]
    return {
        "offered_terms": chunk.grounded(r.total(offered)),
        "asks_figure": np.array([asks_figure(text) for text in instructions]),
        "asks_way": np.array([asks_way(text) for text in instructions]),
        "instruction_terms": per_row.astype(float),
        "instruction_taken_up": ratio(np.bincount(row, weight * taken, r.n), total),
        "instruction_in_context": chunk.grounded(ratio(np.bincount(row, weight * answerable, r.n), total)),
    }


def repetition(chunk: Chunk) -> Columns:
    """How much the response says twice, and repeats of the prompt."""
    w = chunk.written
    columns: Columns = {}
    for n, name in ((2, "repeated_bigrams"), (4, "repeated_fourgrams")):
        key, places = w.ngrams(n)
        owner = w.text[places]
        distinct = np.bincount(owner[np.unique(keys_of(owner, key), return_index=True)[1]], minlength=w.n)
        columns[name] = 1 - ratio(distinct, np.bincount(owner, minlength=w.n))
    said, owner = w.signatures(_SENTENCE_WORDS)
    first = np.unique(keys_of(owner, said), return_index=True)[1]
    columns["repeated_sentences"] = np.bincount(owner, minlength=w.n) - np.bincount(owner[first], minlength=w.n)
    echoed = np.zeros(len(said), dtype=bool)
    for known, known_of in ((chunk.instruction, chunk.instruction_of), (chunk.prefix, chunk.prefix_of)):
        keys, texts = known.signatures(_SENTENCE_WORDS)
        echoed |= found_in(keys_of(known_of[owner], said), np.sort(keys_of(texts, keys)))
    columns["echoed_sentences"] = np.bincount(owner, echoed, w.n)
    return columns


def form(chunk: Chunk) -> Columns:
    """Length, sentences, lists, ending, markup, capitals."""
    w, responses = chunk.written, chunk.data["response"]
    every = np.ones(len(w.text))
    n_words, n_context = w.total(every), chunk.context_words
    n_sentences = np.bincount(w.sentences()[1], minlength=w.n)
    stripped = responses.str.rstrip()
    broken, machine, wrapped = (
        chunk.rows(breaks_off),
        chunk.rows(has_machine_tokens),
        chunk.rows_with_prompt(is_wrapped),
    )
    to_limit, capitals = chunk.rows_with_prompt(length_to_limit), w.share(w.is_capitals, every)
    return {
        "words": n_words,
        "sentences": n_sentences,
        "words_per_sentence": ratio(n_words, n_sentences),
        "words_to_context": ratio(n_words, n_context),
        "words_to_limit": to_limit,
        "context_words": n_context,
        "prefix_words": chunk.prefix.total(np.ones(len(chunk.prefix.text)))[chunk.prefix_of],
        "term_share": w.share(w.is_term, every),
        "ends_complete": stripped.str.endswith((".", "!", "?", ")", '"', "\u201d", "`", "|", "*")),
        "ends_with_question": stripped.str.endswith("?"),
        "breaks_off": broken,
        "machine_tokens": machine,
        "wrapped": wrapped,
        "capital_share": capitals,
        # Each is rare, and a tree needs some rows to split off: together they are enough.
        "form_defects": broken + machine + wrapped + (capitals > 0.6) + (to_limit > 1.1),
        "lines": responses.str.count("\n"),
        "markup": responses.str.count(r"[*_#`|<>\[\]{}\\]"),
    }


def stance(chunk: Chunk) -> Columns:
    """Refusals, hedges, first and second person, negations."""
    w = chunk.written
    every = np.ones(len(w.text))
    return {
        "refusals": chunk.rows(lambda response: len(refusals(response))),
        "admissions": chunk.rows(lambda response: len(admissions(response))),
        "hedges": w.total(_is_one_of(chunk, HEDGES)),
        "first_person": w.share(_is_one_of(chunk, _FIRST_PERSON), every),
        "second_person": w.share(_is_one_of(chunk, _SECOND_PERSON), every),
        "negations": w.share(_is_one_of(chunk, _NEGATIONS), every),
    }


def _is_one_of(chunk: Chunk, listed: Iterable[str]) -> Flags:
    stems = {stem(word) for word in listed}
    return np.array([word in stems for word in chunk.stems], dtype=bool)[chunk.written.stem]
