"""Choose the rows to train on: filter, certify, drop repeats and leaks, diversify, mix; every row knows why."""

from weaklm.curation.dataset import QualityDataset, curate
from weaklm.curation.decisions import DECISION_COLUMNS

__all__ = ["DECISION_COLUMNS", "QualityDataset", "curate"]
