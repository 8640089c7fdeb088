"""Flatness of the minimum: the trace of the Hessian."""

from .trace import METHODS, TraceEstimate, hessian_trace

__all__ = ["METHODS", "TraceEstimate", "hessian_trace"]
