"""Linear layers from one width to another."""

from torch import nn
from torch.nn.utils.parametrizations import orthogonal


def make_projection(kind: str, width: int, target: int) -> nn.Module:
    """A layer from (..., width) to (..., target), of a kind in `kd.axes.projections`."""
    if kind == "orthogonal":
        found: nn.Module = orthogonal(nn.Linear(width, target, bias=False))
        return found
    return nn.Linear(width, target)
