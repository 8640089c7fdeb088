"""The inside and the outside algorithm over a chart, as passes over tensors, and what is derived from them."""
