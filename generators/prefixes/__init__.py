"""Prefix tasks: the label is a deterministic or a random function of the words read so far."""
