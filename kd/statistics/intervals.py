"""Means over seeds with their uncertainty, and p values of many comparisons at once.

The unit is the seed: runs of one seed share data order and random numbers, so that they are no
independent evidence, whatever number of settings they cover. Formulas: docs/statistics.md.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

LEVEL = 0.95
_RESAMPLES = 2000


def seed_means(frame: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """Mean of `column` by `keys` and its uncertainty over seeds.

    `frame` has the columns seed and block: a block is one setting on one task. Every block counts
    the same, whatever number of its seeds is done. Of each run its block's mean is taken away; what
    is left is averaged by seed; t interval, p (of a mean of 0) and sd come from these seeds. With
    one block that is the t interval of its runs, and with several that of the seeds' means.

    Returns:
        Columns mean, sd, seeds, low, high, p, and spread, the seeds' deviations; NaN where a
        number is not defined: no run, one seed, or no spread at all.
    """
    keys = list(keys)
    found = frame.dropna(subset=[column])
    blocks = found.groupby([*keys, "block"], sort=False)[column]
    means = blocks.mean().groupby(keys, sort=False).mean()
    rest = found.assign(rest=found[column] - blocks.transform("mean"))
    rest = rest[blocks.transform("count") > 1]  # one run alone says nothing of its spread
    seeds = rest.groupby([*keys, "seed"], sort=False)["rest"].mean().groupby(keys, sort=False)
    table = pd.DataFrame({"mean": means})
    table["seeds"] = seeds.count().reindex(table.index, fill_value=0)
    sd = seeds.std().reindex(table.index)
    table["sd"] = sd.where(sd > 1e-12)  # equal to the last digit: no measure of spread
    half = stats.t.ppf((1 + LEVEL) / 2, table["seeds"] - 1)
    error = table["sd"] / np.sqrt(table["seeds"])
    table["low"], table["high"] = table["mean"] - half * error, table["mean"] + half * error
    table["p"] = 2 * stats.t.sf((table["mean"] / error).abs(), table["seeds"] - 1)
    table["spread"] = seeds.apply(lambda values: values.to_numpy()).reindex(table.index)
    return table


def bootstrap(means: "pd.Series[float]", spreads: "pd.Series[object]") -> np.ndarray:
    """(n, 2) percentile bootstrap intervals of means, by resampling seeds; NaN below two seeds.

    It never leaves the range of the seeds, so that with three of them it covers the truth in about
    three of four cases, not in 95 % (see docs/statistics.md): the t interval is the one to read.
    """
    bounds = np.full((len(means), 2), np.nan)
    sizes = np.array([len(s) if isinstance(s, np.ndarray) else 0 for s in spreads])
    for size in np.unique(sizes[sizes > 1]):
        rows = np.flatnonzero(sizes == size)
        data = np.stack([spreads.iloc[row] for row in rows])
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
    """Holm's step-down correction within one family; comparisons without a p are not in it."""
    corrected = np.full(len(p), np.nan)
    there = p.notna().to_numpy()
    if there.any():
        corrected[there] = multipletests(p[there], method="holm")[1]
    return corrected


def pooled_sd(sd: "pd.Series[float]", n: "pd.Series[int]") -> tuple[float, int]:
    """Pooled standard deviation of groups and its degrees of freedom; (NaN, 0) without any."""
    freedom = int((n - 1).clip(lower=0)[sd.notna()].sum())
    if not freedom:
        return np.nan, 0
    return float(np.sqrt((sd.pow(2) * (n - 1)).sum() / freedom)), freedom
