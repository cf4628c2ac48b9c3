"""Matchings as pure functions of tensors. All return a scalar: the mean over valid units, in fp32.

Shapes: B examples, L tokens, H width, h heads, C classes; S student, T teacher. `mask` is (B, L),
true where a token is no padding. Every loss is 0 where S = T (ce: the teacher's entropy), padding
never changes it. T is a constant: its tensors carry no gradient. Formulas and sources stand in
`matching` and `knowledge`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_LOWEST = -1e30  # in the place of scores of padding: softmax gives 0 and no gradient is NaN
_TINY = 1e-12


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of `values` where `valid` (broadcast to it) is true; never 0/0."""
    return values.masked_fill(~valid, 0).sum() / valid.expand_as(values).sum().clamp_min(1)


def _kl(student_log: Tensor, teacher_log: Tensor) -> Tensor:
    """KL(T || S) over the last axis, from log-probabilities."""
    return (teacher_log.exp() * (teacher_log - student_log)).sum(-1)


# --- logits (B, C) ------------------------------------------------------------------------------


def logits_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """tau^2 KL(softmax(T/tau) || softmax(S/tau)); Hinton et al. 2015, section 2."""
    s = F.log_softmax(student.float() / temperature, -1)
    t = F.log_softmax(teacher.float() / temperature, -1)
    return temperature**2 * _kl(s, t).mean()


def logits_ce(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """-tau^2 sum softmax(T/tau) log softmax(S/tau): the gradient of `logits_kl`, another floor."""
    s = F.log_softmax(student.float() / temperature, -1)
    t = F.softmax(teacher.float() / temperature, -1)
    return -(temperature**2) * (t * s).sum(-1).mean()


def logits_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the logits; of the scores, for a regression."""
    return F.mse_loss(student.float(), teacher.float())


# --- tokens (B, L, H) ---------------------------------------------------------------------------


def token_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over valid tokens and dimensions."""
    return _mean((student.float() - teacher.float()).square(), mask[..., None])


def token_mae(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over valid tokens and dimensions."""
    return _mean((student.float() - teacher.float()).abs(), mask[..., None])


def token_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine, mean over valid tokens."""
    return _mean(1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1), mask)


def token_normalised_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared distance of the L2-normalised vectors, mean over valid tokens."""
    difference = F.normalize(student.float(), dim=-1) - F.normalize(teacher.float(), dim=-1)
    return _mean(difference.square().sum(-1), mask)


def token_gram(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the (H, H) Gram matrices of each example's valid tokens."""
    return F.mse_loss(_gram(student, mask), _gram(teacher, mask))


def _gram(x: Tensor, mask: Tensor) -> Tensor:
    x = x.float().masked_fill(~mask[..., None], 0)
    return x.mT @ x / mask.sum(-1).clamp_min(1)[:, None, None]


def token_nst(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the (L, L) token similarities x x^T / H, over valid pairs."""
    s, t = (x.float().masked_fill(~mask[..., None], 0) for x in (student, teacher))
    difference = s @ s.mT / s.shape[-1] - t @ t.mT / t.shape[-1]
    return _mean(difference.square(), _pairs(mask))


def token_cka(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - linear CKA over the batch's valid tokens (Kornblith et al. 2019, arXiv:1905.00414)."""
    s, t = _centred(student, mask), _centred(teacher, mask)
    cross = (s.mT @ t).square().sum()
    own = torch.linalg.matrix_norm(s.mT @ s) * torch.linalg.matrix_norm(t.mT @ t)
    return 1 - cross / own.clamp_min(_TINY)


def _centred(x: Tensor, mask: Tensor) -> Tensor:
    """(B L, H): the mean of the valid tokens subtracted, padding set to 0, scaled to norm 1."""
    x = x.float().masked_fill(~mask[..., None], 0).flatten(0, 1)
    valid = mask.flatten()[:, None].to(x.dtype)
    centred = (x - x.sum(0) / valid.sum().clamp_min(1)) * valid
    return centred / torch.linalg.matrix_norm(centred).clamp_min(_TINY)


# --- vectors (B, H) -----------------------------------------------------------------------------


def vector_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference."""
    return F.mse_loss(student.float(), teacher.float())


def vector_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine, mean over examples."""
    return (1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)).mean()


def vector_normalised_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the L2-normalised vectors (BERT-PKD, arXiv:1908.09355, equation 7)."""
    difference = F.normalize(student.float(), dim=-1) - F.normalize(teacher.float(), dim=-1)
    return difference.square().sum(-1).mean()


# --- attention: scores (B, h, L, L), the maps are their softmax over valid keys ------------------


def _pairs(mask: Tensor) -> Tensor:
    """(B, L, L): both tokens valid."""
    return mask[:, :, None] & mask[:, None, :]


def _log_maps(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of the attention maps: log-softmax over valid keys."""
    return F.log_softmax(scores.float().masked_fill(~mask[:, None, None, :], _LOWEST), -1)


def _rows_kl(student_log: Tensor, teacher_log: Tensor, mask: Tensor) -> Tensor:
    """KL of distributions over keys (B, h, L, L), mean over valid query rows and heads."""
    keys = mask[:, None, None, :]
    kl = (teacher_log.exp() * (teacher_log - student_log)).masked_fill(~keys, 0).sum(-1)
    return _mean(kl, mask[:, None, :])


def map_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL(T || S) per query row and head (MiniLM, arXiv:2002.10957, equation 1)."""
    return _rows_kl(_log_maps(student, mask), _log_maps(teacher, mask), mask)


def map_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the maps, over valid pairs and heads."""
    difference = _log_maps(student, mask).exp() - _log_maps(teacher, mask).exp()
    return _mean(difference.square(), _pairs(mask)[:, None])


def map_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine of the rows of the maps, mean over valid query rows and heads."""
    s, t = _log_maps(student, mask).exp(), _log_maps(teacher, mask).exp()
    return _mean(1 - F.cosine_similarity(s, t, dim=-1), mask[:, None, :])


def _log_head_mean(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of the maps averaged over heads, (B, 1, L, L); stable where a probability vanishes."""
    return torch.logsumexp(_log_maps(scores, mask), 1, keepdim=True) - math.log(scores.shape[1])


def map_head_mean_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_kl` of the maps averaged over heads: head counts may differ."""
    return _rows_kl(_log_head_mean(student, mask), _log_head_mean(teacher, mask), mask)


def map_head_mean_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_mse` of the maps averaged over heads: head counts may differ."""
    s, t = _log_maps(student, mask).exp().mean(1), _log_maps(teacher, mask).exp().mean(1)
    return _mean((s - t).square(), _pairs(mask))


def map_head_mean_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_cosine` of the maps averaged over heads: head counts may differ."""
    s, t = _log_maps(student, mask).exp().mean(1), _log_maps(teacher, mask).exp().mean(1)
    return _mean(1 - F.cosine_similarity(s, t, dim=-1), mask)


def score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the scores over valid pairs (TinyBERT, equation 7)."""
    return _mean((student.float() - teacher.float()).square(), _pairs(mask)[:, None])


def score_head_mean_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`score_mse` of the scores averaged over heads: head counts may differ."""
    return _mean((student.float().mean(1) - teacher.float().mean(1)).square(), _pairs(mask))


# --- relations of queries, keys, values (B, h, L, d) ----------------------------------------------


def relation_kl(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    mask: Tensor,
    relation_heads: int,
) -> Tensor:
    """KL of softmax(X Y^T / sqrt(d_r)) per query row and relation head.

    X and Y are (B, h, L, d); their heads are concatenated and split again into `relation_heads`
    of width d_r (MiniLMv2, arXiv:2012.15828, equation 5), so h and d may differ between S and T.
    """
    s, t = _relation(*student, relation_heads), _relation(*teacher, relation_heads)
    return _rows_kl(_log_maps(s, mask), _log_maps(t, mask), mask)


def _relation(x: Tensor, y: Tensor, heads: int) -> Tensor:
    """Scaled products (B, relation heads, L, L)."""
    x, y = _resplit(x, heads), _resplit(y, heads)
    return x @ y.mT / math.sqrt(x.shape[-1])


def _resplit(x: Tensor, heads: int) -> Tensor:
    """(B, h, L, d) -> (B, relation heads, L, h d / relation heads)."""
    batch, _, length, _ = x.shape
    joined = x.float().transpose(1, 2).reshape(batch, length, -1)
    return joined.unflatten(-1, (heads, -1)).transpose(1, 2)
