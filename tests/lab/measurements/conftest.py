"""Runs that are probed."""

from support.probed import run, trained

__all__ = ["run", "trained"]
