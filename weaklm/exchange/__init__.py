"""Exchange with other tools: files and data sets in the forms that they read, and back without a loss.

``cells`` turns values into JSON, ``prompts`` joins the parts of a prompt, ``rows`` writes and reads rows in a form.
The forms are in ``chat`` (messages, prompt and completion, Alpaca, ShareGPT), ``preference`` (KTO, DPO) and ``tools``
(Argilla, Label Studio); ``tables`` are CSV and Parquet, ``hub`` is ``datasets``, ``paths`` are places beyond this
machine. ``formats`` lists the forms by name; ``writing`` and ``reading`` put it all together.
"""

from weaklm.exchange.cells import check_text
from weaklm.exchange.chat import messages, prompt_completion
from weaklm.exchange.formats import FORMATS
from weaklm.exchange.prompts import prompt_messages, prompt_text
from weaklm.exchange.reading import from_dataset, read, read_labels
from weaklm.exchange.tables import write_parquet
from weaklm.exchange.tools import LABEL_STUDIO_CONFIG
from weaklm.exchange.writing import HasFrame, export, to_dataset

__all__ = [
    "FORMATS",
    "LABEL_STUDIO_CONFIG",
    "HasFrame",
    "check_text",
    "export",
    "from_dataset",
    "messages",
    "prompt_completion",
    "prompt_messages",
    "prompt_text",
    "read",
    "read_labels",
    "to_dataset",
    "write_parquet",
]
