import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import weaklm.lm.loop
from tests.tiny_models import CHAT, rows, save_model
from weaklm.data import split
from weaklm.errors import DataError, ModelError, SettingsError, TemplateMismatchError
from weaklm.lm.base_model import load_base
from weaklm.lm.engine import Engine
from weaklm.lm.generation import LanguageModel
from weaklm.lm.likelihood import padded_likelihood
from weaklm.lm.pretrain import pretrain
from weaklm.lm.supervision import Supervision
from weaklm.lm.train import QLoRATrainer

DATA = rows(24)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="module")
def tuned(base: Path) -> LanguageModel:
    return QLoRATrainer(base, learning_rate=2e-2, batch_size=8, max_steps=20).fit(DATA, progress=False)


def trainer(base: Path, **settings: Any) -> QLoRATrainer:
    short: dict[str, Any] = {"r": 4, "learning_rate": 5e-3, "batch_size": 4, "max_steps": 6, "save_every": 2}
    return QLoRATrainer(base, **(short | settings))


def weights(model: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.model.named_parameters() if "lora_" in name}


@contextmanager
def stop_after(step: int, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> Iterator[None]:
    """Raise the error in the training loop once ``step`` steps are done."""
    with monkeypatch.context() as patch:

        def stop(bar: Any, history: list[dict[str, float]]) -> None:
            if len(history) == step:
                raise error

        patch.setattr(weaklm.lm.loop, "_show", stop)
        with pytest.raises(error):
            yield


def test_the_loss_falls_on_a_4_bit_base(tuned: LanguageModel) -> None:
    losses = [entry["loss"] for entry in tuned.history]
    assert len(losses) == 20
    assert losses[-1] < 0.6 * losses[0]


def test_an_adapter_reloads_in_plain_peft_with_identical_logits(
    base: Path, tuned: LanguageModel, tmp_path: Path
) -> None:
    tuned.save(tmp_path / "adapter")
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    plain = AutoModelForCausalLM.from_pretrained(base, quantization_config=settings, dtype=torch.float32)
    for module in plain.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    reloaded = PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()
    ids = torch.arange(5, 45).reshape(2, 20)
    with torch.no_grad():
        assert torch.equal(reloaded(ids).logits, tuned.model(ids).logits)
        ours = LanguageModel.load(tmp_path / "adapter")
        assert torch.equal(ours.model(ids).logits, tuned.model(ids).logits)


def test_a_saved_adapter_says_how_it_was_made(base: Path, tuned: LanguageModel, tmp_path: Path) -> None:
    manifest = json.loads((tuned.save(tmp_path / "adapter") / "weaklm.json").read_text())
    assert manifest["base_model"] == str(base)
    assert manifest["template"]["hash"] == tuned.base.template.hash
    assert manifest["template"]["examples"][0].endswith("### Response:\nThe answer is 1.")
    assert manifest["data"]["n_rows"] == 24 and manifest["loss"] == tuned.history[-1]["loss"]
    assert manifest["settings"]["learning_rate"] == 2e-2
    assert {"torch", "transformers", "peft", "bitsandbytes"} <= set(manifest["versions"])
    assert LanguageModel.load(tmp_path / "adapter").history == tuned.history


@pytest.mark.parametrize(("error", "left"), [(KeyboardInterrupt, [2, 3]), (SystemExit, [2])])
def test_a_resumed_run_ends_with_the_weights_of_the_straight_run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], left: list[int]
) -> None:
    straight = trainer(base).fit(DATA, progress=False)
    with stop_after(3, monkeypatch, error):
        trainer(base).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    assert sorted(int(path.name[5:]) for path in tmp_path.iterdir()) == left  # Ctrl-C saves where it stopped
    resumed = trainer(base).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    assert resumed.history == straight.history
    for name, weight in weights(straight).items():
        assert torch.equal(weight, weights(resumed)[name]), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000004", "step-000006"]


def test_a_run_is_not_resumed_with_other_data_or_settings(base: Path, tmp_path: Path) -> None:
    trainer(base, max_steps=2).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(ModelError, match=r"another run: learning_rate was 0\.005, is 0\.1\. .*resume=False"):
        trainer(base, max_steps=2, learning_rate=0.1).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(ModelError, match="another run: data was '"):
        trainer(base, max_steps=2).fit(DATA.head(20), checkpoint_dir=tmp_path, progress=False)
    anew = trainer(base, max_steps=2).fit(DATA.head(20), checkpoint_dir=tmp_path, resume=False, progress=False)
    assert anew.history[-1]["step"] == 2


def test_a_damaged_checkpoint_is_named(base: Path, tmp_path: Path) -> None:
    trainer(base, max_steps=2).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    tensors = tmp_path / "step-000002" / "training.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.raises(ModelError, match="step-000002 is damaged"):
        trainer(base, max_steps=2).fit(DATA, checkpoint_dir=tmp_path, progress=False)


def test_training_leaves_torch_s_random_state_alone(base: Path) -> None:
    before = torch.get_rng_state()
    trainer(base, max_steps=1).fit(DATA, progress=False)
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)the loss is nan.*Lower learning_rate.*step-00000"):
        trainer(base, learning_rate=1e30, save_every=1).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    newest = max(tmp_path.iterdir())
    tensors = load_file(newest / "adapter_model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in tensors.values())
    assert LanguageModel.load(newest).has_adapter  # a checkpoint is an adapter


def test_no_row_that_fits_is_an_error(base: Path) -> None:
    with pytest.raises(ModelError, match=r"no row is left to train on: of 24 rows, .* because the response alone"):
        trainer(base, max_length=8).fit(DATA, progress=False)


def test_the_kept_rows_of_a_curated_data_set_are_trained_on(base: Path) -> None:
    class Curated:
        def to_frame(self) -> pd.DataFrame:
            return DATA.head(5)

    assert trainer(base, max_steps=1).fit(Curated(), progress=False).manifest["data"]["n_rows"] == 5


def test_epochs_are_counted_in_steps_of_nearly_equal_size(base: Path) -> None:
    model = trainer(base, max_steps=None, epochs=2, batch_size=9).fit(DATA.head(10), progress=False)
    assert len(model.history) == 4  # two steps of five rows an epoch, not nine and one


def log_probabilities(model: LanguageModel, data: pd.DataFrame) -> torch.Tensor:
    with torch.no_grad():
        return padded_likelihood(model.model, model.base.template.encode(data, 512).rows)


@pytest.mark.parametrize("objective", ["kto", "apo_zero"])
def test_kto_makes_accepted_responses_likelier_and_rejected_ones_less_likely(base: Path, objective: str) -> None:
    is_accepted = np.arange(24) % 2 > 0
    labelled = DATA.assign(score=np.where(is_accepted, 0.9, 0.1))
    labelled.loc[~is_accepted, "response"] = "No idea, sorry."
    untrained = trainer(base, quantize=None, learning_rate=1e-30, max_steps=1).fit(labelled, progress=False)
    before = log_probabilities(untrained, labelled)
    settings: dict[str, Any] = {"quantize": None, "learning_rate": 1e-2, "batch_size": 8, "max_steps": 12}
    model = trainer(base, **settings).fit(labelled, objective, progress=False)
    change = (log_probabilities(model, labelled) - before).numpy()
    assert model.history[0]["loss"] == pytest.approx(0.5) and model.history[-1]["loss"] < 0.4
    assert change[is_accepted].mean() > 0 > change[~is_accepted].mean()


def test_dpo_learns_from_pairs_given_or_made_of_labelled_rows(base: Path) -> None:
    pairs = DATA.rename(columns={"response": "chosen"}).assign(rejected="No idea, sorry.").drop(columns="id")
    settings: dict[str, Any] = {"quantize": None, "learning_rate": 1e-2, "batch_size": 8}
    model = trainer(base, max_steps=8, **settings).fit(pairs, "dpo", progress=False)
    assert model.history[0]["loss"] == pytest.approx(math.log(2)) and model.history[-1]["loss"] < 0.4
    rejected = DATA.assign(response="No idea, sorry.", id=DATA["id"] + "r", score=0.1)
    labelled = pd.concat([DATA.assign(score=0.9), rejected], ignore_index=True).assign(source="base")
    made = trainer(base, max_steps=1, **settings).fit(labelled, "dpo", progress=False)
    assert made.manifest["data"]["n_rows"] == 48 and made.manifest["objective"] == "dpo"


def test_both_rows_of_a_pair_have_one_prompt_where_a_context_was_cut(base: Path) -> None:
    template = load_base(base, quantize=None).template
    pairs = pd.DataFrame(
        {"instruction": ["Why?"] * 2, "context": ["Long. " * 100] * 2, "chosen": ["Yes. " * 30, "Yes."]}
        | {"rejected": ["No.", "No. " * 900]}
    )
    supervision = Supervision("dpo", None, 0.1, 200, 0)
    objective, encoded = supervision.encode(supervision.frame(pairs), template)
    ((chosen, rejected),) = objective.units
    assert np.array_equal(chosen.ids[: chosen.n_prompt], rejected.ids[: rejected.n_prompt])
    assert len(chosen.ids) <= 200 and len(encoded.context_cut) == 1
    assert [len(ids) for ids in encoded.dropped.values()] == [1]


def test_missing_labels_classes_and_weights_are_named(base: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'label' .* no column 'score'"):
        trainer(base).fit(DATA, "kto", progress=False)
    with pytest.raises(DataError, match="the label of row 3 is 'maybe'; 'ACCEPT' or 'REJECT' was expected"):
        trainer(base).fit(DATA.assign(label=["ACCEPT"] * 3 + ["maybe"] * 21), "kto", progress=False)
    with pytest.raises(DataError, match="24 accepted and 0 rejected rows"):
        trainer(base).fit(DATA.assign(label=True), "kto", progress=False)
    with pytest.raises(DataError, match="no column 'scores' of row weights"):
        trainer(base, row_weight="scores").fit(DATA.assign(score=1.0), progress=False)
    with pytest.raises(DataError, match=r"the weight in column 'score' of row5 is -1\.0; numbers of 0 or more"):
        trainer(base, row_weight="score").fit(DATA.assign(score=[1.0] * 5 + [-1.0] * 19), progress=False)


def test_the_held_out_loss_is_that_of_rows_that_were_not_trained_on(base: Path) -> None:
    settings: dict[str, Any] = {"quantize": None, "max_steps": 2, "held_out": 0.4, "evaluate_every": 2}
    model = trainer(base, **settings).fit(DATA, progress=False)
    _, kept_aside = split(DATA, 0.4, 0)
    n_tokens = model.base.template.encode(kept_aside, 512).n_response_tokens
    loss = float(-log_probabilities(model, kept_aside).sum() / n_tokens)
    assert model.history[-1]["held_out_loss"] == pytest.approx(loss, rel=1e-5)
    assert model.manifest["data"]["n_rows"] == 14 and len(kept_aside) == 10


def test_a_run_stops_when_the_held_out_loss_no_longer_falls_and_keeps_the_best_weights(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.6])
    monkeypatch.setattr(Engine, "loss", lambda *_: next(losses))
    settings: dict[str, Any] = {"quantize": None, "max_steps": 40, "held_out": 0.4, "evaluate_every": 2}
    stopping = trainer(base, patience=2, **(settings | {"save_every": 4}))
    model = stopping.fit(DATA, checkpoint_dir=tmp_path, progress=False)
    assert len(model.history) == 8
    best = load_file(tmp_path / "step-000004" / "adapter_model.safetensors")
    again = stopping.fit(DATA, checkpoint_dir=tmp_path, progress=False)  # finished already
    for tuned in (model, again):
        found = {name.replace(".default", ""): weight for name, weight in weights(tuned).items()}
        assert all(torch.equal(weight, found[name]) for name, weight in best.items())


def test_a_loss_that_rises_for_good_stops_the_run(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weaklm.lm.loop, "DIVERGED", -99.0)  # as if any loss had risen
    with pytest.raises(ModelError, match=r"stopped at step 21: the loss rose from .* last good .*step-000010"):
        trainer(base, quantize=None, max_steps=30, save_every=10).fit(DATA, checkpoint_dir=tmp_path, progress=False)


def test_progress_is_reported_after_each_step(base: Path) -> None:
    told: list[tuple[float, int]] = []
    model = trainer(base, max_steps=2).fit(
        DATA, progress=False, report=lambda share, trained_tokens, **_: told.append((share, trained_tokens))
    )
    assert told == [(0.5, model.history[0]["n_tokens"]), (1.0, sum(entry["n_tokens"] for entry in model.history))]


def test_an_unknown_objective_or_setting_is_named(base: Path) -> None:
    with pytest.raises(SettingsError, match=r"no objective 'ktoo'; did you mean 'kto'\?"):
        trainer(base).fit(DATA, objective="ktoo")
    with pytest.raises(SettingsError, match="patience is 2, but held_out is 0"):
        trainer(base, patience=2).fit(DATA)
    with pytest.raises(SettingsError, match="batch_size is 0; a number above 0"):
        trainer(base, batch_size=0).fit(DATA)
    with pytest.raises(ModelError, match="quantize is 'int3'; expected 'nf4' or None"):
        trainer(base, quantize="int3").fit(DATA)
    with pytest.raises(ModelError, match=r"LoRA cannot be added .*'nowhere'"):
        trainer(base, target_modules=["nowhere"]).fit(DATA)


def test_a_base_model_that_is_not_there_is_named_with_its_neighbours(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = base.with_name("basis")
    with pytest.raises(
        ModelError, match=r"no model folder '.*basis'\. .*did you mean 'base'\? .*Hugging Face hub, such"
    ):
        trainer(missing).fit(DATA)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"'nobody/nothing' cannot be loaded: .*offline mode") as raised:
        trainer("nobody/nothing").fit(DATA)  # type: ignore[arg-type]
    assert raised.value.__cause__ is not None


def test_an_adapter_of_another_template_is_refused_unless_forced(base: Path, tmp_path: Path) -> None:
    model = trainer(base, max_steps=1).fit(DATA, progress=False)
    model.save(tmp_path / "adapter")
    other = save_model(tmp_path / "other", chat=CHAT)
    with pytest.raises(TemplateMismatchError, match=model.base.template.hash):
        LanguageModel.load(tmp_path / "adapter", base_model=other)
    forced = LanguageModel.load(tmp_path / "adapter", base_model=other, force=True)
    with pytest.raises(TemplateMismatchError, match="force=True"):
        forced.generate(DATA.head(1), progress=False)
    assert len(forced.generate(DATA.head(1), max_new_tokens=2, force=True, progress=False)) == 1


def test_saving_replaces_an_adapter_but_nothing_else(tuned: LanguageModel, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError, match="holds other files"):
        tuned.save(place)
    assert [path.name for path in tmp_path.rglob("*")] == ["place", "thesis.txt"]
    for _ in range(2):
        tuned.save(tmp_path / "adapter")
    assert LanguageModel.load(tmp_path / "adapter").has_adapter
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_pretraining_gives_a_normal_model_folder_and_the_same_one_again(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"hidden_size": 64, "n_layers": 1, "vocab_size": 300, "n_steps": 12, "progress": False}
    first, second = (pretrain(DATA, tmp_path / name, **shape) for name in ("one", "two"))
    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    answers = LanguageModel.load(first, quantize="nf4").generate(DATA.head(2), "base", max_new_tokens=4, progress=False)
    assert len(answers) == 2
