"""The families of languages that a YAML file may name. A module in this folder registers the families it defines."""
