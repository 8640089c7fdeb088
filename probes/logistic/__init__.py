"""Multinomial logistic regression at its convex optimum, in memory or streamed from disk."""
