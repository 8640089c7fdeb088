"""Measurements on the checkpoints of a run, such as KL, probes and flatness. Each is made only once."""
