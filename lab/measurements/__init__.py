"""What is measured on the checkpoints of a run: KL, probes, flatness. Each is taken once."""
