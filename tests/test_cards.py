"""Cards say what was dropped, how sure the numbers are, and under which licences; none of it is made up."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from weaklm.cards import dataset_card, model_card
from weaklm.comparison import Comparison
from weaklm.curation import QualityDataset
from weaklm.errors import SettingsError
from weaklm.report import Report

pytest.importorskip("huggingface_hub")

SCORE = [0.95, 0.02, 0.9, 0.85]
LICENSES = {"instructions": "cc-by-4.0", "llama | 8b": "llama3"}


def rows(source: str = "llama | 8b") -> pd.DataFrame:
    responses = ["It rained.", "Sorry.", "Rain.", "Clouds."]
    return pd.DataFrame({"instruction": [*"abcd"], "response": responses, "source": source, "human_label": "ACCEPT"})


def card(**options: Any) -> str:
    curated = QualityDataset(rows(), SCORE).filter(labels=["ACCEPT"])
    return str(dataset_card(curated, **{"name": "Rain", "license": "cc-by-4.0", "licenses": LICENSES} | options))


def test_a_data_sets_card_has_the_facts_that_the_hub_reads() -> None:
    head = card(language="en").split("---")[1].splitlines()
    assert {"license: cc-by-4.0", "language: en", "pretty_name: Rain", "- n<1K"} <= set(head)


def test_a_data_sets_card_says_what_was_dropped_and_who_wrote_the_rest() -> None:
    text = card()
    assert "3 responses to 3 instructions, chosen from 4" in text
    assert "| label is not ACCEPT | 4 | 1 | 3 |" in text
    assert r"| llama \| 8b | 3 | llama3 |" in text


def test_numbers_come_with_their_intervals() -> None:
    text = card(report=Report(rows(), SCORE))
    assert r"| all rows | 4 | few: 75.0 % \[30, 95\] n=4 |" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"license": ""}, "license=... is missing"),
        ({"licenses": {"instructions": "mit"}}, r"pass licenses=\{'llama | 8b': ...\}"),
        ({"licenses": {"llama | 8b": "mit"}}, r"pass licenses=\{'instructions': ...\}"),
        ({"licenses": LICENSES | {"llama": "mit"}}, "licenses names 'llama', which has no part in this; did you mean"),
    ],
)
def test_a_licence_that_nobody_named_is_asked_for(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        card(**options)


def test_a_models_card_names_its_base_its_data_and_the_comparison(tmp_path: Path) -> None:
    made = model_card(
        name="rain-1",
        base_model="meta-llama/Meta-Llama-3-8B",
        license="llama3",
        licenses={"base model": "llama3", "training data": "cc-by-4.0"},
        curated=QualityDataset(rows(), SCORE).filter(labels=["ACCEPT"]),
        evaluation=Comparison(rows("base"), [0.1] * 4, rows("tuned"), SCORE),
        settings={"learning_rate": 2e-4},
    )
    made.save(tmp_path / "README.md")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert made.data.to_dict()["base_model"] == "meta-llama/Meta-Llama-3-8B"
    assert "fine-tuned on 3 of 4 responses" in text
    assert "| base model | llama3 |" in text
    assert "| learning_rate | 0.0002 |" in text
    assert "| slice | pairs | base | tuned | difference in points |" in text


def test_a_models_card_does_not_say_where_a_folder_is(tmp_path: Path) -> None:
    licenses = {"base model": "mit", "training data": "mit"}
    (tmp_path / "tiny").mkdir()
    made = model_card(name="rain-1", base_model=tmp_path / "tiny", license="mit", licenses=licenses)
    assert str(tmp_path) not in str(made)
    assert "tiny" in str(made)


def test_a_models_card_asks_for_the_licence_of_the_base() -> None:
    with pytest.raises(SettingsError, match=r"pass licenses=\{'base model': \.\.\., 'training data': \.\.\.\}"):
        model_card(name="rain-1", base_model="tiny", license="mit", licenses={})
