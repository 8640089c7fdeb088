"""Tasks whose label is a function, or a random function, of the words read so far: one file a kind."""
