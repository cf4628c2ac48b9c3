"""Encoders: what their files say, built, initialised, captured, exported. May import runtime, axes
and data.
"""
