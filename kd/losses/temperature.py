"""The temperature of each example, and logits of the teacher with its mistakes corrected."""

import torch
from torch import Tensor
from torch.nn import functional as F

_COLDEST = 0.1  # of the base temperature: a temperature of 0 or below softens nothing


@torch.no_grad()
def flsw_temperature(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The temperature of each example, (B,), from logits (B, C): higher where S agrees more with T.

    tau + mean(w) - w, w = 1 - cos(S, T): FLSW (arXiv:1911.07471) with beta = gamma = 1, as in
    TextBrewer. Never below a tenth of `temperature`. It has no gradient.
    """
    w = 1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return _around(temperature, w)


@torch.no_grad()
def cwsm_temperature(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The temperature of each example, (B,), from logits (B, C): higher where S is surer.

    tau + mean(w) - w, w = 1 / max softmax(S): CWSM (arXiv:1911.07471) with beta = 1, as in
    TextBrewer. Never below a tenth of `temperature`. It has no gradient; T does not matter.
    """
    w = 1 / F.softmax(student.float(), -1).amax(-1)
    return _around(temperature, w)


def _around(temperature: float, w: Tensor) -> Tensor:
    return (temperature + w.mean() - w).clamp_min(_COLDEST * temperature)


def probability_shift(teacher: Tensor, labels: Tensor) -> Tensor:
    """A copy of the logits (B, C) with the largest and that of the gold class (B,) swapped.

    A teacher that errs teaches its own spread with the right class on top (arXiv:1911.07471).
    """
    top, gold = teacher.argmax(-1, keepdim=True), labels[:, None]
    swapped = teacher.scatter(-1, top, teacher.gather(-1, gold))
    return swapped.scatter(-1, gold, teacher.gather(-1, top))
