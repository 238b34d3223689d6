import sys
from pathlib import Path

import numpy as np
import pytest

from tests.test_quality import DATA, PROBA
from weaklm.errors import DataError, MissingExtraError
from weaklm.quality import QualityModel
from weaklm.quality.mlflow_flavor import load_model, log_model, save_model

pytestmark = pytest.mark.filterwarnings("ignore:::mlflow")


@pytest.fixture(scope="module")
def fitted() -> QualityModel:
    return QualityModel(n_rounds=10).fit(DATA, PROBA)


@pytest.mark.slow
def test_what_mlflow_serves_scores_as_the_model_does(fitted: QualityModel, tmp_path: Path) -> None:
    pyfunc = pytest.importorskip("mlflow.pyfunc", reason="MLflow is an optional extra")
    save_model(fitted, tmp_path / "model")
    served = pyfunc.load_model(str(tmp_path / "model")).predict(DATA[["instruction", "context", "response"]])
    np.testing.assert_array_equal(served["score"], fitted.predict_proba(DATA)[:, 1])
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".pkl", ".pickle", ".cloudpickle")]
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(DATA), fitted.predict_proba(DATA))


@pytest.mark.slow
def test_a_run_holds_the_model(fitted: QualityModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is an optional extra")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}/runs")
    with mlflow.start_run():
        info = log_model(fitted)
    np.testing.assert_array_equal(load_model(info.model_uri).predict_proba(DATA), fitted.predict_proba(DATA))


@pytest.mark.slow
def test_another_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is an optional extra")
    with pytest.raises(DataError, match="holds no quality model of weaklm"):
        load_model(tmp_path)


def test_without_the_extra_the_error_says_what_to_install(
    fitted: QualityModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'weaklm\[mlflow\]'"):
        save_model(fitted, tmp_path / "model")
