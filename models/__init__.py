"""Masked and causal language models behind one interface."""

from .build import build_model, load_model, save_model
from .interface import MaskedLM
from .masking import check_masking, default_masking

__all__ = ["MaskedLM", "build_model", "check_masking", "default_masking", "load_model", "save_model"]
