"""Probes: how well frozen features, or a model tuned on labels, solve a downstream task."""

from .adamw import AdamW
from .attention_head import AttentionHead
from .feature_store import FeatureStorage
from .features import FeatureChoice, concatenated_features
from .fine_tune import FineTuning, fine_tune
from .frozen import Extraction, ProbeAccuracy, frozen_probes
from .head import Head, HeadAdamW
from .linear import linear_probe
from .method import (
    FeatureProbe,
    FittedProbe,
    ModelProbe,
    ProbeMethod,
    is_model_probe,
    probe_methods,
    probe_names,
    reads_table,
)
from .optimum import Optimum
from .prompt import PromptTuning
from .samples import Samples, majority_class

__all__ = [
    "AdamW",
    "AttentionHead",
    "Extraction",
    "FeatureChoice",
    "FeatureProbe",
    "FeatureStorage",
    "FineTuning",
    "FittedProbe",
    "Head",
    "HeadAdamW",
    "ModelProbe",
    "Optimum",
    "ProbeAccuracy",
    "ProbeMethod",
    "PromptTuning",
    "Samples",
    "concatenated_features",
    "fine_tune",
    "frozen_probes",
    "is_model_probe",
    "linear_probe",
    "majority_class",
    "probe_methods",
    "probe_names",
    "reads_table",
]
