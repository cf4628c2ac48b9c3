"""Which cells deserve further seeds: those of contrasts that the guideline leaves open.

Only a study with looks may add seeds to what it has seen (`kd.results.statistics.looks`). Nothing
here changes what a look may claim, so the choice can use all results. docs/statistics.md says how
contrasts are ordered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kd.axes.labels import ALIAS
from kd.results.advice.advice import judged_axes
from kd.results.advice.judge import contrasts_of
from kd.results.advice.soundness import above_floor
from kd.results.advice.verdict import LEVEL, Advice, Contrast
from kd.results.statistics.effects import contrasts, planned_pairs
from kd.results.statistics.fraction import part_of
from kd.results.statistics.looks import Looks, looks_of, share_of
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import CELL

Need = tuple[str, int]  # a run that has the cell, and a seed that the cell lacks
_Cell = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """An open contrast, and what takes it to its next look.

    `chance` is the probability that the next look decides it, by what is known now; NaN where no
    look is complete, or no spread is known. `needs` are the new runs: a run of each cell, with a
    seed that the cell lacks. `waiting` counts runs of that look that the study plans and lacks.
    """

    axis: str
    contrast: Contrast
    look: int
    chance: float
    needs: frozenset[Need]
    waiting: int
    cost: int = 0  # runs that were not chosen with an earlier step

    @property
    def rate(self) -> float:
        """The chance of a decision per run: what steps are ordered by, the highest first."""
        if not self.contrast.look:  # without a first look nothing is known
            return np.inf
        return self.chance / max(1, self.cost) if self.chance == self.chance else -1.0


def next_steps(
    frame: pd.DataFrame, margin: float, each_cell: int = 1
) -> tuple[list[Step], list[Advice]]:
    """The steps of all open contrasts, the best first, and the advice that has a best value.

    Where no contrast of an axis has a look, because runs failed, all of them are open. Tasks on
    which no student is above the constant answer are left out.

    Args:
        frame: runs with looks, as `load_record` gives them.
        margin: largest difference, in points, of values that count as equal.
        each_cell: runs that a seed of a cell takes (more than 1 where axes are tuned).
    """
    looks, runs = looks_of(frame), prepare(above_floor(frame))
    judged = judged_axes(runs, margin)
    steps = []
    for advice in judged:
        chosen = runs[runs[advice.axis].isin(advice.values)] if advice.size else runs
        open_ = [c for c in advice.not_worse if c.look < looks[-1]]
        if advice.why == "undone" and (advice.size or advice.axis != "student"):
            open_ = contrasts_of(contrasts(chosen, advice.axis))
        pairs = planned_pairs(chosen, advice.axis) if open_ else pd.DataFrame()
        for contrast in open_:
            ends = {contrast.value, contrast.other}
            own = pairs[pairs["a"].isin(ends) & pairs["b"].isin(ends)]
            look = min(n for n in looks if n > contrast.look)
            chance = chance_of(contrast, look, looks, advice.comparisons, margin)
            needs, waiting = _needs(frame, own, look)
            steps.append(Step(advice.axis, contrast, look, chance, needs, waiting))
    return _ordered(steps, each_cell), [advice for advice in judged if advice.best]


def chosen_steps(steps: Sequence[Step], runs: int | None = None, each_cell: int = 1) -> list[Step]:
    """The steps that so many runs allow (None: all), each time the one with the highest rate.

    A run that two contrasts need counts once, so `cost` is what a step takes after earlier ones.
    """
    left, chosen = list(steps), list[Step]()
    have: set[Need] = set()
    spent = 0
    while left:
        priced = [replace(s, cost=each_cell * len(s.needs - have)) for s in left]
        fitting = [i for i, s in enumerate(priced) if runs is None or spent + s.cost <= runs]
        if not fitting:
            break
        best = max(fitting, key=lambda i: priced[i].rate)
        chosen.append(priced[best])
        have |= priced[best].needs
        spent += priced[best].cost
        left.pop(best)
    return chosen


def _ordered(steps: Sequence[Step], each_cell: int) -> list[Step]:
    priced = [replace(step, cost=each_cell * len(step.needs)) for step in steps]
    return sorted(priced, key=lambda step: -step.rate)


def chance_of(c: Contrast, look: int, looks: Looks, comparisons: int, margin: float) -> float:
    """The probability that a contrast is decided at a look: a significant difference, or equal.

    With n seeds now and N then, the mean at the look is that of now, and spreads around it by
    SE² (N − n) / N: the new seeds scatter around a true difference that is known up to SE. The
    interval then is t · SE · √(n / N). A difference counts as significant at the look's part of the
    rate over all comparisons, as Holm's first step has it.
    """
    if not c.look or not c.error > 0:
        return np.nan
    before = c.look
    spread = c.error * np.sqrt((look - before) / look)
    error, free = c.error * np.sqrt(before / look), c.free * (look - 1) / (before - 1)
    rate = LEVEL * share_of(look, looks)
    clear = stats.t.isf(rate / max(1, comparisons) / 2, free) * error
    equal = max(0.0, margin - stats.t.isf(rate / 2, free) * error)

    def below(value: float) -> float:
        return float(stats.t.cdf((value - c.difference) / spread, c.free))

    # Beyond ±clear, or within ±equal; the two may meet.
    chance = 1 - below(clear) + below(-clear)
    inner = min(equal, clear)
    return min(1.0, chance + below(inner) - below(-inner))


def _needs(frame: pd.DataFrame, own: pd.DataFrame, look: int) -> tuple[frozenset[Need], int]:
    """The cells and seeds that take a contrast to a look, and how many of its runs are waiting.

    `own` are its planned pairs. Where a part of the grid was run, effects are fitted together, so
    all cells take part.
    """
    cells = _Cells(frame)
    waiting: set[str] = set()
    needs: set[Need] = set()
    if part_of(frame):
        for task in dict.fromkeys(own["task"]):
            groups = [g for g in cells.runs if g[-1] == task]
            _extend(cells, groups, look, needs, waiting)
        return frozenset(needs), len(waiting)
    for _, block in own.groupby("block", sort=False):
        sides = [cells.of(block[name]) for name in ("run_a", "run_b")]
        _extend(cells, sides, look, needs, waiting)
    return frozenset(needs), len(waiting)


def _extend(
    cells: "_Cells", groups: Sequence[_Cell], look: int, needs: set[Need], waiting: set[str]
) -> None:
    """Add what the cells lack of the first `look` seeds that all of them have, or can have.

    New seeds come after those that all have, so that earlier looks keep theirs.
    """
    known = [cells.runs[group] for group in groups]
    shared = sorted(set.intersection(*(set(seeds) for seeds in known)))
    usable = [s for s in shared if not any(cells.failed(seeds[s]) for seeds in known)]
    after = max(usable, default=0)
    tried = {seed for seeds in known for seed, run in seeds.items() if cells.failed(run)}
    more = (seed for seed in count(after + 1) if seed not in tried)
    planned = usable[:look] + list(islice(more, max(0, look - len(usable))))
    for group, seeds in zip(groups, known, strict=True):
        for seed in planned:
            if seed not in seeds:
                needs.add((cells.stands_for[group], seed))
            elif cells.waits(seeds[seed]):
                waiting.add(seeds[seed])


@dataclass
class _Cells:
    """The cells of a record: the runs of each by seed, and a run that stands for it."""

    frame: pd.DataFrame
    runs: dict[_Cell, dict[int, str]] = field(default_factory=dict)
    stands_for: dict[_Cell, str] = field(default_factory=dict)
    _cell: dict[str, _Cell] = field(default_factory=dict)
    _status: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*CELL, "task"]
        rows = zip(
            self.frame["run"], self.frame["seed"], self.frame["status"],
            map(tuple, self.frame[names].to_numpy()), strict=True,
        )  # fmt: skip
        for run, seed, status, cell in rows:
            self.runs.setdefault(cell, {})[int(seed)] = run
            self._cell[run], self._status[run] = cell, status
            self.stands_for.setdefault(cell, run)

    def of(self, runs: "pd.Series[Any]") -> _Cell:
        """The cell of the runs of one side of a block. A run that is another cell's too, by chance
        of its seed, does not speak for it."""
        own = [self._cell[run] for run in runs]
        return min(own, key=lambda cell: sum(ALIAS in value for value in cell))

    def failed(self, run: str) -> bool:
        return self._status[run] == "failed"

    def waits(self, run: str) -> bool:
        return self._status[run] not in ("done", "failed")
