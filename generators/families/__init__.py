"""The families of languages that a YAML file may name, one a file: what is put into this folder registers itself."""
