"""weaklm: weak supervision for better LLMs.

``import weaklm as wl`` is light: every public name loads its module on first use.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "ABSTAIN": "data",
    "ACCEPT": "data",
    "REJECT": "data",
    "Batch": "data",
    "Example": "data",
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
    "suggest": "suggestions",
    "Judge": "judges.judge",
    "LocalModel": "judges.completers",
    "NLI": "judges.encoders",
    "Similarity": "judges.encoders",
    "Endpoint": "endpoint",
    "apply_parts": "parts",
    "read_votes": "parts",
    "LabelModel": "label_model",
    "DawidSkene": "dawid_skene",
    "MajorityLabelVoter": "voter",
    "SnorkelLabelModel": "snorkel_model",
    "compare_label_models": "model_choice",
    "blame": "tipping",
    "QualityModel": "quality",
    "Report": "report",
    "Comparison": "comparison",
    "QualityDataset": "curation",
    "curate": "curation",
    "export": "exchange",
    "read": "exchange",
    "read_labels": "exchange",
    "to_dataset": "exchange",
    "from_dataset": "exchange",
    "dataset_card": "cards",
    "model_card": "cards",
    "QLoRATrainer": "lm.train",
    "LanguageModel": "lm.generation",
    "compare": "rescoring",
    "rescore": "rescoring",
    "Project": "project",
}

_MODULES = ("patterns", "traits")

__all__ = ["__version__", *sorted((*_HOME, *_MODULES))]

if TYPE_CHECKING:
    from weaklm import patterns as patterns
    from weaklm import traits as traits
    from weaklm.analysis import LFAnalysis as LFAnalysis
    from weaklm.apply import LFApplier as LFApplier
    from weaklm.apply import SFApplier as SFApplier
    from weaklm.cards import dataset_card as dataset_card
    from weaklm.cards import model_card as model_card
    from weaklm.comparison import Comparison as Comparison
    from weaklm.curation import QualityDataset as QualityDataset
    from weaklm.curation import curate as curate
    from weaklm.data import ABSTAIN as ABSTAIN
    from weaklm.data import ACCEPT as ACCEPT
    from weaklm.data import REJECT as REJECT
    from weaklm.data import Batch as Batch
    from weaklm.data import Example as Example
    from weaklm.data import human_labels as human_labels
    from weaklm.data import split as split
    from weaklm.dawid_skene import DawidSkene as DawidSkene
    from weaklm.endpoint import Endpoint as Endpoint
    from weaklm.exchange import export as export
    from weaklm.exchange import from_dataset as from_dataset
    from weaklm.exchange import read as read
    from weaklm.exchange import read_labels as read_labels
    from weaklm.exchange import to_dataset as to_dataset
    from weaklm.functions import LabelingFunction as LabelingFunction
    from weaklm.functions import SlicingFunction as SlicingFunction
    from weaklm.functions import collect as collect
    from weaklm.functions import labeling_function as labeling_function
    from weaklm.functions import load as load
    from weaklm.functions import preprocessor as preprocessor
    from weaklm.functions import slicing_function as slicing_function
    from weaklm.judges.completers import LocalModel as LocalModel
    from weaklm.judges.encoders import NLI as NLI
    from weaklm.judges.encoders import Similarity as Similarity
    from weaklm.judges.judge import Judge as Judge
    from weaklm.label_model import LabelModel as LabelModel
    from weaklm.lm.generation import LanguageModel as LanguageModel
    from weaklm.lm.train import QLoRATrainer as QLoRATrainer
    from weaklm.model_choice import compare_label_models as compare_label_models
    from weaklm.parts import apply_parts as apply_parts
    from weaklm.parts import read_votes as read_votes
    from weaklm.project import Project as Project
    from weaklm.quality import QualityModel as QualityModel
    from weaklm.report import Report as Report
    from weaklm.rescoring import compare as compare
    from weaklm.rescoring import rescore as rescore
    from weaklm.snorkel_model import SnorkelLabelModel as SnorkelLabelModel
    from weaklm.suggestions import suggest as suggest
    from weaklm.tipping import blame as blame
    from weaklm.voter import MajorityLabelVoter as MajorityLabelVoter


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"weaklm.{name}")
    if name not in _HOME:
        from weaklm.errors import nearest

        raise AttributeError(f"weaklm has no {name!r}; {nearest(name, (*_HOME, *_MODULES))}")
    value = getattr(import_module(f"weaklm.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
