"""What satlab asks of the machine: files, memory, processes, signals. Nothing here knows a language or a model."""
