"""Knowledge distillation of transformer encoders, one grid cell at a time.

`Distillation` is the loss of a run for a training loop of your own; see examples/.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kd.losses.distillation import Distillation

__all__ = ["Distillation"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`kd.Distillation`, loaded on demand: it needs torch, and planning must not."""
    if name == "Distillation":
        return import_module("kd.losses.distillation").Distillation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
