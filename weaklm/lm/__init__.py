"""The torch half: template, 4-bit base and adapter, training, generation; nothing outside it imports torch."""

import logging
import warnings
from importlib.util import find_spec

from weaklm.errors import MissingExtraError

if any(find_spec(name) is None for name in ("torch", "transformers", "peft")):
    raise MissingExtraError("Fine-tuning and generation", "train")

# On some processors bitsandbytes warns at import that an optional download for kernels of inference is not there.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# In a notebook without ipywidgets the libraries' progress bars warn on import; ours are plain text.
warnings.filterwarnings("ignore", message="IProgress not found")
