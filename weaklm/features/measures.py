"""What is measured of responses: families of named columns, each a function of some rows taken apart.

All work on whole columns of words. NaN stands where a measure has no meaning, such as grounding without a context.
"""

import numpy as np
import pandas as pd

from weaklm.features.beside import ranges
from weaklm.features.chunk import Chunk, Columns
from weaklm.features.keyed import first_of, found_in, keys_of, ratio, text_of
from weaklm.features.phrases import asked, declining, endings, left_overs, limits, may_limit, wrappings
from weaklm.features.wordfacts import CAPITALS, DATE, FIRST_PERSON, HEDGE, NEGATION, SECOND_PERSON, YES_NO

_SENTENCE_WORDS = 5  # shorter ones ("Call us.") may well come twice


def novelty(chunk: Chunk) -> Columns:
    """How much of the response the context does not have."""
    r, weight = chunk.response, chunk.term_weight
    novel = r.is_term & ~chunk.seen
    once = novel & chunk.distinct
    any_weight = chunk.weight[r.stem]
    return {
        "novel_words": chunk.grounded(ratio(r.total(~chunk.seen), r.n_words)),
        "novel_words_weight": chunk.grounded(r.share(any_weight * ~chunk.seen, any_weight)),
        "novel_terms": chunk.grounded(r.total(once)),
        "novel_share": chunk.grounded(r.share(novel, r.is_term)),
        "novel_weight": chunk.grounded(r.share(novel * weight, weight)),
        "novel_weight_sum": chunk.grounded(r.total(once * weight) / 1e6),
    }


def copying(chunk: Chunk) -> Columns:
    """How much of the response stands in the context word for word."""
    r = chunk.response
    columns: Columns = {}
    for n, name in ((3, "novel_trigrams"), (2, "novel_bigrams")):
        found, places = chunk.copied(n)
        counts = np.bincount(r.text[places], minlength=r.n).astype(float)
        columns[name] = chunk.grounded(1 - ratio(np.bincount(r.text[places[found]], minlength=r.n), counts))
    copied = np.zeros(len(r.text), dtype=bool)
    copied[places[found]] = True
    copied[places[found] + 1] = True
    columns["copied_share"] = chunk.grounded(ratio(r.total(copied), r.n_words))
    # A copied fragment: neighbouring copied words of one text.
    begins = copied & ~np.concatenate([[False], (copied[:-1] & (r.text[1:] == r.text[:-1]))])
    sizes = np.bincount(np.cumsum(begins)[copied] - 1) if copied.any() else np.zeros(0, dtype=np.int64)
    owners = r.text[begins]
    longest = np.zeros(r.n)
    np.maximum.at(longest, owners, sizes)
    columns["copied_longest"] = chunk.grounded(longest)
    columns["copied_density"] = chunk.grounded(ratio(np.bincount(owners, sizes**2, r.n), r.n_words))
    return columns


def support(chunk: Chunk) -> Columns:
    """How much of each sentence the context has, and its best single sentence has: the mean and the weakest."""
    r, weight = chunk.response, chunk.term_weight
    sentence, owner = r.sentences
    n_sentences = len(owner)
    whole = ratio(np.bincount(sentence, weight * chunk.seen, n_sentences), np.bincount(sentence, weight, n_sentences))
    counted = chunk.counted
    n = np.bincount(owner[counted], minlength=r.n).astype(float)
    columns: Columns = {}
    for name, found in (("support", whole), ("best_support", chunk.best.support)):
        columns[f"{name}_mean"] = chunk.grounded(ratio(np.bincount(owner[counted], found[counted], r.n), n))
        weakest = np.full(r.n, np.inf)
        np.minimum.at(weakest, owner[counted], found[counted])
        columns[f"{name}_min"] = chunk.grounded(np.where(np.isinf(weakest), np.nan, weakest))
    return columns


def missing(chunk: Chunk) -> Columns:
    """Numbers, dates and names that neither context, instruction nor earlier turns have; units the context lacks."""
    r, c, known = chunk.response, chunk.context, chunk.known
    number, name = r.is_number & chunk.distinct, r.is_name & chunk.distinct
    date = r.is_kind(DATE) & chunk.distinct
    # A number of the context that has a unit there, but never the one that it has here.
    own, other = r.unit > 0, c.unit > 0
    row = chunk.context_of[r.text[own]]
    has_unit = found_in(keys_of(row, r.stem[own]), keys_of(c.text[other], c.stem[other]))
    has_this = found_in(
        keys_of(row, r.stem[own] << 8 | r.unit[own]), keys_of(c.text[other], c.stem[other] << 8 | c.unit[other])
    )
    return {
        "missing_dates": chunk.grounded(r.total(date & ~known)),
        "missing_units": chunk.grounded(np.bincount(r.text[own][has_unit & ~has_this], minlength=r.n)),
        "numbers": r.total(number),
        "missing_numbers": chunk.grounded(r.total(number & ~known)),
        "missing_numbers_share": chunk.grounded(r.share(number & ~known, number)),
        "names": r.total(name),
        "missing_names": chunk.grounded(r.total(name & ~known)),
        "missing_names_share": chunk.grounded(r.share(name & ~known, name)),
        "novel_to_all": chunk.grounded(r.share(r.is_term & ~known, r.is_term)),
    }


def relevance(chunk: Chunk) -> Columns:
    """How much of the instruction the response takes up, and the context could answer; whether it answers in kind."""
    q, r, n_stems = chunk.instruction, chunk.response, len(chunk.weight)
    asking = np.flatnonzero(q.is_term & q.first_in_text(n_stems))
    # One entry for each term of each row's instruction: instructions are shared by rows.
    counts = np.bincount(q.text[asking], minlength=q.n)
    starts = np.cumsum(counts) - counts
    per_row = counts[chunk.instruction_of]
    row = np.repeat(np.arange(r.n), per_row)
    word = q.stem[asking[ranges(starts[chunk.instruction_of], per_row)]]
    weight = chunk.weight[word]
    taken = r.has(row, word, n_stems)
    answerable = chunk.context.has(chunk.context_of[row], word, n_stems)
    total = np.bincount(row, weight, r.n)
    offered = r.is_term & chunk.seen & chunk.distinct & ~chunk.is_asked
    asks = {name: flags[chunk.instruction_of] for name, flags in asked(chunk.texts["instruction"]).items()}
    lacks = (
        (asks["asks_figure"] & (r.total(r.is_number) == 0))
        | (asks["asks_person"] & (r.total(r.is_name | r.is_kind(FIRST_PERSON | SECOND_PERSON)) == 0))
        | (asks["asks_yes_no"] & (r.total(r.is_kind(YES_NO)) == 0))
    )
    return {
        "offered_terms": chunk.grounded(r.total(offered)),
        "asks_figure": asks["asks_figure"],
        "asks_way": asks["asks_way"],
        "answer_type_missing": lacks,
        "instruction_terms": per_row.astype(float),
        "instruction_taken_up": ratio(np.bincount(row, weight * taken, r.n), total),
        "instruction_in_context": chunk.grounded(ratio(np.bincount(row, weight * answerable, r.n), total)),
    }


def repetition(chunk: Chunk) -> Columns:
    """How much the response says twice, and repeats of the prompt."""
    w = chunk.written
    columns: Columns = {}
    is_again = np.ones(len(w.text), dtype=bool)
    for n, name in ((2, "repeated_bigrams"), (4, "repeated_fourgrams")):
        key, places = w.ngrams(n)
        counts = np.bincount(w.text[places], minlength=w.n)
        # Four words come again only where the first two of them do.
        key, places = key[is_again[places]], places[is_again[places]]
        code, different = pd.factorize(keys_of(w.text[places], key))
        is_again[places] = np.bincount(code, minlength=1)[code] > 1
        n_again = np.bincount(w.text[places], minlength=w.n) - np.bincount(text_of(different), minlength=w.n)
        columns[name] = ratio(n_again, counts)
    said, owner = w.signatures(_SENTENCE_WORDS)
    again = ~first_of(keys_of(owner, said))
    columns["repeated_sentences"] = np.bincount(owner[again], minlength=w.n)
    echoed = np.zeros(len(said), dtype=bool)
    for known, known_of in ((chunk.instruction, chunk.instruction_of), (chunk.prefix, chunk.prefix_of)):
        keys, texts = known.signatures(_SENTENCE_WORDS)
        echoed |= found_in(keys_of(known_of[owner], said), keys_of(texts, keys))
    columns["echoed_sentences"] = np.bincount(owner[echoed], minlength=w.n)
    return columns


def form(chunk: Chunk) -> Columns:
    """Length, sentences, lists, ending, markup, capitals."""
    w, responses = chunk.written, chunk.texts["response"]
    n_words, n_context = w.n_words, chunk.context.n_words[chunk.context_of]
    n_sentences = np.bincount(w.sentences[1], minlength=w.n)
    ends = endings(responses)
    machine, wrapped = left_overs(responses, chunk.said), wrappings(responses, chunk.prompts)
    instructions, prefixes = (may_limit(chunk.texts[name]) for name in ("instruction", "prompt_prefix"))
    limited = instructions[chunk.instruction_of] | prefixes[chunk.prefix_of]
    to_limit, capitals = limits(responses, limited, chunk.prompts), ratio(w.total(w.is_kind(CAPITALS)), n_words)
    return {
        "words": n_words,
        "sentences": n_sentences,
        "words_per_sentence": ratio(n_words, n_sentences),
        "words_to_context": ratio(n_words, n_context),
        "words_to_instruction": ratio(n_words, chunk.instruction.n_words[chunk.instruction_of]),
        "words_to_limit": to_limit,
        "context_words": n_context,
        "prefix_words": chunk.prefix.n_words[chunk.prefix_of],
        "term_share": w.share(w.is_term, np.ones(len(w.text))),
        **ends,
        "machine_tokens": machine,
        "wrapped": wrapped,
        "capital_share": capitals,
        # Each is rare, and a tree needs some rows to split off: together they are enough.
        "form_defects": ends["breaks_off"] + machine + wrapped + (capitals > 0.6) + (to_limit > 1.1),
        "lines": chunk.lines,
        "markup": chunk.markup,
    }


def stance(chunk: Chunk) -> Columns:
    """Refusals, hedges, first and second person, negations."""
    w = chunk.written
    return {
        **declining(chunk.said),
        "hedges": w.total(w.is_kind(HEDGE)),
        "first_person": ratio(w.total(w.is_kind(FIRST_PERSON)), w.n_words),
        "second_person": ratio(w.total(w.is_kind(SECOND_PERSON)), w.n_words),
        "negations": ratio(w.total(w.is_kind(NEGATION)), w.n_words),
    }
