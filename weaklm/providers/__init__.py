"""Fine-tuning elsewhere: the verbs of :mod:`weaklm.jobs` for services, and files for all others."""

from weaklm.providers.files import write_files
from weaklm.providers.openai_compatible import FineTuningService
from weaklm.providers.sagemaker import SageMaker

__all__ = ["FineTuningService", "SageMaker", "write_files"]
