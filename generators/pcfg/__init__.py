"""Probabilistic context-free grammars."""

from .language import PCFG

__all__ = ["PCFG"]
