"""Where things come from: a row's score and place, what a function does to them, an adapter's rows and code."""

from weaklm.lineage.ancestry import AdapterLineage, Step, adapter_lineage, trace
from weaklm.lineage.effect import FunctionEffect, blame_function, scores_without
from weaklm.lineage.explanation import VOTE_NAMES, Explanation, explain, function_source, people_on_alike

__all__ = [
    "VOTE_NAMES",
    "AdapterLineage",
    "Explanation",
    "FunctionEffect",
    "Step",
    "adapter_lineage",
    "blame_function",
    "explain",
    "function_source",
    "people_on_alike",
    "scores_without",
    "trace",
]
