"""Random features in the place of encoders, for the tests of what compares them."""

import torch
from torch import Tensor, nn

from kd.axes import kinds
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import Pairs
from kd.axes.shapes import Shape
from kd.axes.terms import Term, matchings_of
from kd.axes.weights import Weight, as_weight
from kd.encoders.capture import Features
from kd.losses.moving import Moment

torch.set_num_threads(1)

TEACHER = Shape(layers=4, hidden=12, heads=2, ffn=8)
SAME = Shape(layers=2, hidden=12, heads=2, ffn=8)
NARROW = Shape(layers=2, hidden=8, heads=2, ffn=8)
BATCH, LENGTH, CLASSES = 4, 5, 3
MASK = torch.arange(LENGTH) < torch.tensor([5, 2, 3, 4])[:, None]
LABELS = torch.tensor([0, 2, 1, 1])
PAIRS: Pairs = ((2, 1), (4, 2))
START = Moment(step=0, total=100, epoch=0, seed=1)
ALL_MATCHINGS = [
    (name, matching)
    for name, row in KNOWLEDGE.items()
    if not row.of_text  # mlm-logits are logits to a loss
    for matching in matchings_of(name, kinds.CLASSES)
]


def features(shape: Shape, seed: int, outputs: int = CLASSES, batch: int = BATCH) -> Features:
    """Random features of every layer."""
    generator = torch.Generator().manual_seed(seed)
    found: Features = {("logits", 0): torch.randn(batch, outputs, generator=generator)}
    for layer in range(shape.layers + 1):
        size = (batch, LENGTH, shape.hidden)
        found["hidden", layer] = torch.randn(size, generator=generator)
        for name in ("query", "key", "value"):
            size = (batch, shape.heads, LENGTH, shape.head_size)
            found[name, layer] = torch.randn(size, generator=generator)
    found["representation", 0] = torch.randn(batch, shape.hidden, generator=generator)
    return found


def classifier(outputs: int = CLASSES, width: int = TEACHER.hidden) -> nn.Linear:
    """That of the teacher, random: the same at every call."""
    made = nn.utils.skip_init(nn.Linear, width, outputs)  # draws no global random numbers
    generator = torch.Generator().manual_seed(200)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


def term(
    knowledge: str,
    matching: str | None = None,
    weight: float | str | Weight = 1.0,
    pairs: Pairs | None = None,
    moving: str = "",
) -> Term:
    """A term; its default matching and PAIRS where none are given."""
    row = KNOWLEDGE[knowledge]
    if pairs is None:
        pairs = (*PAIRS, (3, 1))[: max(row.fewest_pairs, 2)]
    if not isinstance(weight, Weight):
        weight = as_weight(weight)
    matching = matching or next(iter(matchings_of(knowledge, kinds.CLASSES)))
    return Term(knowledge, matching, pairs if row.layered else ((0, 0),), weight, moving)


def padded_noise(found: Features, mask: Tensor, seed: int) -> Features:
    """The same features with other numbers where the padding stands."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: x
        if x.ndim == 2  # of an example: no padding
        else torch.where(
            mask[:, :, None] if x.ndim == 3 else mask[:, None, :, None],
            x,
            9 * torch.randn(x.shape, generator=generator),
        )
        for key, x in found.items()
    }
