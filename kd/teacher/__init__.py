"""A teacher's outputs: stored for the whole grid, or computed for a batch.

`budget` decides what is stored, `store` writes and reads the arrays, `manifests` says whether an
array is whole, and `features` gives a training the features of a batch.
May import `runtime`, `axes`, `data`, `encoders`, `study` and `losses`.
"""
