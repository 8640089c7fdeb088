"""Access to the machine: files, memory, processes and signals. Nothing here depends on languages or models."""
