"""The laboratory built on the other packages: runs on disk, measurements, studies, figures and the command line."""
