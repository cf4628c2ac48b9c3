"""Matchings of the logits of a multi-label task: one (B, C) with another, each label by itself.

A label has the probability p = sigmoid(z / tau). It is the first of two classes, yes and no, with
the logits (z, 0), so each loss is that of two classes in `logits`, mean over labels and examples.
Yang et al. 2023, MLD (arXiv:2308.06453), equation of L_MLD: there the sum over labels, at tau = 1.
"""

import torch
from torch import Tensor

from kd.losses.logits import logits_ce, logits_js, logits_kl, logits_reverse_kl, logits_tv


def labels_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """tau^2 (p(T) log(p(T)/p(S)) + (1 - p(T)) log((1 - p(T))/(1 - p(S)))) of logits (B, C)."""
    return logits_kl(_yes_or_no(student), _yes_or_no(teacher), temperature)


def labels_ce(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-tau^2 (p(T) log p(S) + (1 - p(T)) log(1 - p(S))) of logits (B, C).

    Its gradient is that of `labels_kl`. At S = T it is tau^2 times the teacher's mean entropy.
    """
    return logits_ce(_yes_or_no(student), _yes_or_no(teacher), temperature)


def labels_reverse_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """tau^2 KL(p(S) || p(T)) of logits (B, C): `labels_kl` with the sides exchanged."""
    return logits_reverse_kl(_yes_or_no(student), _yes_or_no(teacher), temperature)


def labels_js(student: Tensor, teacher: Tensor, temperature: float, beta: float = 0.5) -> Tensor:
    """Generalised Jensen-Shannon divergence of p(T) and p(S), as `logits_js` has it; (B, C)."""
    return logits_js(_yes_or_no(student), _yes_or_no(teacher), temperature, beta)


def labels_tv(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """tau^2 |p(T) - p(S)| of logits (B, C): the total variation of yes and no."""
    return logits_tv(_yes_or_no(student), _yes_or_no(teacher), temperature)


def _yes_or_no(logits: Tensor) -> Tensor:
    """(B, C) -> (B C, 2): the logits of two classes for each label."""
    no = 0 * logits  # NaN where a logit is not finite, so that the loss is not either
    return torch.stack([logits, no], -1).flatten(0, 1)
