"""Student shapes: how they are written, their names in the literature, and their sizes.

Sizes are those of a BERT encoder; another encoder of the same shape differs in what its embeddings,
its gates or its shared layers add or save.
"""

import re
from dataclasses import dataclass
from functools import cache

from kd.runtime.errors import UserError, listing, nearest, shown

VOCABULARY = 30522  # of BERT uncased
TOKENS = 128  # length of the sequence at which operations are compared


@dataclass(frozen=True)
class Shape:
    """Layers, hidden size, attention heads and feed-forward size of an encoder."""

    layers: int
    hidden: int
    heads: int
    ffn: int

    def __str__(self) -> str:
        return f"{self.layers}L-{self.hidden}-{self.heads}h-{self.ffn}"

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def layer_weights(self) -> int:
        """Entries of one layer's matrices: Q, K, V, output, and two of the feed-forward network."""
        return 4 * self.hidden**2 + 2 * self.hidden * self.ffn

    @property
    def layer_parameters(self) -> int:
        """Parameters of all layers, with biases and two LayerNorms each."""
        layer = self.layer_weights + 4 * self.hidden + self.ffn + self.hidden + 4 * self.hidden
        return self.layers * layer

    @property
    def nonembedding_parameters(self) -> int:
        """Parameters outside the three embedding tables: the layers, the LayerNorm of the
        embeddings, and the pooler."""
        return self.layer_parameters + 2 * self.hidden + self.hidden**2 + self.hidden

    def parameters(self, vocabulary: int = VOCABULARY, positions: int = 512, types: int = 2) -> int:
        """Parameters of a BERT encoder of this shape, with pooler and without head."""
        return (vocabulary + positions + types) * self.hidden + self.nonembedding_parameters

    def flops(self, tokens: int) -> int:
        """Floating-point operations of one forward pass over one sequence of `tokens` tokens.

        2 per multiplication and addition in the layers' matrix products: 2 x weights x tokens, and
        4 x tokens^2 x hidden for Q K^T and the probabilities times V. Left out are the lookup
        of the embeddings, biases, LayerNorm, softmax and activations, and, once per sequence,
        the pooler (2 x hidden^2) and the head.
        """
        return self.layers * (2 * self.layer_weights * tokens + 4 * tokens**2 * self.hidden)


@dataclass(frozen=True)
class Named:
    """A shape that the literature has a name for."""

    shape: Shape
    source: str


_TURC = "Turc et al. 2019 (arXiv:1908.08962)"
_TINYBERT = "TinyBERT (arXiv:1909.10351)"
_MINILM = "MiniLM (arXiv:2002.10957)"
_XTREME = "XtremeDistilTransformers (arXiv:2106.04563)"
_TEXTBREWER = "TextBrewer (arXiv:2002.12620)"

# The other miniatures of Turc et al. have no name of their own: 2L-256, 8L-768, ...
NAMED: dict[str, Named] = {
    "bert-large": Named(Shape(24, 1024, 16, 4096), "BERT (arXiv:1810.04805)"),
    "bert-base": Named(Shape(12, 768, 12, 3072), "BERT (arXiv:1810.04805)"),
    "bert-medium": Named(Shape(8, 512, 8, 2048), _TURC),
    "bert-small": Named(Shape(4, 512, 8, 2048), _TURC),
    "bert-mini": Named(Shape(4, 256, 4, 1024), _TURC),
    "bert-tiny": Named(Shape(2, 128, 2, 512), _TURC),
    "distilbert": Named(Shape(6, 768, 12, 3072), "DistilBERT (arXiv:1910.01108)"),
    "pkd6": Named(Shape(6, 768, 12, 3072), "BERT-PKD (arXiv:1908.09355)"),
    "pkd3": Named(Shape(3, 768, 12, 3072), "BERT-PKD (arXiv:1908.09355)"),
    "bert-of-theseus": Named(Shape(6, 768, 12, 3072), "BERT-of-Theseus (arXiv:2002.02925)"),
    "tinybert6": Named(Shape(6, 768, 12, 3072), _TINYBERT),
    "tinybert4": Named(Shape(4, 312, 12, 1200), _TINYBERT),
    "minilm-l12": Named(Shape(12, 384, 12, 1536), _MINILM),
    "minilm-l6": Named(Shape(6, 384, 12, 1536), _MINILM),
    "xtremedistil-l12-384": Named(Shape(12, 384, 12, 1536), _XTREME),
    "xtremedistil-l6-384": Named(Shape(6, 384, 12, 1536), _XTREME),
    "xtremedistil-l6-256": Named(Shape(6, 256, 8, 1024), _XTREME),
    "t3-small": Named(Shape(3, 384, 12, 1536), _TEXTBREWER),
    "t4-tiny": Named(Shape(4, 312, 12, 1200), _TEXTBREWER),
    "t12-nano": Named(Shape(12, 256, 4, 1024), _TEXTBREWER),
    "deberta-v3-xsmall": Named(
        Shape(12, 384, 6, 1536), "DeBERTaV3 (arXiv:2111.09543), TED (arXiv:2210.01351)"
    ),
}
_PATTERN = re.compile(r"(\d{1,3})L-(\d{1,5})(?:-(\d{1,3})h-(\d{1,6}))?", re.IGNORECASE)
MOST_LAYERS, _NARROWEST, WIDEST = 96, 16, 8192


def default_heads(hidden: int) -> int:
    """Heads where a shape names none: 12 where they divide a hidden size of 192 or more, else one
    per 64, else the most that leave heads of at least 16. It depends on the hidden size alone, so
    that a change of teacher changes nothing in the student."""
    if hidden % 12 == 0 and hidden >= 192:
        return 12
    if hidden % 64 == 0:
        return hidden // 64
    return max(h for h in range(1, max(1, hidden // 16) + 1) if hidden % h == 0)


@cache
def parse_shape(text: str) -> Shape:
    """Read `6L-384`, `6L-384-12h-1536`, or a name of NAMED.

    Raises:
        UserError: it is neither, a size is 0, or the heads do not divide the hidden size.
    """
    if text in NAMED:
        return NAMED[text].shape
    match = _PATTERN.fullmatch(text)
    if not match:
        raise UserError(
            f"found {shown(text)}, allowed: LAYERSL-HIDDEN (6L-384), LAYERSL-HIDDEN-HEADSh-FFN "
            f"(6L-384-12h-1536), or {listing(NAMED)}{nearest(text, NAMED)}"
        )
    layers, hidden = int(match[1]), int(match[2])
    if not (1 <= layers <= MOST_LAYERS and _NARROWEST <= hidden <= WIDEST):
        raise UserError(
            f"found {shown(text)}, allowed: 1 to {MOST_LAYERS} layers and a hidden size of "
            f"{_NARROWEST} to {WIDEST}"
        )
    heads = int(match[3]) if match[3] else default_heads(hidden)
    ffn = int(match[4]) if match[4] else 4 * hidden
    if heads < 1 or ffn < 1 or hidden % heads:
        raise UserError(
            f"found {shown(text)}: {heads} heads do not divide a hidden size of {hidden}, "
            f"or the feed-forward size is 0"
        )
    return Shape(layers, hidden, heads, ffn)
