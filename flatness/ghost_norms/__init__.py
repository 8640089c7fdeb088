"""Squared gradient norms for each context, computed without forming the gradients wherever that is cheaper."""
