"""Snorkel's classes come without the rest of Snorkel, which is there for whoever asks."""

import subprocess
import sys

CODE = """
import sys
from weaklm.snorkel_core import LabelingFunction, SlicingFunction

from snorkel.labeling import labeling_function
from snorkel.slicing import slicing_function
assert not {"sklearn", "scipy", "torch"} & set(sys.modules)
assert isinstance(labeling_function()(len), LabelingFunction) and isinstance(slicing_function()(len), SlicingFunction)

from snorkel.labeling import LFAnalysis, LabelingFunction as theirs
import snorkel.labeling.apply, snorkel.slicing.sf
assert theirs is LabelingFunction and snorkel.slicing.sf.core.SlicingFunction is SlicingFunction
assert snorkel.labeling.apply.core.LFApplier is snorkel.labeling.LFApplier
assert not hasattr(snorkel.labeling, "nonsense")
"""


def test_the_classes_need_neither_scipy_nor_torch_and_the_packages_are_whole_on_demand() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
