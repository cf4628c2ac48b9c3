"""Judges the values of each axis. Data frames in, plain data out."""

FEW_SEEDS = 3  # with fewer, no value is recommended
