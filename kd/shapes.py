"""Student shapes: how they are written, their names in the literature, and their sizes."""

import re
from dataclasses import dataclass
from functools import cache

from kd.errors import UserError, listing, nearest, shown


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
    def layer_parameters(self) -> int:
        """Parameters of all layers: Q, K, V, output, two feed-forward maps, two LayerNorms."""
        attention = 4 * (self.hidden**2 + self.hidden)
        feed_forward = 2 * self.hidden * self.ffn + self.ffn + self.hidden
        return self.layers * (attention + feed_forward + 4 * self.hidden)

    def parameters(self, vocabulary: int = 30522, positions: int = 512, types: int = 2) -> int:
        """Parameters of a BERT encoder of this shape, with pooler and without head."""
        embeddings = (vocabulary + positions + types + 2) * self.hidden
        return embeddings + self.layer_parameters + self.hidden**2 + self.hidden


# Names of the literature (sizes and sources: docs of each project; Turc et al. 2019 for bert-*).
NAMED: dict[str, Shape] = {
    "bert-large": Shape(24, 1024, 16, 4096),
    "bert-base": Shape(12, 768, 12, 3072),
    "bert-medium": Shape(8, 512, 8, 2048),
    "bert-small": Shape(4, 512, 8, 2048),
    "bert-mini": Shape(4, 256, 4, 1024),
    "bert-tiny": Shape(2, 128, 2, 512),
    "distilbert": Shape(6, 768, 12, 3072),
    "tinybert6": Shape(6, 768, 12, 3072),
    "tinybert4": Shape(4, 312, 12, 1200),
    "minilm-l12": Shape(12, 384, 12, 1536),
    "minilm-l6": Shape(6, 384, 12, 1536),
    "xtremedistil-l6": Shape(6, 256, 8, 1024),
}
_PATTERN = re.compile(r"(\d{1,3})L-(\d{1,5})(?:-(\d{1,3})h-(\d{1,6}))?", re.IGNORECASE)


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
        return NAMED[text]
    match = _PATTERN.fullmatch(text)
    if not match:
        raise UserError(
            f"found {shown(text)}, allowed: LAYERSL-HIDDEN (6L-384), LAYERSL-HIDDEN-HEADSh-FFN "
            f"(6L-384-12h-1536), or {listing(NAMED)}{nearest(text, NAMED)}"
        )
    layers, hidden = int(match[1]), int(match[2])
    if not (1 <= layers <= 96 and 16 <= hidden <= 8192):
        raise UserError(
            f"found {shown(text)}, allowed: 1 to 96 layers and a hidden size of 16 to 8192"
        )
    heads = int(match[3]) if match[3] else default_heads(hidden)
    ffn = int(match[4]) if match[4] else 4 * hidden
    if heads < 1 or ffn < 1 or hidden % heads:
        raise UserError(
            f"found {shown(text)}: {heads} heads do not divide a hidden size of {hidden}, "
            f"or the feed-forward size is 0"
        )
    return Shape(layers, hidden, heads, ffn)
