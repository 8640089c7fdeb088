"""Flatness of the minimum: the trace of the Hessian, its largest eigenvalues, and how the loss rises around it."""

from .invariance import Rescaled, rescaled, trace_under_rescaling
from .lanczos import Eigenvalue, top_eigenvalues
from .sharpness import Rise, sharpness
from .terms import TraceEstimate
from .trace import METHODS, hessian_trace

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
