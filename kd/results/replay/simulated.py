"""Simulated factorials with known effects, as records to replay."""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from kd.axes.fields import RUN_DEFAULTS
from kd.results.replay.replay import Truth
from kd.results.statistics.runs import AXES, IDLE

# Effects of the values in points. A run has noise with a standard deviation of 1 point.
EFFECTS = {
    "mapping": {"uniform": 0.0, "last": -0.3, "first": -0.8, "reverse": -2.0},
    "init": {"teacher-uniform": 0.0, "random": -3.0},
    "temperature": {"2": 0.0, "8": -0.3},
    "hard_weight": {"1": 0.0, "0.5": -0.5},
}
SEEDS = 6


def simulated(draws: int, interaction: float = 0.0) -> Iterator[tuple[pd.DataFrame, Truth]]:
    """Records of 32 cells and 6 seeds on one task, and what is true of them.

    Args:
        draws: number of records.
        interaction: standard deviation of the interactions of each pair of axes, in points. They
            are drawn anew for each record, and are 0 on average over each axis.
    """
    best = {axis: max(own, key=lambda v: own[v]) for axis, own in EFFECTS.items()}
    effects = {
        (axis, a, b): own[b] - own[a]
        for axis, own in EFFECTS.items()
        for a, b in combinations(own, 2)
    }
    for draw in range(draws):
        yield _record(np.random.default_rng([draw, 1]), interaction), Truth(best, effects)


def _record(rng: np.random.Generator, interaction: float) -> pd.DataFrame:
    tables = {}
    for a, b in combinations(EFFECTS, 2):
        table = rng.normal(0, interaction, (len(EFFECTS[a]), len(EFFECTS[b])))
        table -= table.mean(axis=0)
        tables[a, b] = table - table.mean(axis=1, keepdims=True)
    same = {axis: str(RUN_DEFAULTS.get(axis, IDLE)) for axis in AXES}
    same |= {"task": "simulated", "teacher": "teacher", "student": "6L-768-12h-3072"}
    rows: list[dict[str, Any]] = []
    for values in product(*EFFECTS.values()):
        cell = dict(zip(EFFECTS, values, strict=True))
        place = {axis: list(EFFECTS[axis]).index(value) for axis, value in cell.items()}
        points = sum(EFFECTS[axis][value] for axis, value in cell.items())
        points += sum(table[place[a], place[b]] for (a, b), table in tables.items())
        for seed in range(1, SEEDS + 1):
            score = 0.7 + (points + rng.normal()) / 100
            run = f"simulated-{len(rows):04d}"
            rows.append({"run": run, "status": "done", "score": score, **same, **cell,
                         "seed": str(seed), "majority_score": 0.5, "teacher_score": 0.75,
                         "examples_eval": 5000.0})  # fmt: skip
    return pd.DataFrame(rows).assign(
        error="", teacher_parameters=np.nan, metrics="accuracy", score_se=np.nan
    )
