"""The best cells of a task, and cells that are not significantly worse."""

import numpy as np
import pandas as pd
from scipy import stats

from kd.results.statistics.intervals import pooled_sd


def best_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """The best cells of a task: those with the highest mean, to one decimal of a point.

    A cell that lacks runs is never the best, because the lost seeds may be the bad ones. Several
    rows have equal means. Without a row, no cell is complete.

    Args:
        cells: rows of `describe`, with the columns mean (a fraction) and missing.
    """
    whole = cells[(cells["missing"] == "") & cells["mean"].notna()]
    shown = (100 * whole["mean"]).round(1)
    return whole[shown == shown.max()]


def best_and_near(cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`best_cells`, and the other cells that are not significantly different.

    Cells are rows of `describe` with the columns mean, sd, n and missing; scores are fractions. The
    test is a two-sided t test at 5 % with the standard deviation over seeds pooled over the cells,
    not corrected. Without two seeds there is no test, and no cell is near.
    """
    best = best_cells(cells)
    done = cells[cells["mean"].notna()]
    sd, freedom = pooled_sd(done["sd"], done["n"])
    if best.empty or not freedom:
        return best, best[:0]
    top = best.sort_values("mean", kind="stable").iloc[-1]
    least = stats.t.ppf(0.975, freedom) * sd * np.sqrt(1 / top["n"] + 1 / done["n"])
    near = done[((top["mean"] - done["mean"]).abs() <= least) & ~done.index.isin(best.index)]
    return best, near
