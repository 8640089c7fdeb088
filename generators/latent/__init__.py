"""The common part of grammars and chains: a latent structure, an emission matrix and a partition function."""
