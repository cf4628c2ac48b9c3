"""Matchings of vectors: of tokens (B, L, H) with a mask (B, L), or of examples (B, H)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.losses.reduce import both_valid, centred, direction, log_softmax, mean, sides, turn


def token_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of two (B, L, H), over valid tokens and dimensions.

    For hidden states this is equation 8 of TinyBERT (arXiv:1909.10351).
    """
    s, t = sides(student, teacher)
    return mean((s - t).square(), mask[..., None])


def token_mae(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of two (B, L, H), over valid tokens and dimensions."""
    s, t = sides(student, teacher)
    return mean((s - t).abs(), mask[..., None])


def token_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine of two (B, L, H), mean over valid tokens; DistilBERT (arXiv:1910.01108)."""
    turned, defined = turn(*sides(student, teacher))
    return mean(turned, mask & defined)


def token_normalised_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared distance of two L2-normalised (B, L, H), mean over valid tokens.

    It is twice `token_cosine`.
    """
    return 2 * token_cosine(student, teacher, mask)


def token_gram(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the Gram matrices (H, H) of each example's valid tokens (B, L, H).

    A Gram matrix is X^T X over the number of tokens. Both sides have the same H.
    """
    s, t = sides(student, teacher)
    return F.mse_loss(_gram(s, mask), _gram(t, mask))


def _gram(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask[..., None]).mT @ x / mask.sum(-1).clamp_min(1)[:, None, None]


def token_nst(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of token similarities X X^T / H, (B, L, L), over valid pairs.

    The inputs are (B, L, H), and both H may differ. This is NST with a linear kernel
    (arXiv:1707.01219).
    """
    s, t = (x * mask[..., None] for x in sides(student, teacher))
    difference = s @ s.mT / s.shape[-1] - t @ t.mT / t.shape[-1]
    return mean(difference.square(), both_valid(mask))


def token_cka(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - linear CKA of the valid tokens of a batch, of two (B, L, H). Both H may differ.

    Kornblith et al. 2019 (arXiv:1905.00414). It is 0 if all tokens of one side are equal, where CKA
    is undefined.
    """
    every = mask.flatten()
    s, t = (centred(x.flatten(0, 1).mT, every) for x in sides(student, teacher))
    (s, s_defined), (t, t_defined) = (_scaled(x) for x in (s, t))
    defined = s_defined & t_defined
    own = torch.linalg.matrix_norm(s @ s.mT) * torch.linalg.matrix_norm(t @ t.mT)
    return mean(1 - (s @ t.mT).square().sum() / own.masked_fill(~defined, 1), defined)


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    """`direction` of a matrix, taken as one long vector."""
    scaled, defined = direction(x.flatten())
    return scaled.view_as(x), defined


def vector_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of two (B, H)."""
    return F.mse_loss(*sides(student, teacher))


def vector_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of two (B, H), mean over examples."""
    return mean(*turn(*sides(student, teacher)))


def vector_normalised_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of two L2-normalised (B, H), mean over examples.

    BERT-PKD (arXiv:1908.09355), equation 7. It is 2 `vector_cosine`.
    """
    return 2 * vector_cosine(student, teacher)


def vector_contrastive(student: Tensor, teacher: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE in the batch, of two (B, H) (van den Oord et al. 2018, arXiv:1807.03748).

    Cross-entropy of student i against all teachers j, from cosines over `temperature`; mean over
    examples. At S = T it is not 0 but what the teacher's own cosines give. It lies above 0, and
    is 0 for one example alone.
    """
    (s, s_defined), (t, t_defined) = (direction(x) for x in sides(student, teacher))
    defined = s_defined & t_defined
    log = log_softmax(s @ t.mT / temperature, ~defined)
    return mean(-log.diagonal(), defined)
