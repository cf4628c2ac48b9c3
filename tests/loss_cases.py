"""The losses in one table, with what each is called with; random inputs for them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from kd.losses.table import LOSSES as FUNCTIONS


@dataclass(frozen=True)
class Loss:
    """What a loss takes. `options`: name -> (a value, another that must change the loss)."""

    form: str  # logits, labels, vector, tokens, maps, scores, relation, layers
    options: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    same_width: bool = False
    same_heads: bool = False
    labelled: bool = False

    @property
    def masked(self) -> bool:
        return self.form not in ("logits", "labels", "vector")


SOFT = {"temperature": (2.5, 1.0)}
WINDOW = {"window": (5, 3)}

LOSSES = {
    "logits_kl": Loss("logits", SOFT),
    "logits_ce": Loss("logits", SOFT),
    "logits_mse": Loss("logits"),
    "logits_dist": Loss("logits", SOFT),
    "logits_std": Loss("logits", SOFT),
    "logits_reverse_kl": Loss("logits", SOFT),
    "logits_js": Loss("logits", {**SOFT, "beta": (0.5, 0.1)}),
    "logits_tv": Loss("logits", SOFT),
    "logits_dkd": Loss("logits", {**SOFT, "alpha": (1.0, 9.0), "beta": (8.0, 1.0)}, labelled=True),
    "logits_ranknet": Loss("logits", SOFT),
    "labels_kl": Loss("labels", SOFT),
    "labels_ce": Loss("labels", SOFT),
    "labels_reverse_kl": Loss("labels", SOFT),
    "labels_js": Loss("labels", {**SOFT, "beta": (0.5, 0.1)}),
    "labels_tv": Loss("labels", SOFT),
    "token_mse": Loss("tokens", same_width=True),
    "token_mae": Loss("tokens", same_width=True),
    "token_cosine": Loss("tokens", same_width=True),
    "token_normalised_mse": Loss("tokens", same_width=True),
    "token_gram": Loss("tokens", same_width=True),
    "token_nst": Loss("tokens"),
    "token_cka": Loss("tokens"),
    "token_sp": Loss("tokens"),
    "token_rkd_distance": Loss("tokens"),
    "token_rkd_angle": Loss("tokens"),
    "token_word_relation": Loss("tokens"),
    "triplet_angle_mse": Loss("tokens", WINDOW),
    "triplet_angle_huber": Loss("tokens", WINDOW),
    "vector_mse": Loss("vector", same_width=True),
    "vector_cosine": Loss("vector", same_width=True),
    "vector_normalised_mse": Loss("vector", same_width=True),
    "vector_contrastive": Loss("vector", {"temperature": (0.5, 0.07)}, same_width=True),
    "vector_sp": Loss("vector"),
    "vector_rkd_distance": Loss("vector"),
    "vector_rkd_angle": Loss("vector"),
    "map_kl": Loss("maps", same_heads=True),
    "map_mse": Loss("maps", same_heads=True),
    "map_cosine": Loss("maps", same_heads=True),
    "map_head_mean_kl": Loss("maps"),
    "map_head_mean_mse": Loss("maps"),
    "map_head_mean_cosine": Loss("maps"),
    "score_mse": Loss("scores", same_heads=True),
    "score_head_mean_mse": Loss("scores"),
    "relation_kl": Loss("relation", {"relation_heads": (2, 1)}),
    "layer_relation_kl": Loss("layers"),
    "layer_relation_angle": Loss("layers"),
}
MASKED = [name for name, loss in LOSSES.items() if loss.masked]
SOFTENED = [n for n, loss in LOSSES.items() if loss.form == "logits" and loss.options]


@dataclass(frozen=True)
class Case:
    """A loss and what it is called with; relations have two tensors a side, the others one."""

    name: str
    student: tuple[Tensor, ...]
    teacher: tuple[Tensor, ...]
    mask: Tensor
    options: dict[str, Any]
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @property
    def loss(self) -> Loss:
        return LOSSES[self.name]

    @property
    def batch_axis(self) -> int:
        return 1 if self.loss.form == "layers" else 0

    def value(self) -> Tensor:
        """The loss as the library computes it."""
        function: Callable[..., Tensor] = FUNCTIONS[self.name]
        masks = [self.mask] if self.loss.masked else []
        masks += [self.labels] if self.loss.labelled else []
        if self.loss.form == "relation":
            return function(self.student, self.teacher, *masks, **self.options)
        return function(self.student[0], self.teacher[0], *masks, **self.options)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Case":
        """The same case with every tensor (not the mask) changed."""
        student, teacher = (tuple(map(change, side)) for side in (self.student, self.teacher))
        return replace(self, student=student, teacher=teacher)

    def turned(self, **options: Any) -> "Case":
        """The same case with other options."""
        return replace(self, options={**self.options, **options})

    def examples(self, order: Tensor) -> "Case":
        """The examples of these numbers, in this order."""
        moved = self.map(lambda x: x.index_select(self.batch_axis, order))
        return replace(moved, mask=self.mask[order], labels=self.labels[order])


def draw(name: str, lengths: list[int], seed: int, same: bool = False, spread: float = 1.5) -> Case:
    """Random tensors; widths and head counts differ where the loss allows it.

    Example b has lengths[b] valid tokens, anywhere in the sequence.
    """
    generator = torch.Generator().manual_seed(seed)
    loss = LOSSES[name]
    batch, length = len(lengths), max(lengths)

    def side(width: int, heads: int) -> tuple[Tensor, ...]:
        shape = {
            "logits": (batch, 3),
            "labels": (batch, 3),
            "vector": (batch, width),
            "tokens": (batch, length, width),
            "maps": (batch, heads, length, length),
            "scores": (batch, heads, length, length),
            "relation": (batch, heads, length, width),
            "layers": (4, batch, length, width),
        }[loss.form]
        count = 2 if loss.form == "relation" else 1
        return tuple(spread * torch.randn(shape, generator=generator) for _ in range(count))

    student = side(6 if loss.same_width or same else 4, 3 if loss.same_heads or same else 2)
    places = torch.rand(batch, length, generator=generator).argsort(-1).argsort(-1)
    mask = places < torch.tensor(lengths)[:, None]
    options = {option: values[0] for option, values in loss.options.items()}
    labels = (torch.arange(batch) + seed) % 3
    return Case(name, student, side(6, 3), mask, options, labels)


def gradient(case: Case) -> tuple[float, list[Tensor]]:
    """The loss and its gradient on the student's tensors."""
    student = tuple(x.clone().requires_grad_() for x in case.student)
    value = replace(case, student=student).value()
    return value.item(), list(torch.autograd.grad(value, student))
