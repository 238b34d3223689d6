"""What labeling functions do: coverage, overlaps, conflicts, accuracy; what is wrong with them; a picture of it."""

from weaklm.analysis.lf_analysis import LFAnalysis

__all__ = ["LFAnalysis"]
