"""Draws figures from recorded numbers, without loading a model."""
