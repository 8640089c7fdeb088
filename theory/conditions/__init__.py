"""Checks of the conditions under which tuning a head or a prompt is exact. Each is an entry of a registry."""

from .condition import Chain, Condition, Verdict, chain_of, conditions

__all__ = ["Chain", "Condition", "Verdict", "chain_of", "conditions"]
