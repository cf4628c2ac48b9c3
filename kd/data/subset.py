"""A fraction of the training examples: nested, stratified by label, the same for every run."""

import torch
import xxhash
from torch import Tensor

from kd.data.tokens import Split

_GROUPS = 10  # of a regression's examples, by their score: they are its strata


def training_rows(split: Split, fraction: float, seed: int, regression: bool) -> Tensor | None:
    """Numbers of the chosen examples (n,), in the order of the split; None for all of them.

    Of each label (of each tenth of the scores, for a regression) the share `fraction` is taken,
    rounded, but one example at least. The examples come in an order drawn from `seed` and their
    ids alone, so that a smaller fraction is a part of a larger one, on every machine.
    """
    if fraction == 1:
        return None
    drawn = [xxhash.xxh3_64_intdigest(f"{seed} {i}".encode()) >> 1 for i in split.ids.tolist()]
    order = torch.tensor(drawn, dtype=torch.int64).argsort(stable=True)
    strata = _strata(split.labels, regression)[order]
    chosen = []
    for stratum in strata.unique().tolist():
        members = order[strata == stratum]
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return torch.cat(chosen).sort().values


def _strata(labels: Tensor, regression: bool) -> Tensor:
    """The stratum of each example, (n,)."""
    if not regression:
        return labels
    ranks = torch.empty(len(labels), dtype=torch.int64)
    ranks[labels.argsort(stable=True)] = torch.arange(len(labels))
    return ranks * _GROUPS // len(labels)
