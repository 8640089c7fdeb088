"""What frozen features know about a downstream task, and what a model learns of it."""

from .adamw import AdamW
from .feature_store import Storage
from .features import Reading, concatenated_features
from .fine_tune import FineTuning, fine_tune
from .linear import Extraction, ProbeAccuracy, linear_probe, linear_probes
from .optimum import Optimum
from .samples import Samples, majority_class

__all__ = [
    "AdamW",
    "Extraction",
    "FineTuning",
    "Optimum",
    "ProbeAccuracy",
    "Reading",
    "Samples",
    "Storage",
    "concatenated_features",
    "fine_tune",
    "linear_probe",
    "linear_probes",
    "majority_class",
]
