"""Some rows of a data set taken apart: the words of their four texts, and what several measures ask about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from weaklm.features.beside import Best, best_sentences
from weaklm.features.corpus import Vocabulary, Weights
from weaklm.features.keyed import Flags, Integers, Numbers, found_in, keys_of
from weaklm.features.phrases import have_courtesies, plain
from weaklm.features.words import Words
from weaklm.text import is_courtesy
from weaklm.text import plain as plain_text

if TYPE_CHECKING:
    import polars as pl

Columns = dict[str, NDArray[Any]]  # one value a row

SENTENCE_TERMS = 3  # a sentence with fewer terms ("Yes, it is.") has nothing that could be supported
_MARKUP = b"*_#`|<>[]{}\\"
_SHARED = ("instruction", "context", "prompt_prefix")


@dataclass(frozen=True)
class Chunk:
    """Some rows taken apart. Equal instructions, contexts and prefixes are kept once; ``_of`` says which is a row's."""

    texts: "Mapping[str, pl.Series]"  # response, and the instructions and prompt_prefixes that differ
    said: "pl.Series"  # the responses in small letters
    lines: Integers  # line breaks of each response
    markup: Integers  # characters of markup of each response
    written: Words  # the responses as they are
    response: Words  # the responses without courtesies: what is checked against the context
    instruction: Words
    instruction_of: Integers
    context: Words
    context_of: Integers
    prefix: Words
    prefix_of: Integers
    weight: Numbers  # of each stem, in millionths
    is_grounded: Flags  # whether each row has a context, or should have one

    @classmethod
    def of(cls, data: pd.DataFrame, vocabulary: Vocabulary, weights: Weights, expects_context: bool) -> "Chunk":
        """Take the rows of a frame of texts apart."""
        import polars as pl

        codes, shared = {}, {}
        for name in _SHARED:
            codes[name], different = pd.factorize(data[name].to_numpy(dtype=object))
            shared[name] = different.tolist()
        lists = {"response": data["response"].tolist(), **shared}
        reading = vocabulary.read(*lists.values())
        texts = {
            name: pl.Series(name, _encodable(lists[name]), dtype=pl.String)
            for name in ("response", "instruction", "prompt_prefix")
        }
        said = plain(texts["response"])
        written, instruction, context, prefix = reading.tables
        return cls(
            texts=texts,
            said=said,
            lines=reading.spans.count(b"\n", written.n),
            markup=reading.spans.count(_MARKUP, written.n),
            written=written,
            response=_without_courtesies(written, reading.spans.raw, said),
            instruction=instruction,
            instruction_of=codes["instruction"],
            context=context,
            context_of=codes["context"],
            prefix=prefix,
            prefix_of=codes["prompt_prefix"],
            weight=weights.of(reading.stems),
            is_grounded=(context.n_words[codes["context"]] > 0) | expects_context,
        )

    def grounded(self, values: NDArray[Any]) -> Numbers:
        """Return one value a row where grounding has a meaning, else NaN."""
        return np.where(self.is_grounded, values, np.nan)

    def prompts(self, row: int) -> tuple[str, ...]:
        """Return the earlier turns and the instruction of a row."""
        of = {"prompt_prefix": self.prefix_of, "instruction": self.instruction_of}
        return tuple(self.texts[name][int(texts[row])] for name, texts in of.items())

    def is_in(self, words: Words, known: Words, known_of: Integers) -> Flags:
        """Tell for each word of a table with one text a row whether the row's other text has its stem."""
        return known.has(known_of[words.text], words.stem, len(self.weight))

    def copied(self, n: int) -> tuple[Flags, Integers]:
        """Tell for each run of n words of the responses whether the context has it, and where it begins."""
        r, c = self.response, self.context
        own, places = r.ngrams(n)
        is_there = self.seen[places]
        for step in range(1, n):  # a run can only be there if all its words are
            is_there &= self.seen[places + step]
        at = np.flatnonzero(is_there)
        keys, there = c.ngrams(n)
        asked = keys_of(self.context_of[r.text[places[at]]], own[at])
        is_there[at] = found_in(asked, keys_of(c.text[there], keys))
        return is_there, places

    @cached_property
    def term_weight(self) -> Numbers:
        """The weight of each word of the responses, 0 for words that carry no meaning."""
        return self.weight[self.response.stem] * self.response.is_term

    @cached_property
    def seen(self) -> Flags:
        """Whether each word of the responses stands in the row's context."""
        return self.is_in(self.response, self.context, self.context_of)

    @cached_property
    def is_asked(self) -> Flags:
        """Whether each word of the responses stands in the instruction."""
        return self.is_in(self.response, self.instruction, self.instruction_of)

    @cached_property
    def known(self) -> Flags:
        """Whether each word of the responses stands in context, instruction or earlier turns."""
        return self.seen | self.is_asked | self.is_in(self.response, self.prefix, self.prefix_of)

    @cached_property
    def distinct(self) -> Flags:
        """Whether no word before has the stem of a word, in each response."""
        return self.response.first_in_text(len(self.weight))

    @cached_property
    def counted(self) -> Flags:
        """Whether each sentence of the responses has enough terms to be supported."""
        sentence, owner = self.response.sentences
        return np.bincount(sentence[self.response.is_term], minlength=len(owner)) >= SENTENCE_TERMS

    @cached_property
    def best(self) -> Best:
        """The best sentence of the context for each sentence of the responses."""
        return best_sentences(self.response, self.context, self.context_of, self.weight)


def _encodable(texts: list[str]) -> list[str]:
    """Return the texts, half a surrogate pair replaced: a column of texts cannot hold it."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [text.encode("utf-8", "replace").decode() for text in texts]
    return texts


def _without_courtesies(written: Words, raw: bytes, said: "pl.Series") -> Words:
    """Return the words of the responses without those of sentences that are courtesies."""
    rows = have_courtesies(said)
    if not len(rows):
        return written
    sentence, owner = written.sentences
    first = np.flatnonzero(np.diff(written.sentence, prepend=-1))
    polite = np.zeros(len(owner), dtype=bool)
    is_asked = np.zeros(written.n, dtype=bool)
    is_asked[rows] = True
    begins, ends = written.begins[first], written.ends[np.append(first[1:], len(sentence)) - 1]
    for at in np.flatnonzero(is_asked[owner]).tolist():
        polite[at] = is_courtesy(plain_text(raw[begins[at] : ends[at]].decode("utf-8", "surrogatepass")))
    return written.only(~polite[sentence]) if polite.any() else written
