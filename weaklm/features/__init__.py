"""From data to X: named numbers about each response, its instruction and its context.

A text becomes numbers in steps, one module each: ``spans`` finds the words in its bytes, ``wordfacts`` says what is
known of a word, ``corpus`` reads many texts, ``words`` holds them as arrays, ``chunk`` takes some rows apart, and
``measures`` and ``contradictions`` measure them. ``phrases`` searches columns of texts, ``keyed`` looks up numbers, and
``extractor`` joins it all.
"""

from weaklm.features.extractor import DIRECTIONS, FAMILIES, FeatureExtractor

__all__ = ["DIRECTIONS", "FAMILIES", "FeatureExtractor"]
