"""Knowledge distillation of transformer encoders, one grid cell at a time."""

__version__ = "0.1.0"
