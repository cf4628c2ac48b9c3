"""Encoders: their files are read, models are built, initialised and saved, features are captured.

May import `runtime`, `axes` and `data`.
"""
