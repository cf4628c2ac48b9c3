"""Matchings: how a tensor of the student is compared with one of the teacher.

There is one table for each form of knowledge, with the default first. It has the facts that the
grid needs before torch is loaded. The functions are in `losses`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.axes.kinds import CLASSES, LABELS, SCORES, Kind


@dataclass(frozen=True)
class Matching:
    """A matching for one form of knowledge, implemented by the function `loss`: the name of one of
    `losses`, or, in a plugin, the function itself."""

    loss: str | Callable[..., Any]
    formula: str
    source: str = ""  # where it differs from the source of the knowledge type
    same_width: bool = False  # needs equal widths; a projection makes them equal
    same_heads: bool = False  # needs equal numbers of heads; other cells are pruned
    softened: bool = False  # uses the temperature
    labelled: bool = False  # uses the labels of the examples
    options: tuple[tuple[str, float], ...] = ()  # further arguments of the loss function
    both_projected: bool = False  # student and teacher are projected to a common width
    fewest_classes: int = 1
    with_fewer: str = "teaches nothing: the student would get no gradient"  # with fewer classes
    fewest_examples: int = 1  # in a batch; with fewer the student gets no gradient
    floor: str = "0"  # value of the loss if the student equals the teacher


_SOFT = "tau^2 KL(softmax(T/tau) || softmax(S/tau))"
_HINTON = "Hinton et al. 2015 (arXiv:1503.02531)"
_NST = "NST (arXiv:1707.01219), polynomial kernel of order 1"
_FSP = "FSP (Yim et al. 2017) with both ends at one layer"
_SP = "Tung and Mori 2019 (arXiv:1907.09682)"
_RKD = "Park et al. 2019 (arXiv:1904.05068)"
_CKD = "CKD (arXiv:2109.08359)"

_GKD = "GKD (arXiv:2306.13649), generalised Jensen-Shannon"
_MLD = "MLD (arXiv:2308.06453), with a temperature, mean over labels"
_P = "p = sigmoid(z/tau) and 1 - p"


def _js(beta: float) -> Matching:
    return Matching(
        "logits_js",
        f"tau^2 (beta KL(T || M) + (1 - beta) KL(S || M)) of softmax(z/tau), M = beta T + "
        f"(1 - beta) S, beta = {beta}",
        _GKD,
        softened=True,
        options=(("beta", beta),),
    )


_BETWEEN_EXAMPLES = {
    "sp": ("mean (G_S - G_T)^2, G the rows of x x^T (B, B) over their norms", _SP, 2),
    "rkd-distance": ("huber(d_S / mean d_S - d_T / mean d_T) over pairs of examples", _RKD, 3),
    "rkd-angle": ("huber(cos S - cos T) of the angles over triples of examples", _RKD, 3),
}

_TOGETHER = "which compares the classes of an example with each other"
# Why the logits of a kind of task lack a matching of classes: by name, a clause.
MEANINGLESS: dict[Kind, dict[str, str]] = {
    CLASSES: {},
    SCORES: {},
    LABELS: {
        "dist": "which correlates probabilities over the classes of an example",
        "logit-std": "which divides by the spread over the classes of an example",
        "dkd": "which needs one right class for an example",
        "ranknet": _TOGETHER,
    },
}

# By the name of a form.
MATCHINGS: dict[str, dict[str, Matching]] = {
    "logits": {
        "kl": Matching("logits_kl", _SOFT, _HINTON, softened=True),
        "ce": Matching(
            "logits_ce",
            "-tau^2 sum softmax(T/tau) log softmax(S/tau): the gradient of kl",
            _HINTON,
            softened=True,
            floor="tau^2 times the teacher's entropy",
        ),
        "mse": Matching("logits_mse", "mean (S - T)^2", "Ba and Caruana 2014 (arXiv:1312.6184)"),
        "dist": Matching(
            "logits_dist",
            "tau^2 (1 - Pearson over the classes + 1 - Pearson over the batch) of softmax(z/tau)",
            "DIST (arXiv:2205.10536). With 2 classes only the part over the batch has a gradient",
            softened=True,
        ),
        "logit-std": Matching(
            "logits_std",
            "kl of the logits standardised to mean 0 and sd 1 per example; the sd divides by C",
            "Sun et al. 2024 (arXiv:2403.01427), whose code divides by C - 1",
            softened=True,
            fewest_classes=3,
        ),
        "reverse-kl": Matching(
            "logits_reverse_kl",
            "tau^2 KL(softmax(S/tau) || softmax(T/tau))",
            "MiniLLM (arXiv:2306.08543), for each example",
            softened=True,
        ),
        "js": _js(0.5),
        "js-0.1": _js(0.1),
        "js-0.9": _js(0.9),
        "tv": Matching(
            "logits_tv",
            "tau^2 sum |T - S| / 2 of softmax(z/tau); its gradient grows as tau",
            "Wen et al. 2023 (arXiv:2307.15190), for each example",
            softened=True,
        ),
        "dkd": Matching(
            "logits_dkd",
            "tau^2 (KL of (target, all others) + 8 KL of the softmax over the others), T || S",
            "DKD (arXiv:2203.08679) with alpha = 1, beta = 8, the defaults of its code; no warm-up",
            softened=True,
            labelled=True,
            fewest_classes=3,
            with_fewer="is logits:kl: the part between the other classes is 0",
        ),
        "ranknet": Matching(
            "logits_ranknet",
            "tau^2 KL(T || S) of sigmoid((z_i - z_j)/tau) over pairs of classes",
            "RankNet (Burges et al. 2005), the teacher's probabilities as targets",
            softened=True,
            fewest_classes=3,
            with_fewer="is logits:kl: there is one pair of classes",
        ),
    },
    "regression": {"mse": Matching("logits_mse", "mean (S - T)^2")},
    "multi-label": {
        "kl": Matching("labels_kl", f"tau^2 KL(T || S) of {_P}", _MLD, softened=True),
        "ce": Matching(
            "labels_ce",
            f"-tau^2 sum T log S of {_P}: the gradient of kl",
            "Hinton et al. 2015 (arXiv:1503.02531), for each label",
            softened=True,
            floor="tau^2 times the teacher's entropy",
        ),
        "mse": Matching("logits_mse", "mean (S - T)^2", "Ba and Caruana 2014 (arXiv:1312.6184)"),
        "reverse-kl": Matching(
            "labels_reverse_kl",
            f"tau^2 KL(S || T) of {_P}",
            "MiniLLM (arXiv:2306.08543), for each label",
            softened=True,
        ),
        **{
            name: Matching(
                "labels_js",
                f"tau^2 (beta KL(T || M) + (1 - beta) KL(S || M)) of {_P}, M = beta T + "
                f"(1 - beta) S, beta = {beta}",
                f"{_GKD}, for each label",
                softened=True,
                options=(("beta", beta),),
            )
            for name, beta in (("js", 0.5), ("js-0.1", 0.1), ("js-0.9", 0.9))
        },
        "tv": Matching(
            "labels_tv",
            "tau^2 |T - S| of p = sigmoid(z/tau); its gradient grows as tau",
            "Wen et al. 2023 (arXiv:2307.15190), for each label",
            softened=True,
        ),
    },
    "tokens": {
        "mse": Matching("token_mse", "mean (S - T)^2", same_width=True),
        "mae": Matching("token_mae", "mean |S - T|", "CR-ILD (EACL 2023)", same_width=True),
        "cosine": Matching(
            "token_cosine",
            "1 - cos(S, T) per token",
            "DistilBERT (arXiv:1910.01108)",
            same_width=True,
        ),
        "normalised-mse": Matching(
            "token_normalised_mse",
            "|S/|S| - T/|T||^2 per token, which is 2 (1 - cos)",
            "BERT-PKD (arXiv:1908.09355), for every token",
            same_width=True,
        ),
        "gram": Matching("token_gram", "mean (S^T S / L - T^T T / L)^2", _FSP, same_width=True),
        "nst": Matching("token_nst", "mean (S S^T / H_S - T T^T / H_T)^2", _NST),
        "cka": Matching(
            "token_cka", "1 - linear CKA over valid tokens", "Kornblith et al. (arXiv:1905.00414)"
        ),
        "word-relation": Matching(
            "token_word_relation",
            "KL(T || S) of softmax over the other tokens of cos(x_i, x_j)",
            _CKD,
        ),
        **{
            name: Matching(
                f"token_{name.replace('-', '_')}",
                f"{text}, means over tokens",
                source,
                fewest_examples=fewest,
            )
            for name, (text, source, fewest) in _BETWEEN_EXAMPLES.items()
        },
    },
    "vector": {
        "normalised-mse": Matching(
            "vector_normalised_mse", "|S/|S| - T/|T||^2, which is 2 (1 - cos)", same_width=True
        ),
        "mse": Matching("vector_mse", "mean (S - T)^2", same_width=True),
        "cosine": Matching("vector_cosine", "1 - cos(S, T)", same_width=True),
        "contrastive": Matching(
            "vector_contrastive",
            "-log of the softmax over the teacher's vectors in the batch of cos(W_S S, W_T T) / "
            "0.07, at the vector of the same example",
            "InfoNCE (arXiv:1807.03748); CoDIR (arXiv:2009.14167)",
            both_projected=True,
            fewest_examples=2,
            floor="above 0",
        ),
        **{
            name: Matching(f"vector_{name.replace('-', '_')}", text, source, fewest_examples=fewest)
            for name, (text, source, fewest) in _BETWEEN_EXAMPLES.items()
        },
    },
    "maps": {
        "kl": Matching("map_kl", "KL(T || S) per query row and head", same_heads=True),
        "mse": Matching("map_mse", "mean (S - T)^2 over valid pairs and heads", same_heads=True),
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
    "triplets": {
        "mse": Matching("triplet_angle_mse", "mean (cos S - cos T)^2 over triples of tokens"),
        "huber": Matching("triplet_angle_huber", "mean huber(cos S - cos T)", _RKD),
    },
    "layers": {
        "kl": Matching(
            "layer_relation_kl",
            "KL(T || S) of softmax over the other layers of cos(x_l, x_m), per token",
        ),
        "angle": Matching(
            "layer_relation_angle", "mean (cos S - cos T)^2 of the angles over triples of layers"
        ),
    },
}
