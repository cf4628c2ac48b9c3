"""What the losses are made of: means over valid units, directions, divergences; all in fp32.

A unit (a token, an example, a pair, ...) whose comparison is undefined, as the cosine of a zero
vector is, is no unit: it has no value and no gradient, and the mean is over the others.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_LOWEST = -1e30  # in the place of hidden scores: softmax gives 0 and no gradient is NaN
_ZERO = 1e-12  # a shorter vector has no direction
_ROUNDING = 1e-5  # of a vector's norm: what rounding may leave of it when its mean is subtracted


def sides(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in fp32."""
    return student.float(), teacher.float()


def mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of `values` where `valid` (broadcast to it) is true; 0 where that is nowhere."""
    units = valid.sum() * (values.numel() // max(valid.numel(), 1))
    return (values * valid).sum() / units.clamp_min(1)


def direction(x: Tensor) -> tuple[Tensor, Tensor]:
    """x / |x| along the last axis, and where that is defined; 0 without gradient elsewhere."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    defined = norm > _ZERO
    return x * (defined / norm.masked_fill(~defined, 1)), defined.squeeze(-1)


def turn(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """1 - cosine along the last axis, and where it is defined: where neither vector is 0.

    It is half the squared distance of the directions, which is exact where they nearly agree.
    """
    (x, x_defined), (y, y_defined) = direction(x), direction(y)
    return (x - y).square().sum(-1) / 2, x_defined & y_defined


def centred(x: Tensor, valid: Tensor | None = None) -> Tensor:
    """x minus its mean along the last axis; exactly 0 where all are equal but for rounding.

    With `valid` (broadcast to x) the mean is over its true places, and the others become 0.
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

    Added, not filled in: several times as fast on a CPU where `hidden` is the smaller of the two.
    """
    return scores + torch.zeros_like(hidden, dtype=scores.dtype).masked_fill(hidden, _LOWEST)


def log_softmax(scores: Tensor, hidden: Tensor) -> Tensor:
    """Log-softmax along the last axis over what is not `hidden` (broadcast to the scores)."""
    return F.log_softmax(hide(scores, hidden), -1)


def both_valid(mask: Tensor) -> Tensor:
    """(B, L, L) of a mask (B, L): both tokens valid."""
    return mask[:, :, None] & mask[:, None, :]
