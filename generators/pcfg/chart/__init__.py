"""The inside and outside algorithms of a grammar: compiled, over tensors, and as an operation with a gradient."""
