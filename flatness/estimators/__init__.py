"""Estimators of flatness, one file each."""
