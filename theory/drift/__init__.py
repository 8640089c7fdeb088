"""Theorem 4.3 of Liu et al. 2022: SGD with small steps drifts along the minimum, towards a smaller Tr(H)."""

from .noises import Noise, noises
from .ode import Path, drift_ode
from .problem import FiniteProblem
from .replicas import SgdRow, sgd_replicas
from .systems import deep_linear, of_model, two_weights

__all__ = [
    "FiniteProblem",
    "Noise",
    "Path",
    "SgdRow",
    "deep_linear",
    "drift_ode",
    "noises",
    "of_model",
    "sgd_replicas",
    "two_weights",
]
