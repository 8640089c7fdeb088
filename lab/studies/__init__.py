"""A grid of runs that are trained and measured side by side."""
