"""Matchings as pure functions of tensors. All return a scalar: the mean over valid units, in fp32.

Shapes: B examples, L tokens, H width, h heads, C classes; S student, T teacher. `mask` is (B, L),
true where a token is no padding. Every loss is 0 where S = T (unless its text says otherwise) and
padding never changes it, whatever numbers (to 1e12) stand there. That the teacher is a constant is
seen to by `comparison`: a projection of its features, or a mixture of them, is none. A unit whose
comparison is undefined is no unit. Formulas and sources stand in `matching` and `knowledge`;
relations of examples, tokens or layers in `relational`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from kd.losses.reduce import centred, direction, hide, kl, log_softmax, mean, sides, turn
from kd.losses.relations import layer_relation_angle as layer_relation_angle
from kd.losses.relations import layer_relation_kl as layer_relation_kl
from kd.losses.relations import token_rkd_angle as token_rkd_angle
from kd.losses.relations import token_rkd_distance as token_rkd_distance
from kd.losses.relations import token_sp as token_sp
from kd.losses.relations import token_word_relation as token_word_relation
from kd.losses.relations import triplet_angle_huber as triplet_angle_huber
from kd.losses.relations import triplet_angle_mse as triplet_angle_mse
from kd.losses.relations import vector_rkd_angle as vector_rkd_angle
from kd.losses.relations import vector_rkd_distance as vector_rkd_distance
from kd.losses.relations import vector_sp as vector_sp

Temperature = float | Tensor  # of all examples, or (B,) of each

# --- logits (B, C) ------------------------------------------------------------------------------


def logits_kl(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """tau^2 KL(softmax(T/tau) || softmax(S/tau)); Hinton et al. 2015, section 2."""
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return (temperature**2 * kl(s, t)).mean()


def logits_ce(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """-tau^2 sum softmax(T/tau) log softmax(S/tau): the gradient of `logits_kl`.

    At S = T it is tau^2 times the teacher's entropy.
    """
    s, t = (_log_soft(x, temperature) for x in sides(student, teacher))
    return -(temperature**2 * (t.exp() * s).sum(-1)).mean()


def logits_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the logits; of the scores, for a regression."""
    return F.mse_loss(*sides(student, teacher))


def logits_dist(student: Tensor, teacher: Tensor, temperature: Temperature) -> Tensor:
    """DIST with both weights 1 (Huang et al. 2022, arXiv:2205.10536).

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
    """`logits_kl` of each example's logits less their mean, over their standard deviation.

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


# --- temperatures of single examples; the teacher's logits put right ------------------------------

_COLDEST = 0.1  # of the base temperature: a temperature of 0 or below softens nothing


@torch.no_grad()
def flsw_temperature(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Temperature of each example, (B,): higher where S agrees more with T than on average.

    tau + mean(w) - w, w = 1 - cos(S, T) of the logits: FLSW (arXiv:1911.07471) with beta = gamma
    = 1, as in TextBrewer. Never below a tenth of `temperature`. Carries no gradient.
    """
    w = 1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)
    return _around(temperature, w)


@torch.no_grad()
def cwsm_temperature(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Temperature of each example, (B,): higher where the student is surer than on average.

    tau + mean(w) - w, w = 1 / max softmax(S): CWSM (arXiv:1911.07471) with beta = 1, as in
    TextBrewer. Never below a tenth of `temperature`. Carries no gradient; T has no part in it.
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


# --- tokens (B, L, H) ---------------------------------------------------------------------------


def token_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference over valid tokens and dimensions."""
    s, t = sides(student, teacher)
    return mean((s - t).square(), mask[..., None])


def token_mae(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over valid tokens and dimensions."""
    s, t = sides(student, teacher)
    return mean((s - t).abs(), mask[..., None])


def token_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine, mean over valid tokens."""
    turned, defined = turn(*sides(student, teacher))
    return mean(turned, mask & defined)


def token_normalised_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Squared distance of the L2-normalised vectors, mean over valid tokens: 2 `token_cosine`."""
    return 2 * token_cosine(student, teacher, mask)


def token_gram(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the (H, H) Gram matrices of each example's valid tokens."""
    s, t = sides(student, teacher)
    return F.mse_loss(_gram(s, mask), _gram(t, mask))


def _gram(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask[..., None]).mT @ x / mask.sum(-1).clamp_min(1)[:, None, None]


def token_nst(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the (L, L) token similarities x x^T / H, over valid pairs."""
    s, t = (x * mask[..., None] for x in sides(student, teacher))
    difference = s @ s.mT / s.shape[-1] - t @ t.mT / t.shape[-1]
    return mean(difference.square(), _pairs(mask))


def token_cka(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - linear CKA over the batch's valid tokens (Kornblith et al. 2019, arXiv:1905.00414).

    0 where one side's tokens are all equal: CKA is undefined there.
    """
    every = mask.flatten()
    s, t = (centred(x.flatten(0, 1).mT, every) for x in sides(student, teacher))
    (s, s_defined), (t, t_defined) = (_scaled(x) for x in (s, t))
    defined = s_defined & t_defined
    own = torch.linalg.matrix_norm(s @ s.mT) * torch.linalg.matrix_norm(t @ t.mT)
    return mean(1 - (s @ t.mT).square().sum() / own.masked_fill(~defined, 1), defined)


def _scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    """`direction` of a matrix as one long vector."""
    scaled, defined = direction(x.flatten())
    return scaled.view_as(x), defined


# --- vectors (B, H) -----------------------------------------------------------------------------


def vector_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference."""
    return F.mse_loss(*sides(student, teacher))


def vector_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine, mean over examples."""
    return mean(*turn(*sides(student, teacher)))


def vector_normalised_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the L2-normalised vectors (BERT-PKD, arXiv:1908.09355, equation 7).

    It is 2 `vector_cosine`.
    """
    return 2 * vector_cosine(student, teacher)


def vector_contrastive(student: Tensor, teacher: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE in the batch (van den Oord et al. 2018, arXiv:1807.03748): which teacher is mine?

    Cross-entropy of student i against all teachers j, from cosines over `temperature`; mean over
    examples. At S = T it is not 0 but what the teacher's own cosines give; it lies above 0, and
    is 0 for one example alone.
    """
    (s, s_defined), (t, t_defined) = (direction(x) for x in sides(student, teacher))
    defined = s_defined & t_defined
    log = log_softmax(s @ t.mT / temperature, ~defined)
    return mean(-log.diagonal(), defined)


# --- attention: scores (B, h, L, L), the maps are their softmax over valid keys ------------------


def double_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """The attention probabilities over valid keys, handed on as if they were scores.

    An erratum of several published codes: the softmax is then applied a second time, over all keys
    (TextBrewer's `attention_ce`). A padded key has the probability 0, which is no low score: the
    second softmax gives it a share. Rows of padded queries are 0 on both sides: they do not differ.
    """
    return _maps(scores, mask) * mask[:, None, :, None]


def _pairs(mask: Tensor) -> Tensor:
    """(B, L, L): both tokens valid."""
    return mask[:, :, None] & mask[:, None, :]


def _maps(scores: Tensor, mask: Tensor) -> Tensor:
    """The attention maps: softmax over valid keys."""
    return F.softmax(hide(scores.float(), ~mask[:, None, None, :]), -1)


def _log_maps(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of the attention maps."""
    return log_softmax(scores.float(), ~mask[:, None, None, :])


def map_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """KL(T || S) per query row and head (MiniLM, arXiv:2002.10957, equation 1)."""
    s, t = (_log_maps(x, mask) for x in sides(student, teacher))
    return mean(kl(s, t), mask[:, None, :])


def map_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the maps, over valid pairs and heads."""
    s, t = (_maps(x, mask) for x in sides(student, teacher))
    return mean((s - t).square(), _pairs(mask)[:, None])


def map_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """1 - cosine of the rows of the maps, mean over valid query rows and heads."""
    s, t = (_maps(x, mask) for x in sides(student, teacher))
    turned, _ = turn(s, t)
    return mean(turned, mask[:, None, :])


def map_head_mean_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_kl` of the maps averaged over heads: head counts may differ."""
    s, t = (_log_head_mean(x, mask) for x in sides(student, teacher))
    return mean(kl(s, t), mask)


def _log_head_mean(scores: Tensor, mask: Tensor) -> Tensor:
    """Log of the maps averaged over heads, (B, L, L); stable where a probability vanishes."""
    return torch.logsumexp(_log_maps(scores, mask), 1) - math.log(scores.shape[1])


def map_head_mean_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_mse` of the maps averaged over heads: head counts may differ."""
    s, t = (_maps(x, mask).mean(1) for x in sides(student, teacher))
    return mean((s - t).square(), _pairs(mask))


def map_head_mean_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`map_cosine` of the maps averaged over heads: head counts may differ."""
    s, t = (_maps(x, mask).mean(1) for x in sides(student, teacher))
    turned, _ = turn(s, t)
    return mean(turned, mask)


def score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of the scores over valid pairs (TinyBERT, equation 7)."""
    s, t = sides(student, teacher)
    return mean((s - t).square(), _pairs(mask)[:, None])


def score_head_mean_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`score_mse` of the scores averaged over heads: head counts may differ."""
    s, t = (x.mean(1) for x in sides(student, teacher))
    return mean((s - t).square(), _pairs(mask))


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
    return map_kl(s, t, mask)


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
    return x.contiguous()  # copied once here, or once for each factor of the product
