"""Ways to run a part of a finished factorial, as samples of its runs.

A sample looks like the record of a study that ran this part alone: the column `design` says that a
part of the cells was drawn, and `looks` that seeds were added as `kd next` says.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from kd.axes.labels import parts as values_in
from kd.results.advice.further_seeds import chosen_steps, next_steps
from kd.results.statistics.runs import IDLE, disagreements, levels, studied
from kd.study.chosen import choose
from kd.study.design_keys import FRACTION, RANDOM, Design, design_text

ALL, ALONE, NEXT = "all cells, fewer seeds", "one axis at a time", "kd next"
SHARES = {2: "1/2", 4: "1/4"}
ROUND = 0.2  # of all runs: what a user of `kd next` adds at once
Sample = tuple[str, pd.DataFrame]  # the way, and its runs


def samples(whole: pd.DataFrame, draw: int, margin: float) -> Iterator[Sample]:
    """The samples of one draw: of each way, with more and more runs.

    Args:
        whole: the runs of a factorial, each cell done with the same seeds on the same tasks.
        draw: number of the draw. It orders the seeds, and draws cells.
        margin: largest difference, in points, of values that count as equal, for `kd next`.
    """
    rng = np.random.default_rng(draw)
    seeds = sorted(whole["seed"].unique(), key=int)
    places = dict(zip(seeds, map(str, 1 + rng.permutation(len(seeds))), strict=True))
    whole = whole.assign(seed=whole["seed"].map(places), looks="", design="")
    number = whole["seed"].astype(int)
    sizes = sorted({n for n in (1, 2, 4, 8, 16) if n < len(seeds)} | {len(seeds)})
    cell = whole.groupby(studied(whole), sort=False).ngroup().to_numpy()
    parts = [(ALL, np.arange(cell.max() + 1), "")]
    parts += [(ALONE, _alone(whole, cell, rng), "")]
    parts += _drawn(whole, cell, draw)
    for way, kept, design in parts:
        if len(kept) < cell.max() + 1 or way == ALL:
            for size in sizes:
                own = whole[np.isin(cell, kept) & (number <= size)]
                yield way, own.assign(design=design)
    yield from _followed(whole, cell, looks_for(len(seeds)), margin)


def looks_for(seeds: int) -> tuple[int, ...]:
    """Looks of a replay: about a quarter, two fifths, two thirds and all of the seeds, from 2."""
    shares = (0.25, 0.42, 0.67, 1.0)
    return tuple(sorted({max(2, round(share * seeds)) for share in shares} | {seeds}))


def _alone(whole: pd.DataFrame, cell: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The cells that differ from a drawn base in one axis at most."""
    first = np.unique(cell, return_index=True)[1]
    cells = whole.iloc[first]
    base = rng.integers(len(cells))
    return np.flatnonzero(disagreements(cells, studied(whole))[base] <= 1)


def _drawn(whole: pd.DataFrame, cell: np.ndarray, draw: int) -> list[tuple[str, np.ndarray, str]]:
    """Fractions and random parts that have more cells than effects of axes; none of one axis."""
    names = studied(whole)
    axes: dict[str, list[Any]] = {
        name: [v for v in levels(whole[name]) if v != IDLE] for name in names
    }
    first = np.unique(cell, return_index=True)[1]
    groups = [points_of(whole.iloc[row].to_dict(), axes) for row in first]
    effects = sum(len(values) - 1 for values in axes.values())
    drawn = []
    for kind, size in product((FRACTION, RANDOM), SHARES):
        count = round(len(groups) / size)
        if len(names) < 2 or count < effects + 2:
            continue
        chosen = choose(Design(kind, count, seed=draw), axes, groups).points
        kept = [i for i, group in enumerate(groups) if group[0] in chosen]
        text = design_text(Design(kind), len(kept), len(groups))
        drawn.append((f"{kind}, {SHARES[size]} of the cells", np.array(kept), text))
    return drawn


def points_of(run: Mapping[Any, Any], axes: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The combinations of values that a cell stands for."""
    options = [
        values if run[name] == IDLE else [v for v in values_in(run[name]) if v in values]
        for name, values in axes.items()
    ]
    return [dict(zip(axes, point, strict=True)) for point in product(*options)]


def _followed(
    whole: pd.DataFrame, cell: np.ndarray, looks: tuple[int, ...], margin: float
) -> Iterator[Sample]:
    """The samples of a study that starts with the first look and goes on as `kd next` says."""
    whole = whole.assign(looks=" ".join(map(str, looks)))
    number, cells = whole["seed"].astype(int).to_numpy(), dict(zip(whole["run"], cell, strict=True))
    done = np.full(cell.max() + 1, looks[0])
    most = max(1, round(ROUND * len(whole)))
    while True:
        sample = whole[number <= done[cell]]
        yield NEXT, sample
        steps, _ = next_steps(sample, margin)
        chosen = chosen_steps(steps, most) or chosen_steps(steps)[:1]
        if not chosen:
            return
        for run, seed in (need for step in chosen for need in step.needs):
            done[cells[run]] = max(done[cells[run]], seed)
