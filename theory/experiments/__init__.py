"""Experiments on theorems, one file each."""
