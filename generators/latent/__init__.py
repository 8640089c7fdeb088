"""What grammars and chains share: a latent structure over an emission matrix, and one partition function for all."""
