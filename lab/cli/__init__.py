"""The command line, `satlab`."""
