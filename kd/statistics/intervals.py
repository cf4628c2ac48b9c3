"""Means over seeds with their uncertainty, and p values of many comparisons at once.

The unit is one seed on one task: its runs share data order and random numbers, so that they are no
independent evidence, whatever number of settings they cover. Formulas: docs/statistics.md.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
_RESAMPLES = 2000


def seed_means(frame: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """Mean of `column` by `keys`, and its uncertainty over seeds with the tasks as strata.

    `frame` has the columns seed, stratum (the task) and block (one setting on one task). Every
    task counts the same, and in it every block, whatever number of seeds is done. Of each run its
    block's mean is taken away; what is left is averaged by task and seed. The standard error and
    its degrees of freedom come from these units within tasks (Welch and Satterthwaite): with one
    block they are those of the runs, with one task those of the seeds' means.

    Returns:
        Columns mean, sd (over seeds, of the mean over tasks), seeds, low, high, p (of a mean of 0),
        and spread, the seeds' deviations; NaN where a number is not defined: no run, one seed, or
        no spread at all.
    """
    keys = list(keys)
    found = frame.dropna(subset=[column])
    blocks = found.groupby([*keys, "stratum", "block"], sort=False)[column]
    tasks = blocks.mean().groupby([*keys, "stratum"], sort=False).mean()
    table = pd.DataFrame({"mean": tasks.groupby(keys, sort=False).mean()})

    rest = found.assign(rest=found[column] - blocks.transform("mean"))
    rest = rest[blocks.transform("count") > 1]  # one run alone says nothing of its spread
    units = rest.groupby([*keys, "stratum", "seed"], sort=False)["rest"].mean()
    groups = units.groupby([*keys, "stratum"], sort=False)
    strata = pd.DataFrame({"square": groups.var() / groups.count(), "free": groups.count() - 1})
    strata = strata[strata["free"] > 0]
    known = strata.groupby(keys, sort=False)["square"].agg(["sum", "count"])
    parts = strata["square"].pow(2) / strata["free"]
    freedom = known["sum"].pow(2) / parts.groupby(keys, sort=False).sum()
    error = np.sqrt(known["sum"]) / known["count"]
    error = error.where(error > 1e-12).reindex(table.index)  # equal to the last digit: no measure
    freedom = freedom.reindex(table.index)
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    table["p"] = 2 * stats.t.sf((table["mean"] / error).abs(), freedom)

    seeds = units.groupby([*keys, "seed"], sort=False).mean().groupby(keys, sort=False)
    table["seeds"] = seeds.count().reindex(table.index, fill_value=0)
    table["sd"] = seeds.std().reindex(table.index)
    table["spread"] = seeds.apply(lambda values: values.to_numpy()).reindex(table.index)
    return table


def bootstrap(means: "pd.Series[float]", spreads: "pd.Series[Any]") -> np.ndarray:
    """(n, 2) percentile bootstrap intervals of means, by resampling seeds; NaN below two seeds.

    It never leaves the range of the seeds, so that with three of them it covers the truth in about
    three of four cases, not in 95 % (see docs/statistics.md): the t interval is the one to read.
    """
    bounds = np.full((len(means), 2), np.nan)
    sizes = np.array([len(s) if isinstance(s, np.ndarray) else 0 for s in spreads])
    for size in np.unique(sizes[sizes > 1]):
        rows = np.flatnonzero(sizes == size)
        data: np.ndarray = np.stack([spreads.iloc[row] for row in rows])
        found = stats.bootstrap(
            (data,),
            np.mean,
            axis=-1,
            n_resamples=_RESAMPLES,
            batch=100,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),  # the same runs give the same bytes
        ).confidence_interval
        bounds[rows] = means.to_numpy()[rows, None] + np.stack([found.low, found.high], axis=-1)
    return bounds


def holm(p: "pd.Series[float]") -> np.ndarray:
    """Holm's step-down correction within one family; comparisons without a p are not in it.

    The i-th smallest of m values is multiplied by m - i + 1; none is below a smaller one, or above
    1. (statsmodels has it too, with a garbage collection at every call.)
    """
    corrected = np.full(len(p), np.nan)
    places = np.flatnonzero(p.notna())
    order = places[np.argsort(p.to_numpy(float)[places], kind="stable")]
    raised = p.to_numpy(float)[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(raised))
    return corrected


def pooled_sd(sd: "pd.Series[float]", n: "pd.Series[int]") -> tuple[float, int]:
    """Pooled standard deviation of groups and its degrees of freedom; (NaN, 0) without any."""
    freedom = int((n - 1).clip(lower=0)[sd.notna()].sum())
    if not freedom:
        return np.nan, 0
    return float(np.sqrt((sd.pow(2) * (n - 1)).sum() / freedom)), freedom
