"""Matchings of attention: scores (B, h, L, L), maps, and relations of queries, keys and values.

A map is the softmax of scores over valid keys.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.losses.reduce import both_valid, hide, kl, log_softmax, mean, sides, turn


def double_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """The attention probabilities (B, h, L, L) over valid keys, to be used as scores.

    In several published codes a second softmax over all keys follows (TextBrewer's `attention_ce`).
    A padded key has probability 0, which is not a low score, so the second softmax gives it a
    share. Rows of padded queries are 0 for student and teacher, so they make no difference.
    """
    return _maps(scores, mask) * mask[:, None, :, None]


def map_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL(T || S) of attention maps, from scores (B, h, L, L); mean over valid query rows and heads.

    MiniLM (arXiv:2002.10957), equation 1.
    """
    s, t = (_log_maps(x, mask) for x in sides(student, teacher))
    return mean(kl(s, t), mask[:, None, :])


def map_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of attention maps, from scores (B, h, L, L); over valid pairs."""
    s, t = (_maps(x, mask) for x in sides(student, teacher))
    return mean((s - t).square(), both_valid(mask)[:, None])


def map_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine of the rows of attention maps, from scores (B, h, L, L).

    Mean over valid query rows and heads.
    """
    s, t = (_maps(x, mask) for x in sides(student, teacher))
    turned, _ = turn(s, t)
    return mean(turned, mask[:, None, :])


def map_head_mean_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_kl` of maps averaged over heads, from scores (B, h, L, L). Both h may differ."""
    s, t = (_log_head_mean(x, mask) for x in sides(student, teacher))
    return mean(kl(s, t), mask)


def map_head_mean_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_mse` of maps averaged over heads, from scores (B, h, L, L). Both h may differ."""
    s, t = (_maps(x, mask).mean(1) for x in sides(student, teacher))
    return mean((s - t).square(), both_valid(mask))


def map_head_mean_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_cosine` of maps averaged over heads, from scores (B, h, L, L). Both h may differ."""
    s, t = (_maps(x, mask).mean(1) for x in sides(student, teacher))
    turned, _ = turn(s, t)
    return mean(turned, mask)


def score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of scores (B, h, L, L), over valid pairs and heads.

    TinyBERT (arXiv:1909.10351), equation 7.
    """
    s, t = sides(student, teacher)
    return mean((s - t).square(), both_valid(mask)[:, None])


def score_head_mean_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`score_mse` of scores (B, h, L, L) averaged over heads. Both h may differ."""
    s, t = (x.mean(1) for x in sides(student, teacher))
    return mean((s - t).square(), both_valid(mask))


def relation_kl(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    mask: Tensor,
    relation_heads: int,
) -> Tensor:
    """KL of softmax(X Y^T / sqrt(d_r)), mean over valid query rows and relation heads.

    X and Y are (B, h, L, d); their heads are concatenated and split again into `relation_heads`
    of width d_r (MiniLMv2, arXiv:2012.15828, equation 5), so h and d may differ between S and T.
    """
    s, t = _relation(*student, relation_heads), _relation(*teacher, relation_heads)
    return map_kl(s, t, mask)


def _maps(scores: Tensor, mask: Tensor) -> Tensor:
    """The attention maps: softmax over valid keys."""
    return F.softmax(hide(scores.float(), ~mask[:, None, None, :]), -1)


def _log_maps(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of the attention maps."""
    return log_softmax(scores.float(), ~mask[:, None, None, :])


def _log_head_mean(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of the maps averaged over heads, (B, L, L); stable where a probability vanishes."""
    return torch.logsumexp(_log_maps(scores, mask), 1) - math.log(scores.shape[1])


def _relation(x: Tensor, y: Tensor, heads: int) -> Tensor:
    """Scaled products (B, relation heads, L, L)."""
    left = _resplit(x, heads)
    right = left if y is x else _resplit(y, heads)
    return (left / math.sqrt(left.shape[-1])) @ right.mT


def _resplit(x: Tensor, heads: int) -> Tensor:
    """(B, h, L, d) -> (B, relation heads, L, h d / relation heads)."""
    x = x.float()
    if x.shape[1] != heads:
        x = x.transpose(1, 2).flatten(2).unflatten(-1, (heads, -1)).transpose(1, 2)
    return x.contiguous()  # otherwise it would be copied for each factor of the product
