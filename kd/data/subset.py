"""Which training examples a run learns from: all but a held-out slice, or a fraction of those, and
the extra examples that come with them.

The choices are stratified by label, and the same for every run. Those of a multi-label task are
systematic samples of the sets of labels, since most sets are too rare for a rounded share of each.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import xxhash
from torch import Tensor

from kd.axes.kinds import LABELS, Kind
from kd.data.extra import TRANSFERRED
from kd.data.slice_share import WHOLE, slice_size
from kd.data.strata import strata_of
from kd.data.tokens import Split


def examples_of(split: Split, settings: Mapping[str, Any], kind: Kind) -> Tensor | None:
    """Numbers of the examples that a training with these settings reads; None for all of them.
    Extra examples are never among them (`with_extras`).

    `settings` are those of a run or of a teacher's recipe: `held_out`, `held_out_seed`,
    `train_fraction` (a share of the rest) and `fraction_seed`.
    """
    share, seed = settings["held_out"], settings["held_out_seed"]
    kept = None if split.made_of is None else split.originals
    if share:
        rest = torch.zeros(len(split), dtype=torch.bool)
        rest[split.originals] = True
        rest[held_out_rows(split, share, seed, kind)] = False
        kept = rest.nonzero()[:, 0]
    return training_rows(split, settings["train_fraction"], settings["fraction_seed"], kind, kept)


def with_extras(split: Split, own: Tensor, alone: bool) -> Tensor:
    """Numbers of the examples of a run, in the order of the split: `own`, of the training set, the
    extra ones that are made from them, and all transferred ones. Without `own` if these are
    `alone`.

    What is made from an example that the run does not learn from is left out with it.
    """
    assert split.made_of is not None
    read = torch.zeros(len(split), dtype=torch.bool)
    read[own] = True
    made = split.made_of
    chosen = made == TRANSFERRED
    if not alone:
        chosen |= read | ((made >= 0) & read[made.clamp_min(0)])
    return chosen.nonzero()[:, 0]


def training_rows(
    split: Split, fraction: float, seed: int, kind: Kind, among: Tensor | None = None
) -> Tensor | None:
    """Numbers of the chosen examples (n,), in the order of the split; None for all of them.

    Of each stratum (a label, a tenth of the scores: `strata.strata_of`) the share `fraction` is
    taken, rounded, but one example at least. Of a multi-label task the share of all examples is
    taken, rounded, and of each set of labels its share but for about one example. The examples come
    in an order drawn from `seed` and their ids alone, so that a smaller fraction is a part of a
    larger one, on every machine. `among`: numbers of the examples to choose from, in the order of
    the split; None for all.
    """
    if fraction == 1:
        return among
    rows = torch.arange(len(split)) if among is None else among
    if kind is LABELS:
        return _spread(split, rows, str(seed), max(1, round(fraction * len(rows))))
    return _drawn(split, rows, str(seed), kind, lambda n: max(1, round(fraction * n)))


def held_out_rows(split: Split, share: float, seed: int, kind: Kind) -> Tensor:
    """Numbers of the held-out examples (n,), in the order of the split: the share of each label, or
    of the sets of labels.

    They depend on `seed` and the ids of the examples alone.

    Raises:
        UserError: a label would have no example in the slice, or none outside of it. Of a
            multi-label task: the slice would have no example, or all of them.
    """
    rows, seeds = split.originals, f"held out {seed}"
    if kind is not LABELS:
        return _drawn(split, rows, seeds, kind, partial(slice_size, share=share))
    return _spread(split, rows, seeds, slice_size(len(rows), share, WHOLE))


def _drawn(split: Split, rows: Tensor, seed: str, kind: Kind, size: Callable[[int], int]) -> Tensor:
    """The first `size` of each stratum of `rows`, in an order drawn from the seed and the ids."""
    members = _members(split, rows, seed, kind).values()
    return rows[torch.cat([some[: size(len(some))] for some in members]).sort().values]


def _spread(split: Split, rows: Tensor, seed: str, size: int) -> Tensor:
    """A systematic sample of `size` of the `rows` of a multi-label task.

    The k-th of the m examples of a stratum, in an order drawn from the seed and the ids, has the
    place (k + u) / m, with one u in [0, 1) for each stratum. The sample has the lowest places. So
    its share of each stratum is right but for about one example, each example is about as likely
    as any other, and a smaller sample is a part of a larger one.
    """
    strata = _members(split, rows, seed, LABELS)
    starts = {stratum: _draw(f"{seed} set {stratum}") / 2**63 for stratum in strata}
    places = [
        (torch.arange(len(some), dtype=torch.float64) + starts[stratum]) / len(some)
        for stratum, some in strata.items()
    ]
    first = torch.cat(places).argsort(stable=True)[:size]
    return rows[torch.cat([*strata.values()])[first].sort().values]


def _members(split: Split, rows: Tensor, seed: str, kind: Kind) -> dict[int, Tensor]:
    """The places in `rows` of the examples of each stratum, in an order drawn from the seed and
    the ids."""
    drawn = [_draw(f"{seed} {i}") for i in split.ids[rows].tolist()]
    order = torch.tensor(drawn, dtype=torch.int64).argsort(stable=True)
    strata = torch.from_numpy(strata_of(split.labels[rows].numpy(), kind))[order]
    return {stratum: order[strata == stratum] for stratum in strata.unique().tolist()}


def _draw(text: str) -> int:
    """A number from 0 to 2^63 - 1."""
    return xxhash.xxh3_64_intdigest(text.encode()) >> 1
