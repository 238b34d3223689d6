"""Models without a server as judges."""

from pathlib import Path

import pandas as pd
import pytest

from tests.tiny_models import CHAT, save_model
from weaklm.judges.completers import LocalModel
from weaklm.judges.judge import Judge
from weaklm.lm.generation import LanguageModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = save_model(tmp_path_factory.mktemp("tiny") / "base", chat=CHAT, window=1024)
    return LanguageModel.load(folder, quantize=None)


def test_a_language_model_completes_each_prompt_in_its_place(model: LanguageModel) -> None:
    prompts = ["What is 3 plus 4?", "word " * 2000, "What is 7 plus 8?", "What is 3 plus 4?"]
    alone = [
        model.generate(pd.DataFrame({"instruction": [prompt]}), max_new_tokens=8, progress=False)["response"].iloc[0]
        for prompt in (prompts[0], prompts[2])
    ]
    assert LocalModel(model, max_new_tokens=8).complete(prompts) == [alone[0], None, alone[1], alone[0]]
    assert alone[0] != alone[1]


def test_a_language_model_judges_and_its_babble_is_no_answer(model: LanguageModel, tmp_path: Path) -> None:
    judge = Judge("ok", "Is it?", model=LocalModel(model, max_new_tokens=8), cache=tmp_path / "j.db", template=SHORT)
    data = pd.DataFrame({"instruction": ["Why?"], "response": ["So."]})
    with pytest.warns(UserWarning, match="judge_ok has no answer in 1 rows: 1 x no line with the answer"):
        judged = judge.add_to(data, progress=False)
    assert judged["judge_ok"].tolist() == [None]
    assert judge.estimate(data).to_ask == 0


def test_a_prompt_that_is_too_long_is_told(model: LanguageModel, tmp_path: Path) -> None:
    judge = Judge("ok", "Is it?", model=LocalModel(model, max_new_tokens=8), cache=tmp_path / "j.db", template=SHORT)
    data = pd.DataFrame({"instruction": ["Why?"] * 2, "response": ["So.", "word " * 2000]})
    with pytest.warns(UserWarning, match="1 x no line with the answer, 1 x too long"):
        judge.add_to(data, progress=False)


def test_another_answer_length_is_another_judge(model: LanguageModel) -> None:
    assert LocalModel(model, max_new_tokens=8).name != LocalModel(model, max_new_tokens=9).name


SHORT = "$code $texts $form"
