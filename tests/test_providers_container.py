"""What runs in a container: rows and settings as SageMaker lays them out, the adapter where it looks for it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.tiny_models import rows, save_model
from weaklm.lm.generation import LanguageModel
from weaklm.providers import container


def test_the_container_trains_on_what_was_sent_and_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = save_model(tmp_path / "base")
    _lay_out(tmp_path / "ml", {"base_model": str(base), "max_steps": 2, "quantize": None}, rows(8))
    monkeypatch.setattr("sys.argv", ["container", str(tmp_path / "ml")])
    assert container.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["progress=0.5000", "progress=1.0000"]
    assert LanguageModel.load(tmp_path / "ml" / "model").has_adapter
    assert container.main() == 0  # the spot machine was taken back and the job is started again
    assert capsys.readouterr().out == ""  # nothing was left to do


def test_a_container_that_fails_leaves_the_reason_where_aws_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lay_out(tmp_path, {"base_model": str(tmp_path / "none")}, rows(2))
    monkeypatch.setattr("sys.argv", ["container", str(tmp_path)])
    assert container.main() == 1
    assert "there is no model folder" in (tmp_path / "output" / "failure").read_text()


def _lay_out(root: Path, hyperparameters: dict[str, Any], data: pd.DataFrame) -> None:
    (root / "input" / "config").mkdir(parents=True)
    texts = {name: json.dumps(value) for name, value in hyperparameters.items()}
    (root / "input" / "config" / "hyperparameters.json").write_text(json.dumps(texts))
    (root / "input" / "data" / "train").mkdir(parents=True)
    data.to_parquet(root / "input" / "data" / "train" / "train.parquet")
