"""Analyses of recorded rows: selection, tables of checkpoints, correlation, and comparison with published numbers."""
