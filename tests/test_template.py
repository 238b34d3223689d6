from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny_models import CHAT, rows, tokenizer
from weaklm.data import Example
from weaklm.errors import ModelError, TemplateMismatchError
from weaklm.lm.template import RESPONSE_EMPTY, RESPONSE_TOO_LONG, ROW_TOO_LONG, Template

PLAIN_TOKENIZER, CHAT_TOKENIZER = tokenizer(), tokenizer(CHAT)
TEMPLATES = [Template(PLAIN_TOKENIZER), Template(CHAT_TOKENIZER)]
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT

# Text as users write it, with the tokenizer's own special tokens inside.
texts = st.lists(st.one_of(st.text(max_size=30), st.sampled_from(["<s>", "</s>", "<|end|>", "\n\n", " "]))).map("".join)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": ["a"], "instruction": ["Why?"], "response": ["So."]} | columns)


@pytest.mark.parametrize("template", TEMPLATES, ids=["plain", "chat"])
@given(data=st.lists(st.tuples(texts.filter(str.strip), texts, texts, texts), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_the_prompt_of_a_training_row_is_the_prompt_that_is_generated_from(
    template: Template, data: list[tuple[str, str, str, str]]
) -> None:
    given_rows = pd.DataFrame(data, columns=["instruction", "context", "prompt_prefix", "response"])
    given_rows = given_rows.assign(id=[str(i) for i in range(len(data))])
    training = template.encode(given_rows, 10_000)
    prompts = {row.id: row.ids.tolist() for row in template.encode_prompts(given_rows).rows}
    assert {*training.dropped.get(RESPONSE_EMPTY, []), *(row.id for row in training.rows)} == set(given_rows["id"])
    for row in training.rows:
        assert row.ids[: row.n_prompt].tolist() == prompts[row.id]
        assert row.ids.tolist().count(0) == 1 and row.ids[0] == 0  # exactly one BOS, at the start
        answer = row.ids[row.loss_mask].tolist()
        assert answer.count(template.end_id) == 1 and answer[-1] == template.end_id  # the end token is trained


def test_the_chat_prompt_is_what_apply_chat_template_sends() -> None:
    x = frame(context=["It rains."], prompt_prefix=["Be brief."])
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?\n\nIt rains."}]
    sent = CHAT_TOKENIZER.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    assert TEMPLATES[1].encode_prompts(x).rows[0].ids.tolist() == sent


def test_the_plain_prompt_is_written_out_in_parts() -> None:
    x = Example(instruction="Why?", context="It rains.", prompt_prefix="Be brief.")
    expected = "Be brief.\n\n### Instruction:\nWhy?\n\n### Context:\nIt rains.\n\n### Response:\n"
    assert TEMPLATES[0].render(x) == expected
    assert TEMPLATES[0].render(Example(instruction="Why?")) == "### Instruction:\nWhy?\n\n### Response:\n"


def test_loss_falls_on_the_response_and_its_end_only() -> None:
    row = TEMPLATES[0].encode(frame(), 100).rows[0]
    response = PLAIN_TOKENIZER("So.", add_special_tokens=False)["input_ids"]
    assert row.ids[row.loss_mask].tolist() == [*response, PLAIN_TOKENIZER.eos_token_id]


def test_a_prefix_goes_before_the_instruction_when_the_chat_template_refuses_a_system_message() -> None:
    rendered = Template(tokenizer(NO_SYSTEM)).render(Example(instruction="Why?", prompt_prefix="Be brief."))
    assert rendered == "<s><|start|>user\nBe brief.\n\nWhy?<|end|><|start|>assistant\n"


def test_the_token_that_the_chat_template_puts_after_an_answer_ends_it() -> None:
    text = tokenizer(CHAT)
    text.eos_token = "</s>"
    assert Template(text).end_id == text.convert_tokens_to_ids("<|end|>")


@pytest.mark.parametrize("template", TEMPLATES, ids=["plain", "chat"])
def test_a_row_that_is_too_long_loses_the_end_of_its_context_only(template: Template) -> None:
    x = frame(context=["word " * 200], response=["A full answer."])
    whole, cut = template.encode(x, 10_000).rows[0], template.encode(x, 120)
    row = cut.rows[0]
    assert 110 < len(row.ids) <= 120
    assert row.ids[row.loss_mask].tolist() == whole.ids[whole.loss_mask].tolist()
    assert 0 < cut.context_cut["a"] < 1000 and not cut.dropped
    again = template.encode_prompts(x, row.n_prompt)
    assert again.rows[0].ids.tolist() == row.ids[: row.n_prompt].tolist()


def test_a_context_without_spaces_is_cut_too() -> None:
    cut = TEMPLATES[0].encode(frame(context=["雨" * 300]), 200)
    assert cut.context_cut["a"] < 300 and len(cut.rows[0].ids) <= 200


def test_responses_that_do_not_fit_are_left_out_and_named() -> None:
    x = pd.DataFrame(
        {
            "id": ["fits", "long", "both", "empty"],
            "instruction": ["Why?", "Why?", "Why? " * 9, "Why?"],
            "response": ["So.", "So. " * 50, "So. " * 12, " "],
        }
    )
    encoded = TEMPLATES[0].encode(x, 80)
    assert [row.id for row in encoded.rows] == ["fits"]
    assert encoded.dropped == {RESPONSE_TOO_LONG: ["long"], ROW_TOO_LONG: ["both"], RESPONSE_EMPTY: ["empty"]}


def test_the_hash_changes_with_template_and_vocabulary_but_not_from_one_time_to_the_next() -> None:
    other_words = tokenizer()
    other_words.add_tokens(["Sum up"])
    hashes = {Template(text).hash for text in (tokenizer(), tokenizer(CHAT), tokenizer(CHAT + " "), other_words)}
    assert len(hashes) == 4
    assert Template(tokenizer(CHAT)).hash == TEMPLATES[1].hash


def test_a_template_is_locked_when_it_is_made() -> None:
    text = tokenizer(CHAT)
    template = Template(text)
    before = template.hash, template.render(Example(instruction="Why?"))
    text.chat_template = "{{ messages[0]['content'] }}"
    assert (template.hash, template.render(Example(instruction="Why?"))) == before


def test_a_chat_template_that_prints_the_date_prints_the_same_one_for_ever() -> None:
    dated = Template(tokenizer("{{ bos_token }}{{ strftime_now('%d %b %Y') }} " + CHAT))
    assert dated.render(Example(instruction="Why?")).startswith("<s>26 Jul 2024 ")


def test_a_chat_template_runs_in_a_sandbox() -> None:
    with pytest.raises(ModelError, match="cannot be rendered"):
        Template(tokenizer("{{ messages.__class__.__mro__ }}"))


def test_another_template_is_refused_with_both_hashes() -> None:
    with pytest.raises(TemplateMismatchError, match=rf"(?s)abc.*{TEMPLATES[0].hash}.*force=True"):
        TEMPLATES[0].check("abc", "the adapter x")
    TEMPLATES[0].check(TEMPLATES[0].hash, "the adapter x")


def test_a_tokenizer_without_an_end_token_is_refused() -> None:
    text = tokenizer()
    text.eos_token = None
    with pytest.raises(ModelError, match="no EOS token"):
        Template(text)


def test_rows_keep_their_order_and_count_their_response_tokens() -> None:
    encoded = TEMPLATES[1].encode(rows(8), 512)
    assert [row.id for row in encoded.rows] == [f"row{i}" for i in range(8)]
    assert encoded.n_response_tokens == sum(int(np.sum(row.loss_mask)) for row in encoded.rows)
