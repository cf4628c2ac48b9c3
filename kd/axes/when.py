"""When to take a value of an axis, and what it is related to: one sentence for each row.

What is said here follows from the formula, or is what the named source claims. Nothing of it was
measured by this project.
"""

_NULL = "a control: where it does as well as another, it does not matter which layer teaches which"
_EXAMPLES = "to keep how examples relate; free of the width; a larger batch has more pairs"
_TWICE = "twice cosine, so the same where weights are calibrated or balanced"
_PAIR = "beside the relations of one of Q, K and V with itself, to see which of them matters"
_HEADS = "where the numbers of heads differ; else {} says more"

_LOGITS = {
    "kl": "first; at a high tau it compares logits as mse does, but for their mean",
    "ce": "to compare losses with published ones; the gradient is that of kl",
    "mse": "to have no temperature; the level of the logits counts too",
    "dist": "where the teacher is much stronger (its source); order and spread count, not values",
    "logit-std": "where the logits of both sides differ in scale: only their shape counts",
    "reverse-kl": "where the student is too small to cover all: it loses more by answers that the "
    "teacher rules out than by those that it leaves out (its source)",
    "js": "between kl and reverse-kl, and symmetric; bounded by tau^2 log 2",
    "js-0.1": "js, nearer to kl, and about a tenth as large as kl",
    "js-0.9": "js, nearer to reverse-kl, and about a tenth as large as that",
    "tv": "where single examples dominate kl: it is bounded by tau^2, however far the logits are",
    "dkd": "where the teacher is sure of the label: kl then nearly ignores the other classes",
    "ranknet": "as kl, but every pair of classes counts alike, also two that are unlikely",
}
_VECTORS = {
    "mse": "first for tokens; the size of the vectors counts, and large dimensions dominate",
    "mae": "as mse, with less weight on large differences",
    "cosine": "where only the direction should count; the best of the losses of hidden states in "
    "arXiv:2407.14679, A.4",
    "normalised-mse": _TWICE,
    "gram": "to keep how dimensions relate; the order of tokens does not count",
    "nst": "to keep how the tokens of an example relate; free of the width",
    "cka": "as nst, over the tokens of the whole batch; free of scale and rotation",
    "word-relation": "as nst, with cosines and a softmax: it weighs the most alike tokens most",
    "contrastive": "to tell examples apart instead of matching values; the batch gives the others",
    "sp": _EXAMPLES,
    "rkd-distance": f"as sp, with distances: {_EXAMPLES}",
    "rkd-angle": "as rkd-distance, with angles; costs B^3",
}
_BY_ROW = {
    "kl": "first; rows are distributions, and rare keys count by their ratio",
    "mse": "as kl, bounded: a key that gets little attention hardly counts",
    "cosine": "as mse, each row by its own size",
}

KNOWLEDGE = {
    "logits": "first; the other types are usually added to it; for any two encoders",
    "embedding": "beside hidden, where the student's embeddings are new or narrower",
    "hidden": "the most that a layer can teach; cls and pooled are one vector of it",
    "cls": "for one vector an example, the one that BERT's head reads; its outputs are small",
    "pooled": "as cls, from all tokens",
    "attention": "where a token looks; add value-relation for what it takes, as MiniLM does",
    "attention-scores": "attention before the softmax: what gets little attention counts as well",
    "query-relation": "where widths and heads differ; MiniLMv2 takes it with those of K and V",
    "key-relation": "as query-relation, of the keys",
    "value-relation": "as query-relation, of the values; MiniLM's companion of attention",
    "query-key-relation": "attention in relation heads, so that numbers of heads may differ",
    **{
        f"{pair}-relation": _PAIR
        for pair in ("query-value", "key-query", "key-value", "value-query", "value-key")
    },
    "token-triplet-angle": "how three tokens lie to each other; free of width and scale",
    "layer-relation": "how a token changes from layer to layer; hidden compares the layers alone",
}
# By the name of a form.
MATCHING: dict[str, dict[str, str]] = {
    "logits": _LOGITS,
    "regression": {"mse": "the only one"},
    "tokens": _VECTORS,
    "vector": {
        **_VECTORS,
        "mse": "where the size of the vector should count",
        "normalised-mse": (f"first, as in BERT-PKD; {_TWICE}"),
    },
    "maps": {**_BY_ROW, **{f"head-mean-{name}": _HEADS.format(name) for name in _BY_ROW}},
    "scores": {"mse": "first", "head-mean-mse": _HEADS.format("mse")},
    "relation": {"kl": "the only one"},
    "triplets": {"mse": "first", "huber": "as mse, with less weight on large differences"},
    "layers": {"kl": "first; pairs of layers", "angle": "triples of layers"},
}
MAPPING = {
    "uniform": "first: the whole depth of the teacher is covered",
    "first": "with init teacher-first: a layer learns what it started as",
    "last": "with init teacher-last: a layer learns what it started as",
    "last-only": "where the student's other layers are left free; one comparison a step",
    "pkd-skip": "with logits, which teach the last layer already (its source)",
    "pkd-last": "as pkd-skip, of the layers of last",
    "both-ends": "both ends are held and the middle is free",
    "reverse": _NULL,
    "all-to-one": _NULL,
    "random": _NULL,
    "first-K": "a part of first",
    "last-K": "a part of last; last-1 is last-only",
    "both-ends-K": "both-ends with more layers",
    "all-to-K": "all-to-one with another layer: a control, or a search for the best layer",
    "last-to-K": "for large teachers, whose last layer is not the best (its source)",
    "below-last-K": "one pair near the top; of those tried in arXiv:2407.14679, A.4, pairs just "
    "below the last were better than the last itself",
    "emd": "to choose no mapping; T times S comparisons a step",
    "attention-weighted": "to choose no mapping, with one comparison for each student layer",
    "random-in-block": "uniform with other layers of the block at the cost of uniform",
    "random-per-epoch": "as random-in-block, from all layers in order",
    "progressive": "uniform, one layer after the other from below",
}
PROJECTION = {
    "per-pair": "first",
    "shared": "for fewer weights: all layers go through the same map",
    "orthogonal": "where a free projection might learn what the student should (its source)",
    "none": "for contrastive between equal widths",
}
INIT = {
    "random": "a control: what any other start is worth",
    "teacher-first": "where student and teacher have one width; with mapping first",
    "teacher-last": "as teacher-first, with mapping last",
    "teacher-uniform": "as teacher-first, with mapping uniform",
    "teacher-distilbert": "to repeat DistilBERT; else teacher-uniform",
    "pca-embeddings": "where the student is narrower, and whole layers cannot be copied",
    "teacher:T-S,T-S,...": "for any other choice of layers",
    "teacher...+truncate": "where the student is narrower than the teacher",
    "pretrained:MODEL[@REVISION]": "where an encoder of the student's shape exists",
}
