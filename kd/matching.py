"""Matchings: how a student's and a teacher's tensor are compared. One table; first is the default.

The functions stand in `losses`; here are the facts that the grid needs before torch is loaded.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Matching:
    """A matching for one form of knowledge, implemented by the function `loss` of `losses`."""

    loss: str
    formula: str
    same_width: bool = False  # widths must agree: a projection is added where they do not
    same_heads: bool = False  # head counts must agree: the cell is pruned where they do not
    softened: bool = False  # uses the temperature


_SOFT = "tau^2 KL(softmax(T/tau) || softmax(S/tau))"

MATCHINGS: dict[str, dict[str, Matching]] = {
    "logits": {
        "kl": Matching("logits_kl", _SOFT, softened=True),
        "ce": Matching("logits_ce", "-tau^2 sum softmax(T/tau) log softmax(S/tau)", softened=True),
        "mse": Matching("logits_mse", "mean (S - T)^2"),
    },
    "regression": {"mse": Matching("logits_mse", "mean (S - T)^2")},
    "tokens": {
        "mse": Matching("token_mse", "mean (S - T)^2", same_width=True),
        "mae": Matching("token_mae", "mean |S - T|", same_width=True),
        "cosine": Matching("token_cosine", "1 - cos(S, T) per token", same_width=True),
        "normalised-mse": Matching(
            "token_normalised_mse", "|S/|S| - T/|T||^2 per token", same_width=True
        ),
        "gram": Matching("token_gram", "mean (S^T S / L - T^T T / L)^2", same_width=True),
        "nst": Matching("token_nst", "mean (S S^T / H_S - T T^T / H_T)^2"),
        "cka": Matching("token_cka", "1 - linear CKA over valid tokens"),
    },
    "vector": {
        "normalised-mse": Matching("vector_normalised_mse", "|S/|S| - T/|T||^2", same_width=True),
        "mse": Matching("vector_mse", "mean (S - T)^2", same_width=True),
        "cosine": Matching("vector_cosine", "1 - cos(S, T)", same_width=True),
    },
    "maps": {
        "kl": Matching("map_kl", "KL(T || S) per query row and head", same_heads=True),
        "mse": Matching("map_mse", "mean (S - T)^2", same_heads=True),
        "cosine": Matching("map_cosine", "1 - cos(S, T) per query row", same_heads=True),
        "head-mean-kl": Matching("map_head_mean_kl", "kl of the maps averaged over heads"),
        "head-mean-mse": Matching("map_head_mean_mse", "mse of the maps averaged over heads"),
        "head-mean-cosine": Matching("map_head_mean_cosine", "cosine, averaged over heads"),
    },
    "scores": {
        "mse": Matching("score_mse", "mean (S - T)^2 over valid pairs", same_heads=True),
        "head-mean-mse": Matching("score_head_mean_mse", "mse of the scores averaged over heads"),
    },
    "relation": {"kl": Matching("relation_kl", "KL(T || S) per query row and relation head")},
}
