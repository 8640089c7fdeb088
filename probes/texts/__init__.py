"""Real text read by a causal network from local files: its representations, for the probes of next-word prediction."""
