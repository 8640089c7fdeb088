"""A pretrained causal network as a language."""
