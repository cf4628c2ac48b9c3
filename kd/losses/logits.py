"""Matchings of logits: one (B, C) with another."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.losses.reduce import centred, direction, kl, mean, sides, turn

Temperature = float | Tensor  # of all examples, or (B,) of each


def logits_kl(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """tau^2 KL(softmax(T/tau) || softmax(S/tau)) of logits (B, C), mean over examples.

    `temperature` is one number, or (B,). Hinton et al. 2015 (arXiv:1503.02531), section 2.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return (temperature**2 * kl(s, t)).mean()


def logits_ce(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """-tau^2 sum softmax(T/tau) log softmax(S/tau) of logits (B, C), mean over examples.

    Its gradient is that of `logits_kl` (arXiv:1503.02531). At S = T it is not 0 but tau^2 times the
    teacher's entropy.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return -(temperature**2 * (t.exp() * s).sum(-1)).mean()


def logits_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of logits (B, C); of the scores (B, 1), for a regression.

    Ba & Caruana 2014 (arXiv:1312.6184).
    """
    return F.mse_loss(*sides(student, teacher))


def logits_dist(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """DIST of logits (B, C), with both weights 1 (Huang et al. 2022, arXiv:2205.10536).

    1 - Pearson correlation of the softened probabilities of S and T: tau^2 times it over the
    classes of each example, mean over examples, and mean tau^2 times it over the batch for each
    class, mean over classes. No correlation is defined where one side does not vary.
    """
    s, t = (_log_soft(x, temperature).exp() for x in sides(student, teacher))
    squares = torch.as_tensor(temperature, dtype=torch.float32) ** 2
    inter, inter_defined = turn(centred(s), centred(t))
    intra, intra_defined = turn(centred(s.mT), centred(t.mT))
    return mean(squares * inter, inter_defined) + squares.mean() * mean(intra, intra_defined)


def logits_std(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """`logits_kl` of each example's logits (B, C) less their mean, over their standard deviation.

    Logit standardisation (Sun et al. 2024, arXiv:2403.01427); the deviation divides by C. One by
    C - 1, as torch's `std`, is this at a temperature sqrt(C / (C - 1)) times as high. Equal logits
    have no deviation. Two classes become (1, -1) or (-1, 1): there the gradient is 0.
    """
    (s, s_defined), (t, t_defined) = (direction(centred(x)) for x in sides(student, teacher))
    size = math.sqrt(s.shape[-1])
    divergence = kl(_log_soft(size * s, temperature), _log_soft(size * t, temperature))
    return mean(temperature**2 * divergence, s_defined & t_defined)


def _log_soft(logits: Tensor, temperature: Temperature) -> Tensor:
    """log softmax(logits / tau), (B, C)."""
    if isinstance(temperature, Tensor):
        temperature = temperature.unsqueeze(-1)
    return F.log_softmax(logits / temperature, -1)
