"""Theorems of the papers as checks that can fail on a model. Each has its own file and is an entry of a registry."""

from .theorem import Link, Subject, Theorem, theorems

__all__ = ["Link", "Subject", "Theorem", "theorems"]
