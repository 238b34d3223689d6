"""Labeling functions that human labels suggest: rules searched, judged honestly, and written as source."""

from weaklm.suggestions.search import Suggestion, Suggestions, suggest

__all__ = ["Suggestion", "Suggestions", "suggest"]
