"""The quality model: from probabilistic labels to a score of any response, and what people's labels add.

``model`` is the face. ``weak_model`` learns from the label model (``ridge``, ``scale`` and LightGBM), ``stack`` from
people; ``embeddings`` are further features; ``drift`` and ``shortcut`` raise alarms; ``labels`` checks what is given
and ``model_folder`` what is saved. ``second_opinion`` fits two models that share no function, ``mlflow_flavor`` hands
one on.
"""

from weaklm.quality.model import QualityModel
from weaklm.quality.shortcut import length_auc

__all__ = ["QualityModel", "length_auc"]
