"""The batches and the learning rate of each step."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kd.data.tokens import epoch_batches


def training_batches(
    lengths: Tensor, batch_size: int, seed: int, first: int, total: int
) -> Iterator[Tensor]:
    """The batches of the steps `first` to `total`, 0-based: numbers of examples, (B,) each.

    A step has the same batch from any start. Batches before `first` are drawn again and skipped,
    which takes milliseconds per epoch.

    Args:
        lengths: (n,) tokens of each example.
        batch_size: examples in a batch.
        seed: decides the order.
        first: the first step.
        total: steps of the whole training.
    """
    order, step = torch.Generator().manual_seed(seed), 0
    while step < total:
        for rows in epoch_batches(lengths, batch_size, order)[: total - step]:
            if step >= first:
                yield rows
            step += 1


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Share of the peak at 0-based `step`: linear from above 0 to 1, then linearly towards 0."""
    rising = math.ceil(total * warmup)
    if step < rising:
        return (step + 1) / rising
    return (total - step) / max(1, total - rising)


def learning_rates(
    optimiser: torch.optim.Optimizer, recipe: dict[str, Any], total: int, first: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rates of the steps `first` to `total`, as a scheduler of the optimiser."""
    for group in optimiser.param_groups:
        group["initial_lr"] = recipe["learning_rate"]
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: learning_rate_factor(step, total, recipe["warmup"]),
        last_epoch=first - 1,
    )
