"""The command `satlab`."""
