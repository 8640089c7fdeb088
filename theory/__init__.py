"""Theorems of the papers as programs that can fail: one file each, an entry of one registry."""

from .theorem import Link, Subject, Theorem, theorems

__all__ = ["Link", "Subject", "Theorem", "theorems"]
