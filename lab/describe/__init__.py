"""A language described for people: `satlab show` and `satlab models`."""
