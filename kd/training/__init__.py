"""The training loop, its state, and evaluation.

May import every package but `jobs`, `results`, `monitor` and `cli`.
"""
