"""Hidden Markov models."""

from .language import HMM

__all__ = ["HMM"]
