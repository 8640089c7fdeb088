"""Squared gradients of each context without the gradients: what each use of a parameter adds to them."""
