"""The files that hold a model."""

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
