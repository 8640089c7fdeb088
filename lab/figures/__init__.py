"""Figures from recorded numbers; no model is loaded."""
