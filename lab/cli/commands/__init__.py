"""The commands, one file each: its docstring is the help, `add_arguments` its options, `run` what it does."""
