"""The best cell of a task, and the cells that a t test does not separate from it."""

import numpy as np
import pandas as pd
from scipy import stats

from kd.results.statistics.intervals import pooled_sd


def best_and_near(cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The best of one task's cells, and the others that are not significantly worse.

    Cells are rows of `describe` with the columns mean, sd, n and missing; scores are fractions.
    Cells with equal means to one decimal of a point are equally good. A cell that lacks runs is
    never the best. The test is a two-sided t test at 5 % with the standard deviation over seeds
    pooled over the cells, not corrected; without two seeds there is none, and nothing is near.
    """
    whole = cells[(cells["missing"] == "") & cells["mean"].notna()]
    if whole.empty:
        return whole, whole
    shown = (100 * whole["mean"]).round(1)
    best = whole[shown == shown.max()]
    top = whole.sort_values("mean", kind="stable").iloc[-1]
    done = cells[cells["mean"].notna()]
    sd, freedom = pooled_sd(done["sd"], done["n"])
    if not freedom:
        return best, best[:0]
    least = stats.t.ppf(0.975, freedom) * sd * np.sqrt(1 / top["n"] + 1 / done["n"])
    near = done[(top["mean"] - done["mean"] <= least) & ~done.index.isin(best.index)]
    return best, near
