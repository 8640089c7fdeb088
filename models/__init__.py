"""Masked language models behind one interface."""

from .build import build_model, load_model, save_model
from .interface import MaskedLM

__all__ = ["MaskedLM", "build_model", "load_model", "save_model"]
