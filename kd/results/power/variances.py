"""How much paired differences vary over seeds and over dev examples, from a record of runs.

The shipped table has what the shipped records say (`make generated` writes it).
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from kd.results.advice.soundness import dev_errors
from kd.results.answers import TaskAnswers
from kd.results.statistics.effects import pairs
from kd.results.statistics.examples import difference_of, resampled_scores
from kd.results.statistics.fraction import part_of
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, each, studied

SHIPPED = Path(__file__).parent / "shipped.csv"
_COLUMNS = ["record", "axis", "task", "total", "common", "freedom", "examples", "score_se"]
_OWN = 9  # degrees of freedom with which a contrast has a variance of its own
_NO_AXIS = ""  # differences of runs that share nothing, from cells alone


@dataclass(frozen=True)
class Variance:
    """Of a paired difference on one task, over seeds; squared fractions.

    `total` is that of one block (one setting of the other axes), `common` the part that the blocks
    of a seed share; NaN where there was one block. `freedom` are degrees of freedom.
    """

    total: float
    common: float
    freedom: int
    source: str

    def of_mean(self, blocks: float) -> float:
        """Of the mean of so many blocks. An unknown common part is taken as all of it."""
        common = self.total if np.isnan(self.common) else min(max(0.0, self.common), self.total)
        return common + (self.total - common) / blocks


@dataclass(frozen=True)
class Noise:
    """Of dev examples: the standard error of a difference (a fraction), and how it is known."""

    error: float
    examples: int
    measured: bool  # from the answers of both cells; otherwise an upper bound


@dataclass
class Known:
    """What one record says. Keys: (axis, task) and, for single contrasts, (axis, a, b, task)."""

    name: str
    axes: dict[tuple[str, str], Variance] = field(default_factory=dict)
    single: dict[tuple[str, str, str, str], Variance] = field(default_factory=dict)
    measured: dict[tuple[str, str, str, str], Noise] = field(default_factory=dict)
    bound: dict[str, Noise] = field(default_factory=dict)  # by task

    def variance(self, axis: str, a: str, b: str, task: str) -> Variance | None:
        """The contrast's own, if it has enough seeds; else that of its axis, else of the task."""
        own = self.single.get((axis, a, b, task)) or self.axes.get((axis, task))
        if own:
            return own
        others = [v for (_, where), v in self.axes.items() if where == task]
        if not others or (_NO_AXIS, task) in self.axes:
            return self.axes.get((_NO_AXIS, task))
        weights = [v.freedom for v in others]
        total = float(np.average([v.total for v in others], weights=weights))
        return Variance(total, np.nan, min(weights), f"{self.name} (other axes)")

    def noise(self, axis: str, a: str, b: str, task: str) -> Noise | None:
        """Of the contrast, else of the axis, else an upper bound."""
        own = self.measured.get((axis, a, b, task))
        if own and own.error:
            return own
        alike = [v for k, v in self.measured.items() if (k[0], k[3]) == (axis, task)]
        if alike:
            error = float(np.sqrt(np.mean([v.error**2 for v in alike])))
            return Noise(error, alike[0].examples, True)
        return self.bound.get(task)


def known_from(frame: pd.DataFrame, answers: Mapping[str, TaskAnswers], name: str) -> Known:
    """The variances of a record.

    A variance is pooled over all pairs of values of an axis, on each task: with K values and S
    seeds it has (K - 1)(S - 1) degrees of freedom, where one contrast has S - 1.

    Args:
        frame: runs of `load_record`.
        answers: of `read_answers`, beside the record.
        name: of the record, for the reader.
    """
    known = Known(name)
    runs = prepare(frame)
    scores = {task: resampled_scores(own.splits, own.metrics) for task, own in answers.items()}
    # A part of a grid has no pairs of runs that differ in one axis alone.
    for axis in [] if part_of(runs) else studied(runs):
        table = pairs(runs, axis)
        done = table.dropna(subset="difference")
        for task in dict.fromkeys(map(str, done["task"])):
            rows = done[done["task"] == task]
            _add_axis(known, axis, task, rows)
            if task in scores:
                _add_measured(known, axis, task, rows, scores[task], answers[task].examples)
    plain = runs[(runs["task"] != AVERAGE) & runs["score"].notna()]
    for task in dict.fromkeys(map(str, plain["task"])):
        if not any(where == task for _, where in known.axes):
            _add_cells(known, task, plain[plain["task"] == task])
    # As if the two cells erred on unrelated examples. Students of one teacher agree on most.
    for name, (points, examples) in dev_errors(frame).items():
        known.bound[name] = Noise(float(np.sqrt(2)) * points / 100, examples, False)
    return known


def _add_axis(known: Known, axis: str, task: str, rows: pd.DataFrame) -> None:
    parts = []
    for (a, b), own in rows.groupby(["a", "b"], sort=False):
        wide = own.pivot_table(index="seed", columns="block", values="difference", sort=False)
        total, common = components(wide)
        if np.isnan(total):
            continue
        seeds = int(wide.notna().sum().max())
        parts.append((total, common, seeds, {a, b}))
        if seeds - 1 >= _OWN:
            own_variance = Variance(total, common, seeds - 1, known.name)
            known.single[axis, str(a), str(b), task] = own_variance
    if not parts:
        return
    total = float(np.mean([part[0] for part in parts]))
    commons = [part[1] for part in parts if not np.isnan(part[1])]
    values = len(set().union(*(part[3] for part in parts)))
    freedom = (values - 1) * (min(part[2] for part in parts) - 1)
    if total > 0:
        common = float(np.mean(commons)) if commons else np.nan
        known.axes[axis, task] = Variance(total, common, freedom, known.name)


def components(wide: pd.DataFrame) -> tuple[float, float]:
    """(variance of a block over seeds, covariance of two blocks); NaN where no seeds tell it.

    `wide` (seeds, blocks) has NaN where a run is missing. With common part c and total v, the mean
    of B blocks has the variance c + (v - c) / B; in a complete table that is the variance of its
    rows' means, exactly.
    """
    square = wide.cov(min_periods=2).to_numpy()
    own = np.diag(square)
    total = float(np.mean(own[~np.isnan(own)])) if not np.isnan(own).all() else np.nan
    apart = square[~np.eye(len(square), dtype=bool)]
    apart = apart[~np.isnan(apart)]
    return total, float(apart.mean()) if len(apart) else np.nan


def _add_cells(known: Known, task: str, rows: pd.DataFrame) -> None:
    """Without a pair of values: twice the variance of a cell over seeds, as if cells shared none
    of it."""
    cells = rows.groupby(studied(rows) or ["task"], sort=False)["score"]
    sizes, squares = cells.count(), cells.var()
    freedom = int((sizes - 1)[squares.notna()].sum())
    if freedom and (total := 2 * float((squares * (sizes - 1)).sum() / freedom)) > 0:
        source = f"{known.name} (single runs)"
        known.axes[_NO_AXIS, task] = Variance(total, np.nan, freedom, source)


def _add_measured(
    known: Known,
    axis: str,
    task: str,
    rows: pd.DataFrame,
    scores: Mapping[str, np.ndarray],
    examples: int,
) -> None:
    there = rows[rows["run_a"].isin(list(scores)) & rows["run_b"].isin(list(scores))]
    for (a, b), own in there.groupby(["a", "b"], sort=False):
        gaps = [
            np.mean([scores[row.run_b] - scores[row.run_a] for row in each(seed)], axis=0)
            for _, seed in own.groupby("seed", sort=False)
        ]
        error = difference_of(np.array(gaps), examples).over_examples
        known.measured[axis, str(a), str(b), task] = Noise(error, examples, True)


def table_of(records: Mapping[str, Known]) -> str:
    """The variances of records as CSV, for the shipped table."""
    rows = []
    for name, known in records.items():
        for (axis, task), own in known.axes.items():
            noise = known.bound.get(task)
            size, error = (noise.examples, noise.error / np.sqrt(2)) if noise else ("", "")
            rows.append((name, axis, task, own.total, own.common, own.freedom, size, error))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


@cache
def shipped() -> Known:
    """The variances that the shipped records have, as one. The source of each is its record; where
    several know an axis on a task, it is the first."""
    text = SHIPPED.read_text(encoding="utf-8")
    table = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[], dtype=str)
    known = Known("shipped records")
    for row in each(table):
        common = float(row.common) if row.common else np.nan
        source = f"shipped record {row.record}"
        variance = Variance(float(row.total), common, int(row.freedom), source)
        known.axes.setdefault((row.axis, row.task), variance)
        if row.examples:
            error = np.sqrt(2) * float(row.score_se)
            known.bound.setdefault(row.task, Noise(error, int(row.examples), False))
    return known
