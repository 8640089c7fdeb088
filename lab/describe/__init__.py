"""Descriptions of languages and model sizes for readers: `satlab show` and `satlab models`."""
