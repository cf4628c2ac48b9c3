"""Ranks of cells over tasks, which do not depend on the scales of the metrics."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from kd.results.statistics.cells import describe
from kd.results.statistics.intervals import holm, rounded
from kd.results.statistics.runs import AVERAGE, studied


@dataclass(frozen=True)
class Ranks:
    """`table` has a row per cell with its mean rank. `p` is that of Friedman's test, whose null
    hypothesis is that all cells are equal. Mean ranks that differ by less than `critical` are not
    significantly different (Nemenyi, 5 %)."""

    table: pd.DataFrame
    tasks: int
    left_out: int  # cells that lack a task
    p: float
    critical: float


def rank(runs: pd.DataFrame) -> Ranks | None:
    """Rank the cells of prepared runs on every task (1 is best), as Demšar 2006 advises.

    `runs` come from `prepare`, which adds `difference`. Scores are fractions.

    The unit is the task, each with its mean over seeds; only cells that are done on every task
    take part. None where that leaves fewer than two tasks or two cells. `p_wilcoxon` is of the
    signed-rank test over tasks of a cell against its control, with `wins` and `compared` beside it;
    below six tasks it cannot reach 5 %.
    """
    names = studied(runs)
    tasks = [task for task in runs["task"].unique() if task != AVERAGE]
    if not names or len(tasks) < 2:
        return None
    table = describe(runs[runs["task"] != AVERAGE], [*names, "task"])
    means = rounded(table.pivot(index=names, columns="task", values="mean"))
    gaps = rounded(table.pivot(index=names, columns="task", values="difference"))
    order = table.drop_duplicates(names).set_index(names).index
    means, gaps = means.reindex(order), gaps.reindex(order)
    whole = means.notna().all(axis=1)
    if whole.sum() < 2:
        return None
    ranks = means[whole].rank(ascending=False)
    first = ranks == ranks.min()
    alone = first & (first.sum() == 1)
    out = pd.DataFrame({"rank": ranks.mean(axis=1), "best": alone.sum(axis=1)})
    out["shared"] = first.sum(axis=1) - out["best"]
    gaps = gaps[whole]
    out["wins"], out["equal"] = (gaps > 0).sum(axis=1), (gaps == 0).sum(axis=1)
    out["compared"] = gaps.notna().sum(axis=1)
    out["p_wilcoxon"] = [_wilcoxon(row) for row in gaps.to_numpy(float)]
    out["p_holm"] = holm(out["p_wilcoxon"])
    cells, count = len(ranks), len(tasks)
    p = _friedman(means[whole].to_numpy(float)) if cells > 2 else np.nan
    q = stats.studentized_range.ppf(0.95, cells, np.inf) / np.sqrt(2)
    critical = q * np.sqrt(cells * (cells + 1) / (6 * count))
    out = out.sort_values("rank", kind="stable").reset_index()
    return Ranks(out, count, int((~whole).sum()), float(p), float(critical))


def _friedman(means: np.ndarray) -> float:
    """p of Friedman's test of (cells, tasks); NaN if all cells are equal on every task.

    Then no task ranks any cell, and the statistic, corrected for ties, is 0/0.
    """
    if (means == means[0]).all():
        return np.nan
    return float(stats.friedmanchisquare(*means).pvalue)


def _wilcoxon(gaps: np.ndarray) -> float:
    gaps = gaps[~np.isnan(gaps)]
    if len(gaps) < 2 or not gaps.any():
        return np.nan
    return float(stats.wilcoxon(gaps).pvalue)
