"""Flatness of the minimum: the trace of the Hessian, its largest eigenvalues, and how the loss rises around it."""

from .estimators.invariance import Rescaled, rescaled, trace_under_rescaling
from .estimators.lanczos import Eigenvalue, top_eigenvalues
from .estimators.sharpness import Rise, sharpness
from .measure import FlatnessMeasure, Measurement, Needs, Problem, TraceMeasure, flatness_measures
from .trace import hessian_trace, trace_methods
from .trace_terms import TraceEstimate

__all__ = [
    "Eigenvalue",
    "FlatnessMeasure",
    "Measurement",
    "Needs",
    "Problem",
    "Rescaled",
    "Rise",
    "TraceEstimate",
    "TraceMeasure",
    "flatness_measures",
    "hessian_trace",
    "rescaled",
    "sharpness",
    "top_eigenvalues",
    "trace_methods",
    "trace_under_rescaling",
]
