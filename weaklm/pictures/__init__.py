"""Static pictures for reports: numbers in, SVG text out; the same numbers give the same text.

Ink takes the colour of the text around it, so that a picture is readable on paper, on white and on black; the colours
are told apart by colour-blind people (Okabe and Ito 2008), and each has its own marker or hatch. What stands on few
observations is hollow.
"""

from weaklm.pictures.canvas import COLOURS
from weaklm.pictures.curves import training_curve
from weaklm.pictures.graph import EDGES, network
from weaklm.pictures.grid import heat_map
from weaklm.pictures.intervals import Interval, forest
from weaklm.pictures.scores import histogram, reliability
from weaklm.pictures.votes import NODES, coverage_precision

__all__ = [
    "COLOURS",
    "EDGES",
    "NODES",
    "Interval",
    "coverage_precision",
    "forest",
    "heat_map",
    "histogram",
    "network",
    "reliability",
    "training_curve",
]
