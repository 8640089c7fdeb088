"""Flatness of the minimum: the trace of the Hessian, its largest eigenvalues, and how the loss rises around it."""

from .estimators.lanczos import Eigenvalue, top_eigenvalues
from .estimators.sharpness import Rise, sharpness
from .invariance import Rescaled, rescaled, trace_under_rescaling
from .trace import METHODS, hessian_trace
from .trace_terms import TraceEstimate

__all__ = [
    "METHODS",
    "Eigenvalue",
    "Rescaled",
    "Rise",
    "TraceEstimate",
    "hessian_trace",
    "rescaled",
    "sharpness",
    "top_eigenvalues",
    "trace_under_rescaling",
]
