"""Matchings of relations within the student and within the teacher: between examples, tokens or
layers.

Only relations are compared, so the widths may differ.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.encoders.capture import pooled
from kd.losses.reduce import direction, kl, log_softmax, mean, sides

# Of the squared norms: two items at a smaller squared distance differ by rounding to fp32 alone.
_EQUAL = 1e-12


# --- between the examples of a batch: vectors (B, H), tokens (B, L, H) pooled to vectors ----------


def vector_sp(student: Tensor, teacher: Tensor) -> Tensor:
    """Similarity-preserving distillation (Tung & Mori 2019, arXiv:1907.09682), of (B, H).

    Mean squared difference of the (B, B) products X X^T with L2-normalised rows, over B^2 entries.
    """
    s, t = sides(student, teacher)
    (s, s_defined), (t, t_defined) = direction(s @ s.mT), direction(t @ t.mT)
    return mean((s - t).square(), (s_defined & t_defined)[:, None])


def vector_rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Relational distances of (B, H) (Park et al. 2019, arXiv:1904.05068).

    Huber loss of the distances between two different examples, divided by the mean distance of the
    student or of the teacher; mean over these B (B - 1) pairs. (An average over all B^2 entries,
    with the zeros of the diagonal, is (B - 1) / B of it.) It is 0 if all examples of one side are
    equal.
    """
    s, t = sides(student, teacher)
    different = ~torch.eye(len(s), dtype=torch.bool, device=s.device)
    (s, s_defined), (t, t_defined) = _relative_distances(s), _relative_distances(t)
    loss = F.huber_loss(s, t, reduction="none")
    return mean(loss, different & s_defined & t_defined)


def _relative_distances(x: Tensor) -> tuple[Tensor, Tensor]:
    """(B, B) distances over their mean over different pairs, and whether that mean is not 0."""
    squares = _squared_distances(x[None], torch.ones_like(x[None, :, 0]).bool())
    distances = _root(squares)[0].float()
    average = distances.sum() / max(len(x) * (len(x) - 1), 1)
    defined = ~(average <= 0)  # NaN stays NaN
    return distances[0] / average.masked_fill(~defined, 1), defined


def vector_rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Relational angles of (B, H) (Park et al. 2019, arXiv:1904.05068).

    Huber loss of the cosine of the angle at example i between examples j and k; mean over triples
    of different examples. (An average over all B^3 entries is (B - 1)(B - 2) / B^2 of it.)
    """
    s, t = sides(student[None], teacher[None])
    valid = torch.ones(s.shape[:2], dtype=torch.bool, device=s.device)
    return _angle_loss(s, t, valid, s.shape[1], F.huber_loss)


def token_sp(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`vector_sp` of the mean valid token of each example, of (B, L, H)."""
    return vector_sp(pooled(student, mask), pooled(teacher, mask))


def token_rkd_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`vector_rkd_distance` of the mean valid token of each example, of (B, L, H)."""
    return vector_rkd_distance(pooled(student, mask), pooled(teacher, mask))


def token_rkd_angle(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`vector_rkd_angle` of the mean valid token of each example, of (B, L, H)."""
    return vector_rkd_angle(pooled(student, mask), pooled(teacher, mask))


# --- between the tokens of an example, (B, L, H) -------------------------------------------------


def token_word_relation(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """CKD's word relation (Park et al. 2021, arXiv:2109.08359), of (B, L, H): KL(T || S) per token.

    The distributions are the softmax of a token's cosines with the other valid tokens of its
    example. The loss is the mean over valid tokens of examples with at least two of them.
    """
    return _others_kl(*sides(student, teacher), mask)


def triplet_angle_mse(student: Tensor, teacher: Tensor, mask: Tensor, window: int = 21) -> Tensor:
    """CKD's angle of word relations (arXiv:2109.08359), of (B, L, H), in a window.

    Squared difference of the cosine of the angle at token i between tokens j and k. The mean is
    over triples of different valid tokens in which j and k are within window // 2 of i.
    """
    return _angle_loss(*sides(student, teacher), mask, window // 2, F.mse_loss)


def triplet_angle_huber(student: Tensor, teacher: Tensor, mask: Tensor, window: int = 21) -> Tensor:
    """`triplet_angle_mse` of (B, L, H) with the Huber loss, as in MGSKD (Liu et al. 2022)."""
    return _angle_loss(*sides(student, teacher), mask, window // 2, F.huber_loss)


# --- between the layers of a token, stacks (P, B, L, H) ------------------------------------------


def layer_relation_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """CKD's layer transforming relation (arXiv:2109.08359), of stacks of layers (P, B, L, H).

    KL(T || S) of the softmax of a layer's cosines with the other layers; mean over valid tokens and
    layers. It is 0 with fewer than three layers, where there is nothing to compare.
    """
    return _others_kl(*_layers(student, teacher, mask))


def layer_relation_angle(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared difference of the cosine of the angle at layer i between layers j and k.

    The input is stacks of layers (P, B, L, H). The mean is over valid tokens and triples of
    different layers (CKD, arXiv:2109.08359).
    """
    s, t, valid = _layers(student, teacher, mask)
    return _angle_loss(s, t, valid, s.shape[1], F.mse_loss)


def _layers(student: Tensor, teacher: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both sides as (B L, P, H), and the mask as (B L, P)."""
    s, t = (x.movedim(0, 2).flatten(0, 1) for x in sides(student, teacher))
    return s, t, mask.flatten()[:, None].expand(s.shape[:2])


# --- items (N, M, H): relations between the M items of each of N groups; `valid` is (N, M) -------


def _others_kl(student: Tensor, teacher: Tensor, valid: Tensor) -> Tensor:
    """KL(T || S) of the softmax of an item's cosines with the other valid items."""
    (s, s_defined), (t, t_defined) = direction(student), direction(teacher)
    valid = valid & s_defined & t_defined
    hidden = ~valid[:, None, :] | torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    divergence = kl(log_softmax(s @ s.mT, hidden), log_softmax(t @ t.mT, hidden))
    return mean(divergence, valid & (valid.sum(-1, keepdim=True) > 1))


def _angle_loss(
    student: Tensor, teacher: Tensor, valid: Tensor, reach: int, loss: Callable[..., Tensor]
) -> Tensor:
    """`loss` of the angles at items between two others within `reach`; mean over valid triples.

    It takes memory for N M (2 reach)^2 / 2 numbers, without H, because angles come from distances.
    """
    items = valid.shape[1]
    reach = min(reach, items - 1)
    here = torch.arange(items, device=valid.device)[:, None]
    # Steps around a ring, so that no item comes up twice if the window is the whole ring.
    ahead = torch.arange(1, reach + 1, device=valid.device)
    behind = torch.arange(max(items - reach, reach + 1), items, device=valid.device)
    near = (here + torch.cat([ahead, behind])) % items
    there = valid[:, near] & ((near - here).abs() <= reach)  # (N, M, neighbours)
    one, two = torch.triu_indices(near.shape[1], near.shape[1], 1, device=valid.device)
    triples = here, near[:, one], near[:, two]  # the angle is symmetric: each pair once
    every = valid[:, :, None] & there[..., one] & there[..., two]
    (s, s_defined), (t, t_defined) = (
        _cosines(_squared_distances(x, valid), *triples) for x in (student, teacher)
    )
    return mean(loss(s, t, reduction="none"), every & s_defined & t_defined)


def _cosines(squares: Tensor, i: Tensor, j: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine of the angle at i between j and k (law of cosines), and where it is defined."""

    def at(x: Tensor, y: Tensor) -> Tensor:
        # `squares[:, x, y]`, whose gradient would be added up one number at a time
        places = x * squares.shape[-1] + y
        return squares.flatten(1).index_select(1, places.flatten()).unflatten(1, places.shape)

    ij, ik, jk = at(i, j), at(i, k), at(j, k)
    (a, a_defined), (b, b_defined) = _root(ij), _root(ik)
    defined = a_defined & b_defined
    return ((ij + ik - jk) / (2 * a * b).masked_fill(~defined, 1)).float(), defined


def _squared_distances(x: Tensor, valid: Tensor) -> Tensor:
    """Squared distances (N, M, M) fp64; exactly 0 if fp32 items are equal up to rounding.

    They come from products, which need H times less memory than differences. In fp32, distances of
    items near each other would be lost in the rounding of their norms.
    """
    centre = pooled(x.detach(), valid)[:, None].double()
    x = x.double() - centre  # shifts change no distance; the middle costs the fewest digits
    products = x @ x.mT
    own = products.diagonal(dim1=-2, dim2=-1)
    both = own[:, :, None] + own[:, None, :]
    squares = both - 2 * products
    return squares * (squares > _EQUAL * (both + centre.square().sum(-1, keepdim=True)))


def _root(squares: Tensor) -> tuple[Tensor, Tensor]:
    """The square root, with gradient 0 at 0, and where it is not 0. NaN stays NaN."""
    defined = ~(squares <= 0)
    return squares.masked_fill(~defined, 1).sqrt() * defined, defined
