"""A language's sentences on disk."""
