"""Parts of the losses: means over valid units, directions and divergences, all in fp32.

A unit is a token, an example, a pair, and so on. If its comparison is undefined, as is the cosine
of a zero vector, it has no gradient, and the mean is over the other units.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_LOWEST = -1e30  # for hidden scores: their softmax is 0, and no gradient is NaN
_ZERO = 1e-12  # a shorter vector has no direction
_ROUNDING = 1e-5  # share of a norm that may be left by rounding when the mean is subtracted


def sides(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in fp32."""
    return student.float(), teacher.float()


def mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of `values` where `valid` (broadcast to it) is true; 0 if it is true nowhere."""
    units = valid.sum() * (values.numel() // max(valid.numel(), 1))
    return (values * valid).sum() / units.clamp_min(1)


def direction(x: Tensor) -> tuple[Tensor, Tensor]:
    """x / |x| along the last axis, and where that is defined; 0 without gradient elsewhere."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    defined = norm > _ZERO
    return x * (defined / norm.masked_fill(~defined, 1)), defined.squeeze(-1)


def turn(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """1 - cosine along the last axis, and where it is defined, that is, where no vector is 0.

    It is half of the squared distance of the directions, which is exact even if they are close.
    """
    (x, x_defined), (y, y_defined) = direction(x), direction(y)
    return (x - y).square().sum(-1) / 2, x_defined & y_defined


def centred(x: Tensor, valid: Tensor | None = None) -> Tensor:
    """x minus its mean along the last axis; exactly 0 if all values are equal up to rounding.

    With `valid` (broadcast to x) the mean is over valid values, and all other values become 0.
    """
    kept = x if valid is None else x * valid
    count = x.shape[-1] if valid is None else valid.sum(-1, keepdim=True).clamp_min(1)
    rest = kept - kept.sum(-1, keepdim=True) / count
    rest = rest if valid is None else rest * valid
    size, left = (torch.linalg.vector_norm(v, dim=-1, keepdim=True) for v in (kept, rest))
    return rest * (left > _ROUNDING * size)


def kl(student_log: Tensor, teacher_log: Tensor) -> Tensor:
    """KL(T || S) over the last axis, from log-probabilities."""
    return (teacher_log.exp() * (teacher_log - student_log)).sum(-1)


def hide(scores: Tensor, hidden: Tensor) -> Tensor:
    """Scores that a softmax turns into 0 where `hidden` (broadcast to them) is true.

    The value is added, not filled in. On a CPU that is several times as fast if `hidden` is the
    smaller tensor.
    """
    return scores + torch.zeros_like(hidden, dtype=scores.dtype).masked_fill(hidden, _LOWEST)


def log_softmax(scores: Tensor, hidden: Tensor) -> Tensor:
    """Log-softmax along the last axis over scores that are not `hidden` (broadcast to them)."""
    return F.log_softmax(hide(scores, hidden), -1)


def both_valid(mask: Tensor) -> Tensor:
    """Where both tokens of a pair are valid, (B, L, L), from a mask (B, L)."""
    return mask[:, :, None] & mask[:, None, :]
