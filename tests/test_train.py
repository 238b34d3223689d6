import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import weaklm.lm.loop
from tests.tiny_models import CHAT, rows, save_model
from weaklm.errors import ModelError, SettingsError, TemplateMismatchError
from weaklm.lm.adapter import add_lora
from weaklm.lm.base_model import load_base
from weaklm.lm.generation import LanguageModel
from weaklm.lm.loop import accumulate_gradients, checkpoint_layers, trained
from weaklm.lm.pretrain import pretrain
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


def lora_model(base: Path, quantize: str | None = None) -> tuple[PeftModel, list[Any]]:
    """Return a model with LoRA weights that are not 0, and training rows."""
    loaded = load_base(base, quantize=quantize)
    model = add_lora(loaded, r=4, alpha=8, target_modules="all-linear")
    torch.manual_seed(1)
    for weight in trained(model):
        torch.nn.init.normal_(weight, std=0.1)
    return model.train(), loaded.template.encode(DATA.head(8), 512).rows


def gradients(model: PeftModel, batch: list[Any], micro_batch_size: int) -> list[torch.Tensor]:
    model.zero_grad(set_to_none=True)
    accumulate_gradients(model, batch, micro_batch_size)
    return [weight.grad.clone() for weight in trained(model) if weight.grad is not None]


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


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_s_random_state_alone(base: Path) -> None:
    before = torch.get_rng_state()
    first, second = (trainer(base, max_steps=3).fit(DATA, progress=False) for _ in range(2))
    other = trainer(base, max_steps=3, random_state=1).fit(DATA, progress=False)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(weight, weights(second)[name]) for name, weight in weights(first).items())
    assert not all(torch.equal(weight, weights(other)[name]) for name, weight in weights(first).items())


@pytest.mark.parametrize("quantize", ["nf4", None])
def test_gradients_do_not_depend_on_the_split_into_micro_batches(base: Path, quantize: str | None) -> None:
    model, batch = lora_model(base, quantize)
    whole = gradients(model, batch, 8)
    for size in (1, 3):
        for one, other in zip(whole, gradients(model, batch, size), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(one.abs().max()))


def test_padding_and_leaving_out_logits_change_no_loss(base: Path) -> None:
    model, batch = lora_model(base)
    n_tokens = sum(int(row.loss_mask.sum()) for row in batch)
    total = 0.0
    for row in batch:
        ids = torch.tensor(row.ids[None].astype("int64"))
        labels = torch.where(torch.tensor(row.loss_mask)[None], ids, -100)
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=labels).loss) * int(row.loss_mask.sum())
    assert accumulate_gradients(model, batch, 8) == pytest.approx(total / n_tokens, rel=1e-6)


def test_an_evaluation_between_steps_leaves_the_gradients_as_they_were(base: Path) -> None:
    model, batch = lora_model(base, "nf4")
    before = gradients(model, batch, 8)
    with torch.no_grad():
        model.eval()(torch.arange(5, 25)[None])
    after = gradients(model.train(), batch, 8)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_recomputing_layers_changes_no_gradient(base: Path) -> None:
    model, batch = lora_model(base, "nf4")
    kept = gradients(model, batch, 8)
    with checkpoint_layers(model, True):
        recomputed = gradients(model, batch, 8)
    for one, other in zip(kept, recomputed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_every_lora_weight_moves_at_a_small_learning_rate_on_a_bfloat16_base(base: Path) -> None:
    small = trainer(base, learning_rate=2e-5, dtype="bfloat16", max_steps=4, warmup=0.0)
    untrained = weights(trainer(base, learning_rate=1e-30, dtype="bfloat16", max_steps=1).fit(DATA, progress=False))
    after = weights(small.fit(DATA, progress=False))
    assert all(weight.dtype == torch.float32 for weight in after.values())
    moved = torch.cat([(untrained[name] != weight).flatten() for name, weight in after.items()])
    assert float(moved.float().mean()) > 0.999


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)the loss is nan.*Lower learning_rate.*step-00000"):
        trainer(base, learning_rate=1e30, save_every=1).fit(DATA, checkpoint_dir=tmp_path, progress=False)
    newest = max(tmp_path.iterdir())
    tensors = load_file(newest / "adapter_model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in tensors.values())
    assert LanguageModel.load(newest).has_adapter  # a checkpoint is an adapter


def test_rows_that_do_not_fit_are_cut_or_left_out_by_name(base: Path) -> None:
    data = DATA.copy()
    data.loc[3, "context"] = "Long. " * 400
    data.loc[4, "response"] = "Long. " * 400
    model = trainer(base, max_steps=1, max_length=200).fit(data, progress=False)
    assert model.dropped == {"the response alone is longer than max_length": ["row4"]}
    assert list(model.context_cut) == ["row3"]


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


def test_an_unknown_objective_or_setting_is_named(base: Path) -> None:
    with pytest.raises(SettingsError, match=r"no objective 'kto'; there are: 'sft'"):
        trainer(base).fit(DATA, objective="kto")
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
