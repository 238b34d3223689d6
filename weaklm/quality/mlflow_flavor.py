"""A quality model in MLflow: frames in, scores out, wherever MLflow serves models. Needs the extra ``mlflow``.

The model is stored as its own folder (LightGBM's text and JSON) beside three lines of code that load it (MLflow's
"models from code"); nothing is pickled.
"""

import importlib
import tempfile
from pathlib import Path
from typing import Any

from weaklm.data import ACCEPT
from weaklm.errors import DataError, MissingExtraError
from weaklm.quality import QualityModel

_ARTIFACT = "quality_model"
_CODE = """from weaklm.quality.mlflow_flavor import python_model
from mlflow.models import set_model

set_model(python_model())
"""
_OPTIONAL = ("context", "prompt_prefix")


def save_model(quality: QualityModel, path: str | Path) -> None:
    """Write a fitted quality model as an MLflow model to a new folder."""
    _store(quality, lambda pyfunc, options: pyfunc.save_model(path=str(path), **options))


def log_model(quality: QualityModel, name: str = "quality_model") -> Any:
    """Log a fitted quality model to MLflow's active run; return MLflow's ModelInfo, whose ``model_uri`` loads it."""
    return _store(quality, lambda pyfunc, options: pyfunc.log_model(name=name, **options))


def load_model(uri: str | Path) -> QualityModel:
    """Return the quality model itself, with ``explain`` and ``drift``, from a folder or an MLflow URI.

    ``mlflow.pyfunc.load_model`` gives what serves: ``predict(frame)`` returns a frame with the column ``score``.
    """
    folder = _mlflow("mlflow.artifacts").download_artifacts(str(uri))
    found = sorted(Path(folder).glob(f"artifacts/{_ARTIFACT}"))
    if not found:
        raise DataError(f"{uri} holds no quality model of weaklm: it has no artifacts/{_ARTIFACT}")
    return QualityModel.load(found[0])


def python_model() -> Any:
    """Return what MLflow calls to load the model and to score; MLflow's stored code asks for it."""
    pyfunc = _mlflow("mlflow.pyfunc")

    class Scorer(pyfunc.PythonModel):  # type: ignore[name-defined]
        def load_context(self, context: Any) -> None:
            self.quality = QualityModel.load(context.artifacts[_ARTIFACT])

        # MLflow would read annotations as a schema; the schema is the signature.
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            import pandas as pd

            score = self.quality.predict_proba(model_input)[:, ACCEPT]
            return pd.DataFrame({"score": score}, index=model_input.index)

    return Scorer()


def _store(quality: QualityModel, write: Any) -> Any:
    import weaklm

    pyfunc = _mlflow("mlflow.pyfunc")
    with tempfile.TemporaryDirectory() as folder:
        quality.save(Path(folder) / _ARTIFACT)
        code = Path(folder) / "code.py"
        code.write_text(_CODE, encoding="utf-8")
        options = {
            "python_model": str(code),
            "artifacts": {_ARTIFACT: str(Path(folder) / _ARTIFACT)},
            "signature": _signature(),
            "pip_requirements": [f"weaklm=={weaklm.__version__}"],
        }
        return write(pyfunc, options)


def _signature() -> Any:
    """Return what goes in, two texts a row and two more that may be missing, and what comes out."""
    models, types = _mlflow("mlflow.models"), _mlflow("mlflow.types")
    names = ("instruction", "response", *_OPTIONAL)
    inputs = [types.ColSpec("string", name, required=name not in _OPTIONAL) for name in names]
    return models.ModelSignature(types.Schema(inputs), types.Schema([types.ColSpec("double", "score")]))


def _mlflow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError("An MLflow model", "mlflow") from error
