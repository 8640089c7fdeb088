"""The names of the files of a saved model."""

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
