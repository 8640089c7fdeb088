"""Masked and causal language models with a common interface."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .build import build_model, load_model, save_model
    from .interface import LanguageModel
    from .masking import check_masking, default_masking

__all__ = ["LanguageModel", "build_model", "check_masking", "default_masking", "load_model", "save_model"]

__getattr__ = lazily(__name__, __file__)
