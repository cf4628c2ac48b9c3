"""Knowledge types: what the student imitates. Facts only; the tensors come from `capture`.

`form` says what is compared, and so which matchings of `matching.MATCHINGS` apply:
logits (B, C); tokens (B, L, H); vector (B, H); maps and scores (B, heads, L, L);
relation: two of Q, K, V (B, heads, L, d), whose scaled product is compared.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Knowledge:
    """One knowledge type. `features` names what is captured; `layered` whether it has layers."""

    form: str
    features: tuple[str, ...]
    meaning: str
    source: str
    layered: bool = True
    lowest_layer: int = 1


def _relation(x: str, y: str, source: str) -> Knowledge:
    meaning = f"softmax({x[0].upper()} {y[0].upper()}^T / sqrt(d_r)) in relation heads"
    return Knowledge("relation", (x, y), meaning, source)


_MINILM2 = "MiniLMv2 (arXiv:2012.15828)"
_TINYBERT = "TinyBERT (arXiv:1909.10351)"

KNOWLEDGE: dict[str, Knowledge] = {
    "logits": Knowledge(
        "logits",
        ("logits",),
        "outputs of the classification head",
        "Hinton et al. 2015 (arXiv:1503.02531)",
        layered=False,
    ),
    "embedding": Knowledge(
        "tokens",
        ("hidden",),
        "input of the first layer: embeddings after LayerNorm",
        _TINYBERT,
        layered=False,
        lowest_layer=0,
    ),
    "hidden": Knowledge("tokens", ("hidden",), "outputs of a layer", _TINYBERT, lowest_layer=0),
    "cls": Knowledge(
        "vector",
        ("hidden",),
        "output of a layer at the first token",
        "BERT-PKD (arXiv:1908.09355)",
        lowest_layer=0,
    ),
    "attention": Knowledge(
        "maps",
        ("query", "key"),
        "softmax(Q K^T / sqrt(d)) over valid keys, before dropout",
        "MiniLM (arXiv:2002.10957)",
    ),
    "attention-scores": Knowledge(
        "scores", ("query", "key"), "Q K^T / sqrt(d) before the softmax", _TINYBERT
    ),
    "query-relation": _relation("query", "query", _MINILM2),
    "key-relation": _relation("key", "key", _MINILM2),
    "value-relation": _relation("value", "value", "MiniLM, MiniLMv2 (arXiv:2012.15828)"),
}
