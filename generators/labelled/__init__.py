"""Labelled text from local files: the tables in which SST, AG News, QNLI and their like are handed around."""
