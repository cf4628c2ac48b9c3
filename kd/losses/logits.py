"""Matchings of logits: one (B, C) with another."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.losses.reduce import centred, direction, hide, kl, log_softmax, mean, sides, turn

Temperature = float | Tensor  # one for all examples, or (B,)


def logits_kl(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """tau^2 KL(softmax(T/tau) || softmax(S/tau)) of logits (B, C), mean over examples.

    `temperature` is one number, or (B,). Hinton et al. 2015 (arXiv:1503.02531), section 2.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return (temperature**2 * kl(s, t)).mean()


def logits_ce(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """-tau^2 sum softmax(T/tau) log softmax(S/tau) of logits (B, C), mean over examples.

    It has the same gradient as `logits_kl` (arXiv:1503.02531). At S = T it is tau^2 times the
    entropy of the teacher, not 0.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return -(temperature**2 * (t.exp() * s).sum(-1)).mean()


def logits_reverse_kl(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """tau^2 KL(softmax(S/tau) || softmax(T/tau)) of logits (B, C), mean over examples.

    This is the divergence of MiniLLM (Gu et al. 2024, arXiv:2306.08543), for each example.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return (temperature**2 * kl(t, s)).mean()


def logits_js(
    student: Tensor, teacher: Tensor, temperature: Temperature, beta: float = 0.5
) -> Tensor:
    """Generalised Jensen-Shannon divergence of logits (B, C), mean over examples.

    tau^2 (beta KL(T || M) + (1 - beta) KL(S || M)) of the softened probabilities, with
    M = beta T + (1 - beta) S (Agarwal et al. 2024, arXiv:2306.13649). Near beta = 0 it is
    beta `logits_kl`, near beta = 1 it is (1 - beta) `logits_reverse_kl`.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    middle = torch.logaddexp(t + math.log(beta), s + math.log(1 - beta))
    return (temperature**2 * (beta * kl(middle, t) + (1 - beta) * kl(middle, s))).mean()


def logits_tv(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """tau^2 sum |T - S| / 2 of the softened probabilities, from logits (B, C); mean over examples.

    Total variation (Wen et al. 2023, arXiv:2307.15190). Like the divergences it has the factor
    tau^2. Its gradient without the factor falls only as 1 / tau, so a higher temperature gives it
    more weight.
    """
    s, t = (_log_soft(x, temperature).exp() for x in sides(student, teacher))
    return (temperature**2 * (s - t).abs().sum(-1) / 2).mean()


def logits_dkd(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: Temperature,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    """Decoupled distillation of logits (B, C) with labels (B,), mean over examples.

    tau^2 (alpha KL of (target, all others) + beta KL of the softmax over the others), both
    KL(T || S) (Zhao et al. 2022, arXiv:2203.08679, equation 7). alpha and beta have the defaults of
    the published code; its warm-up is left out. With two classes the second part is 0.
    """
    target = labels[:, None] == torch.arange(student.shape[-1], device=labels.device)
    two, others = [], []
    for log in (_log_soft(x, temperature) for x in sides(student, teacher)):
        two.append(torch.stack([hide(log, part).logsumexp(-1) for part in (~target, target)], -1))
        others.append(log_softmax(log, target))
    return (temperature**2 * (alpha * kl(*two) + beta * kl(*others))).mean()


def logits_ranknet(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """tau^2 KL of the order of two classes, from logits (B, C); mean over pairs and examples.

    Class i is above class j with probability sigmoid((z_i - z_j) / tau). This is RankNet (Burges
    et al. 2005) with the teacher's probabilities as targets, minus their entropy. With two classes
    it equals `logits_kl`.
    """
    s, t = (F.logsigmoid(_differences(x, temperature)) for x in sides(student, teacher))
    pairs = s.shape[-1] * (s.shape[-1] - 1) / 2
    return (temperature**2 * kl(s, t).sum(-1) / pairs).mean()


def logits_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of logits (B, C), or of scores (B, 1) of a regression.

    Ba & Caruana 2014 (arXiv:1312.6184).
    """
    return F.mse_loss(*sides(student, teacher))


def logits_dist(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """DIST of logits (B, C), with both weights 1 (Huang et al. 2022, arXiv:2205.10536).

    The sum of two parts, each tau^2 (1 - the Pearson correlation of the softened probabilities of S
    and T). In the first the correlation is over the classes of an example, and the mean is over
    examples. In the second it is over the batch for each class, with the mean of tau^2, and the
    mean is over classes. Correlations without variance on one side are undefined.
    """
    s, t = (_log_soft(x, temperature).exp() for x in sides(student, teacher))
    squares = torch.as_tensor(temperature, dtype=torch.float32) ** 2
    inter, inter_defined = turn(centred(s), centred(t))
    intra, intra_defined = turn(centred(s.mT), centred(t.mT))
    return mean(squares * inter, inter_defined) + squares.mean() * mean(intra, intra_defined)


def logits_std(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """`logits_kl` of logits (B, C) that are standardised for each example.

    Logit standardisation (Sun et al. 2024, arXiv:2403.01427). The standard deviation divides by C.
    With C - 1, as in torch's `std`, the result would be that of a temperature sqrt(C / (C - 1))
    times as high. Equal logits have no deviation. Two classes become (1, -1) or (-1, 1), where the
    gradient is 0.
    """
    (s, s_defined), (t, t_defined) = (direction(centred(x)) for x in sides(student, teacher))
    size = math.sqrt(s.shape[-1])
    divergence = kl(_log_soft(size * s, temperature), _log_soft(size * t, temperature))
    return mean(temperature**2 * divergence, s_defined & t_defined)


def _log_soft(logits: Tensor, temperature: Temperature) -> Tensor:
    """log softmax(logits / tau), (B, C)."""
    return F.log_softmax(_softened(logits, temperature), -1)


def _softened(logits: Tensor, temperature: Temperature) -> Tensor:
    """logits / tau, (B, C)."""
    if isinstance(temperature, Tensor):
        temperature = temperature.unsqueeze(-1)
    return logits / temperature


def _differences(logits: Tensor, temperature: Temperature) -> Tensor:
    """(z_i - z_j) / tau of every two classes, (B, C, C)."""
    z = _softened(logits, temperature)
    return z[:, :, None] - z[:, None, :]
