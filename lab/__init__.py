"""The laboratory around the pieces: runs on disk, measurements, studies, figures and the command line."""
