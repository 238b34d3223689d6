"""weaklm: weak supervision for better LLMs.

``import weaklm as wl`` is light: every public name loads its module on first use.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "ABSTAIN": "data",
    "ACCEPT": "data",
    "REJECT": "data",
    "Example": "data",
    "read": "data",
    "split": "data",
    "human_labels": "data",
    "LabelingFunction": "functions",
    "SlicingFunction": "functions",
    "labeling_function": "functions",
    "slicing_function": "functions",
    "preprocessor": "functions",
    "collect": "functions",
    "load": "functions",
    "LFApplier": "apply",
    "SFApplier": "apply",
    "LFAnalysis": "analysis",
    "LabelModel": "label_model",
    "MajorityLabelVoter": "label_model",
    "SnorkelLabelModel": "label_model",
    "QualityModel": "quality",
    "Report": "report",
    "Comparison": "report",
    "QualityDataset": "curation",
    "curate": "curation",
    "export": "exchange",
    "QLoRATrainer": "lm.train",
    "LanguageModel": "lm.generation",
    "compare": "rescoring",
    "rescore": "rescoring",
    "Project": "project",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from weaklm.analysis import LFAnalysis
    from weaklm.apply import LFApplier, SFApplier
    from weaklm.curation import QualityDataset, curate
    from weaklm.data import ABSTAIN, ACCEPT, REJECT, Example, human_labels, read, split
    from weaklm.exchange import export
    from weaklm.functions import (
        LabelingFunction,
        SlicingFunction,
        collect,
        labeling_function,
        load,
        preprocessor,
        slicing_function,
    )
    from weaklm.label_model import LabelModel, MajorityLabelVoter, SnorkelLabelModel
    from weaklm.lm.generation import LanguageModel
    from weaklm.lm.train import QLoRATrainer
    from weaklm.project import Project
    from weaklm.quality import QualityModel
    from weaklm.report import Comparison, Report
    from weaklm.rescoring import compare, rescore


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        from weaklm.errors import nearest

        raise AttributeError(f"weaklm has no {name!r}; {nearest(name, _HOME)}")
    from importlib import import_module

    value = getattr(import_module(f"weaklm.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
