"""The function of every loss that a matching names, and of every temperature schedule."""

from collections.abc import Callable

from torch import Tensor

from kd.axes.matchings import Matching
from kd.losses import attention, labels, logits, relations, temperature, vectors

# `kd.axes.matchings` has their formulas and sources.
LOSSES: dict[str, Callable[..., Tensor]] = {
    loss.__name__: loss
    for loss in (
        logits.logits_kl,
        logits.logits_ce,
        logits.logits_reverse_kl,
        logits.logits_js,
        logits.logits_tv,
        logits.logits_dkd,
        logits.logits_ranknet,
        logits.logits_mse,
        logits.logits_dist,
        logits.logits_std,
        labels.labels_kl,
        labels.labels_ce,
        labels.labels_reverse_kl,
        labels.labels_js,
        labels.labels_tv,
        vectors.token_mse,
        vectors.token_mae,
        vectors.token_cosine,
        vectors.token_normalised_mse,
        vectors.token_gram,
        vectors.token_nst,
        vectors.token_cka,
        vectors.vector_mse,
        vectors.vector_cosine,
        vectors.vector_normalised_mse,
        vectors.vector_contrastive,
        attention.map_kl,
        attention.map_mse,
        attention.map_cosine,
        attention.map_head_mean_kl,
        attention.map_head_mean_mse,
        attention.map_head_mean_cosine,
        attention.score_mse,
        attention.score_head_mean_mse,
        attention.relation_kl,
        relations.vector_sp,
        relations.vector_rkd_distance,
        relations.vector_rkd_angle,
        relations.token_sp,
        relations.token_rkd_distance,
        relations.token_rkd_angle,
        relations.token_word_relation,
        relations.triplet_angle_mse,
        relations.triplet_angle_huber,
        relations.layer_relation_kl,
        relations.layer_relation_angle,
    )
}


def loss_of(matching: Matching) -> Callable[..., Tensor]:
    """The function of a matching: one of LOSSES, or a plugin's own."""
    return LOSSES[matching.loss] if isinstance(matching.loss, str) else matching.loss


# The temperature of each example, by the value of the axis `temperature_schedule`.
TEMPERATURES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "flsw": temperature.flsw_temperature,
    "cwsm": temperature.cwsm_temperature,
}
