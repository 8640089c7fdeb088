"""Shared by head tuning and prompt tuning: positions of mask and prompt, readings at the mask, and labelled texts."""
