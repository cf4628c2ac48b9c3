"""When to take a value of an axis, and how it differs from related values, for each row.

Each text follows from the formula or repeats what the named source claims. This project has
measured none of it.
"""

_NULL = (
    "As a control. If it does as well as other mappings, it does not matter which layer teaches "
    "which."
)
_EXAMPLES = (
    "Compares how similar the examples of a batch are to each other. Needs no equal widths. A "
    "larger batch has more pairs."
)
_TWICE = "It is twice cosine, so both are the same with calibrated or balanced weights."
_PAIR = "With query-relation, key-relation or value-relation, to see which of them matters."
_HEADS = "Where the numbers of heads differ. Otherwise {} keeps more of the information."

_LOGITS = {
    "kl": "The usual first choice. At a high temperature it is close to mse without the mean of "
    "the logits.",
    "ce": "To compare loss values with published ones. Its gradient is the same as that of kl.",
    "mse": "To avoid a temperature. Unlike kl, it also compares the mean of the logits.",
    "dist": "Where the teacher is much stronger than the student (its source). It compares the "
    "order and the spread of the probabilities, not their values.",
    "logit-std": "Where the logits of student and teacher have different scales. It ignores the "
    "scale.",
    "reverse-kl": "Where the student is too small to learn all of the teacher's answers. Answers "
    "that the teacher rules out cost more than answers that the student leaves out (its source).",
    "js": "Between kl and reverse-kl, and symmetric. It is never above tau^2 log 2.",
    "js-0.1": "Like js, but nearer to kl. It is about a tenth as large as kl.",
    "js-0.9": "Like js, but nearer to reverse-kl. It is about a tenth as large as reverse-kl.",
    "tv": "Where a few examples dominate kl. It is never above tau^2, however far apart the logits "
    "are.",
    "dkd": "Where the teacher is sure of the right class. There kl nearly ignores the other "
    "classes.",
    "ranknet": "Like kl, but all pairs of classes count the same, even pairs of unlikely classes.",
}
_OF_CLASSES = ("dist", "logit-std", "dkd", "ranknet")  # not of labels that stand by themselves
_VECTORS = {
    "mse": "The usual first choice for tokens. It compares lengths as well as directions, and "
    "dimensions with large values dominate.",
    "mae": "Like mse, but large differences count less.",
    "cosine": "Where only the direction of a vector should count. It was the best loss for hidden "
    "states in arXiv:2407.14679, A.4.",
    "normalised-mse": _TWICE,
    "gram": "Compares how dimensions are related. The order of the tokens does not matter.",
    "nst": "Compares how similar the tokens of an example are to each other. Needs no equal "
    "widths.",
    "cka": "Like nst, but over the tokens of the whole batch. Scale and rotation do not matter.",
    "word-relation": "Like nst, but with cosines and a softmax, so that the most similar tokens "
    "count most.",
    "contrastive": "The student learns to tell the examples of a batch apart, instead of copying "
    "values.",
    "sp": _EXAMPLES,
    "rkd-distance": f"Like sp, but with distances. {_EXAMPLES}",
    "rkd-angle": "Like rkd-distance, but with angles. Its cost grows with B^3.",
}
_BY_ROW = {
    "kl": "The usual first choice. Each row is a distribution. A key with little attention counts "
    "too, by the ratio of both values.",
    "mse": "Like kl, but bounded. A key with little attention hardly counts.",
    "cosine": "Like mse, but each row is divided by its norm.",
}

KNOWLEDGE = {
    "logits": "The usual first choice. Other types are usually added to it. It works for any two "
    "encoders.",
    "mlm-logits": "In a stage, with other types or with the key mlm, as in DistilBERT.",
    "teacher-classifier": "To teach the representation, but only as far as it decides the answer "
    "of the teacher. The student's own classifier learns nothing from it, so keep the hard labels "
    "or the logits.",
    "embedding": "With hidden, where the student's embeddings start at random or are narrower.",
    "hidden": "To teach all that a layer outputs. cls and pooled are each one vector of it.",
    "cls": "To teach one vector of each example, the one that BERT's head reads. Its stored "
    "outputs are small.",
    "pooled": "Like cls, but the vector is the mean over all tokens.",
    "attention": "To teach where each token looks. MiniLM adds value-relation.",
    "attention-scores": "Like attention, but before the softmax, so that keys with little "
    "attention count as well.",
    "query-relation": "Where widths or numbers of heads differ. MiniLMv2 combines it with "
    "key-relation and value-relation.",
    "key-relation": "Like query-relation, but with the keys.",
    "value-relation": "Like query-relation, but with the values. MiniLM adds it to attention.",
    "query-key-relation": "Like attention, but in relation heads, so that the numbers of heads may "
    "differ.",
    **{
        f"{pair}-relation": _PAIR
        for pair in ("query-value", "key-query", "key-value", "value-query", "value-key")
    },
    "token-triplet-angle": "To teach how tokens lie relative to each other. Width and scale do not "
    "matter.",
    "layer-relation": "To teach how a token changes from layer to layer. hidden compares each "
    "layer alone.",
}
# By the name of a form.
MATCHING: dict[str, dict[str, str]] = {
    "logits": _LOGITS,
    "regression": {"mse": "The only matching for a regression."},
    "multi-label": {
        **{name: text for name, text in _LOGITS.items() if name not in _OF_CLASSES},
        "kl": "The usual first choice. Each label is compared by itself, as yes or no.",
    },
    "tokens": _VECTORS,
    "vector": {
        **_VECTORS,
        "mse": "Where the length of the vector should count.",
        "normalised-mse": f"The usual first choice, as in BERT-PKD. {_TWICE}",
    },
    "maps": {**_BY_ROW, **{f"head-mean-{name}": _HEADS.format(name) for name in _BY_ROW}},
    "scores": {"mse": "The usual first choice.", "head-mean-mse": _HEADS.format("mse")},
    "relation": {"kl": "The only matching for relations."},
    "triplets": {
        "mse": "The usual first choice.",
        "huber": "Like mse, but large differences count less.",
    },
    "layers": {
        "kl": "The usual first choice. It compares pairs of layers.",
        "angle": "Compares triples of layers.",
    },
}
MAPPING = {
    "uniform": "The usual first choice. It covers the whole depth of the teacher.",
    "first": "With init teacher-first: each student layer learns from the layer that it was copied "
    "from.",
    "last": "With init teacher-last: each student layer learns from the layer that it was copied "
    "from.",
    "last-only": "To leave the student's other layers free. It costs one comparison a step.",
    "pkd-skip": "With logits, which already teach the last layer (its source).",
    "pkd-last": "Like pkd-skip, but with the pairs of last.",
    "both-ends": "To teach the first and the last layer and leave those between free.",
    "reverse": _NULL,
    "all-to-one": _NULL,
    "random": _NULL,
    "first-K": "To teach only the first K layers, with the pairs of first.",
    "last-K": "To teach only the last K layers, with the pairs of last. last-1 is last-only.",
    "both-ends-K": "Like both-ends, but with K layers at each end.",
    "all-to-K": "Like all-to-one, but with teacher layer K. As a control, or to look for the best "
    "layer.",
    "last-to-K": "For large teachers, whose last layer is not the best one (its source).",
    "below-last-K": "One pair near the top. In arXiv:2407.14679, A.4, pairs just below the last "
    "layers were better than the last layers.",
    "emd": "To choose no mapping. It costs T times S comparisons a step.",
    "attention-weighted": "To choose no mapping, at the cost of one comparison for each student "
    "layer.",
    "random-in-block": "Like uniform and as cheap, but any layer of a block can teach.",
    "random-per-epoch": "Like random-in-block, but layers are drawn from the whole teacher, in "
    "order.",
    "progressive": "Like uniform, but the layers are added one after the other, from below.",
}
PROJECTION = {
    "per-pair": "The usual first choice.",
    "shared": "For fewer weights. All layers of a term share one projection.",
    "orthogonal": "Where a free projection might learn what the student should learn (its source).",
    "none": "For contrastive between equal widths.",
}
INIT = {
    "random": "As a control. It shows how much any other start gains.",
    "teacher-first": "Where student and teacher have the same width. Fits mapping first.",
    "teacher-last": "Like teacher-first. Fits mapping last.",
    "teacher-uniform": "Like teacher-first. Fits mapping uniform.",
    "teacher-distilbert": "To repeat DistilBERT. Otherwise teacher-uniform.",
    "pca-embeddings": "Where the student is narrower, so that whole layers cannot be copied.",
    "teacher:T-S,T-S,...": "For any other choice of layers.",
    "teacher...+truncate": "Where the student is narrower than the teacher.",
    "pretrained:MODEL[@REVISION]": "Where there is a pretrained encoder of the student's shape.",
    "stage:NAME": "Where no pretrained encoder has the student's shape, and you have unlabelled "
    "text. Most published students start in this way.",
}

AUGMENTATION = {
    "word-replacement": "Where the training set is small. Compare it with none at equally many "
    "examples seen (compare_at), so that the effect of more steps is not mistaken for that of "
    "better examples.",
}
