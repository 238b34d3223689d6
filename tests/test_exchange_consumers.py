"""The tools that exports are for take them: datasets, TRL's trainers, Argilla, Label Studio, S3."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given

from tests.test_exchange import PROPERTY, frames, same
from weaklm.data import complete
from weaklm.errors import DataError
from weaklm.exchange import FORMATS, LABEL_STUDIO_CONFIG, export, from_dataset, read, to_dataset
from weaklm.exchange.preference import checked_pairs

JSON_FORMATS = ["messages", "prompt_completion", "alpaca", "sharegpt", "kto", "argilla", "label_studio"]


def examples(n: int = 4) -> pd.DataFrame:
    """Return rows some of which lack what others have."""
    return complete(
        pd.DataFrame(
            {
                "instruction": [f"What is {i} plus {i}?" for i in range(n)],
                "context": ["" if i % 2 else f"Fact {i} is true." for i in range(n)],
                "prompt_prefix": ["You are careful." if i % 2 else "" for i in range(n)],
                "response": [f"The answer is {2 * i}." for i in range(n)],
                "human_label": [None if i % 2 else "ACCEPT" for i in range(n)],
                "score": [0.75] * n,
                "tags": [["sum", i] if i else None for i in range(n)],
                "label": [bool(i % 2) for i in range(n)],
            }
        )
    )


def pairs(n: int = 4) -> pd.DataFrame:
    """Return pairs of a good and a bad response."""
    data = examples(n)[["instruction", "context", "prompt_prefix", "response"]]
    return checked_pairs(data.rename(columns={"response": "chosen"}).assign(rejected="Sorry.", chosen_score=0.9))


# ---------------------------------------------------------------------------------------------- datasets


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pytest.importorskip("datasets")
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    module.disable_progress_bars()
    return module


@pytest.mark.parametrize("format", [*FORMATS])
def test_datasets_loads_every_file_and_gives_the_frame_back(format: str, tmp_path: Path, datasets: Any) -> None:
    data = pairs() if format == "dpo" else examples()
    name, kind = {"csv": ("rows.csv", "csv"), "parquet": ("rows.parquet", "parquet")}.get(
        format, ("rows.jsonl", "json")
    )
    export(data, tmp_path / name, format)
    loaded = datasets.load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "c"))
    assert len(loaded) == 4
    if format in JSON_FORMATS:
        same(from_dataset(loaded), data)


@pytest.mark.parametrize("format", [None, *JSON_FORMATS, "dpo"])
def test_a_dataset_gives_back_the_frame_whatever_its_order(format: str | None, datasets: Any) -> None:
    data = pairs() if format == "dpo" else examples()
    same(from_dataset(to_dataset(data, format)), data)
    backwards = from_dataset(to_dataset(data, format).select([3, 1]))
    same(backwards, data.iloc[[3, 1]].reset_index(drop=True))


@PROPERTY
@given(data=frames())
def test_a_dataset_of_any_columns_gives_back_the_frame(data: pd.DataFrame) -> None:
    pytest.importorskip("datasets")
    same(from_dataset(to_dataset(data)), complete(data))


def test_a_dataset_of_other_hands_is_read(datasets: Any) -> None:
    plain = datasets.Dataset.from_dict({"question": ["Why?"], "response": ["It rained."], "n": [5]})
    assert from_dataset(plain, {"instruction": "question"})["n"].tolist() == [5]
    chat = datasets.Dataset.from_dict({"prompt": ["Why?"], "completion": ["It rained."]})
    assert from_dataset(chat, source="llama")[["instruction", "response", "source"]].values.tolist() == [
        ["Why?", "It rained.", "llama"]
    ]


def test_a_dataset_of_several_splits_is_told(datasets: Any) -> None:
    both = datasets.DatasetDict({"train": to_dataset(examples())})
    with pytest.raises(DataError, match="choose one split"):
        from_dataset(both)


# ---------------------------------------------------------------------------------------------- trainers


@pytest.fixture(scope="module", params=[False, True], ids=["texts", "chat"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, Path]:
    """Return whether a tiny model has a chat template, and its folder."""
    pytest.importorskip("trl")
    from tests import tiny_models

    is_chat = bool(request.param)
    return is_chat, tiny_models.save_model(tmp_path_factory.mktemp("model"), tiny_models.CHAT if is_chat else None)


def trained(kind: str, model: Path, path: Path, tmp_path: Path, **options: Any) -> float:
    """Return the loss of one step of a trainer of TRL on an exported file."""
    import datasets
    import trl
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    auto = AutoModelForSequenceClassification if kind == "Reward" else AutoModelForCausalLM
    labels = {"num_labels": 1} if kind == "Reward" else {}
    arguments = getattr(trl, f"{kind}Config")(
        str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, use_cpu=True, report_to="none", **options
    )
    trainer = getattr(trl, f"{kind}Trainer")(
        auto.from_pretrained(model, **labels),
        args=arguments,
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    return float(trainer.train().training_loss)


# Raised within libraries: their own deprecations, and advice on settings that one step does not need.
of_libraries = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
@of_libraries
@pytest.mark.parametrize("format", ["messages", "prompt_completion"])
def test_a_trainer_takes_a_step_on_responses(format: str, model: tuple[bool, Path], tmp_path: Path) -> None:
    is_chat, folder = model
    if format == "messages" and not is_chat:
        pytest.skip("chat messages are for models with a chat template")
    conversational = is_chat and format == "prompt_completion"
    export(examples(), tmp_path / "rows.jsonl", format, conversational=conversational)
    assert trained("SFT", folder, tmp_path / "rows.jsonl", tmp_path) > 0


@pytest.mark.slow
@of_libraries
@pytest.mark.parametrize(("kind", "format"), [("KTO", "kto"), ("DPO", "dpo"), ("Reward", "dpo")])
def test_a_trainer_takes_a_step_on_preferences(
    kind: str, format: str, model: tuple[bool, Path], tmp_path: Path
) -> None:
    is_chat, folder = model
    data = pairs() if format == "dpo" else examples()
    export(data, tmp_path / "rows.jsonl", format, conversational=is_chat)
    assert trained(kind, folder, tmp_path / "rows.jsonl", tmp_path) > 0


# ---------------------------------------------------------------------------------------------- annotation tools


def test_argilla_takes_the_records(tmp_path: Path) -> None:
    records = pytest.importorskip("argilla.records")
    export(examples(), tmp_path / "records.json", "argilla", votes=pd.DataFrame({"cites": [1, 0, -1, 1]}))
    found = json.loads((tmp_path / "records.json").read_text(encoding="utf-8"))
    taken = [records.Record.from_dict(row).to_dict() for row in found]
    assert [row["suggestions"]["label"]["value"] for row in taken] == ["ACCEPT"] * 4
    (tmp_path / "back.json").write_text(json.dumps(taken), encoding="utf-8")
    same(read(tmp_path / "back.json"), examples())


def test_label_studio_takes_the_tasks(tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface(LABEL_STUDIO_CONFIG)
    export(examples(), tmp_path / "tasks.json", "label_studio", votes=pd.DataFrame({"cites": [1, 0, -1, 1]}))
    for task in json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8")):
        assert interface.validate_task({"data": task["data"]})
        for said in (*task["predictions"], *task["annotations"]):
            assert interface.validate_prediction(said, return_errors=True) == []


# ---------------------------------------------------------------------------------------------- S3


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the name of a bucket on a server of this machine that speaks as S3 does."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
    for name, value in {**environment, "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("weaklm-rows", exist_ok=True)
    yield "weaklm-rows"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@of_libraries
def test_files_go_to_s3_and_come_back(bucket: str) -> None:
    for name, format in {"rows.csv": None, "deep/rows.parquet": None, "rows.jsonl": "messages"}.items():
        export(examples(), f"s3://{bucket}/{name}", format)
        same(read(f"s3://{bucket}/{name}"), examples())


@of_libraries
def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(DataError, match=r"s3://no-such-bucket/rows.csv cannot be written"):
        export(examples(), "s3://no-such-bucket/rows.csv")
    with pytest.raises(DataError, match=r"s3://weaklm-rows/none.csv cannot be read"):
        read(f"s3://{bucket}/none.csv")
