"""The inside and outside algorithm of a grammar: compiled, over tensors, and as an operation with a gradient."""
