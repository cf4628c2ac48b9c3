"""A teacher's outputs: stored for the whole grid, or computed for a batch."""
