"""Corpora: sentences of a language, stored on disk."""
