"""Measurements on the checkpoints of a run: KL, probes and flatness, each made once."""
