"""The temperature of each example, and teacher logits with corrected mistakes."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.axes.kinds import CLASSES, LABELS

_COLDEST = 0.1  # share of the base temperature, so that no temperature is 0 or below


@torch.no_grad()
def flsw_temperature(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The temperature of each example, (B,), from logits (B, C): higher if S agrees with T.

    tau + mean(w) - w, w = 1 - cos(S, T): FLSW (arXiv:1911.07471) with beta = gamma = 1, as in
    TextBrewer. It is at least a tenth of `temperature` and has no gradient.
    """
    w = 1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return _around(temperature, w)


@torch.no_grad()
def cwsm_temperature(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The temperature of each example, (B,), from logits (B, C): higher if S is more certain.

    tau + mean(w) - w, w = 1 / max softmax(S): CWSM (arXiv:1911.07471) with beta = 1, as in
    TextBrewer. It is at least a tenth of `temperature`, has no gradient, and does not depend on T.
    """
    w = 1 / F.softmax(student.float(), -1).amax(-1)
    return _around(temperature, w)


def _around(temperature: float, w: Tensor) -> Tensor:
    return (temperature + w.mean() - w).clamp_min(_COLDEST * temperature)


def probability_shift(teacher: Tensor, labels: Tensor) -> Tensor:
    """A copy of the logits (B, C) with the largest logit and that of the right class (B,) swapped.

    Where the teacher is wrong, the right class then has the largest logit (arXiv:1911.07471).
    """
    top, gold = teacher.argmax(-1, keepdim=True), labels[:, None]
    swapped = teacher.scatter(-1, top, teacher.gather(-1, gold))
    return swapped.scatter(-1, gold, teacher.gather(-1, top))


def probability_shift_of_each(teacher: Tensor, labels: Tensor) -> Tensor:
    """The same for each label by itself, of logits (B, C) and labels (B, C) of 0 and 1.

    A label with yes and no as its two classes: where the teacher errs, it says the opposite with
    the same certainty, so its logit changes sign.
    """
    return torch.where(labels > 0, teacher.abs(), -teacher.abs())


PROBABILITY_SHIFTS = {CLASSES: probability_shift, LABELS: probability_shift_of_each}
