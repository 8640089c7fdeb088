"""Squared norms of the gradients of each context, from the uses of the parameters and without the gradients."""
