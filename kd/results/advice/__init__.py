"""Judges the values of each axis. Data frames in, plain data out."""
