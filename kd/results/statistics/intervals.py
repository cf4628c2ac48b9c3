"""Means over seeds with their uncertainty, and p values of many comparisons at once.

The unit is one seed on one task: its runs share data order and random numbers, so that they are no
independent evidence, whatever number of settings they cover. Formulas: docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
_RESAMPLES = 2000
_SAME = 1e-9  # relative difference of two expectations that are equal
_Scores = TypeVar("_Scores", pd.Series, pd.DataFrame)
_DIGITS = 10  # of a score that are no rounding error


def rounded(scores: _Scores) -> _Scores:
    """Scores or their differences without the last bits: equal ones are equal, 0 is 0."""
    return scores.round(_DIGITS) + 0.0  # no -0.0


def seed_means(frame: pd.DataFrame, keys: Sequence[str], column: str) -> pd.DataFrame:
    """Mean of `column` by `keys`, and its uncertainty over seeds with the tasks as strata.

    `frame` has the columns seed, stratum (the task) and block (one setting on one task). Every
    task counts the same, and in it every block, whatever number of seeds is done. The standard
    error and its degrees of freedom come from the seeds within tasks (Welch and Satterthwaite):
    with one block they are those of the runs, with the same seeds in every block those of the
    seeds' means. Seeds may differ between blocks (`_cluster_variance`); a task without two seeds
    in a block borrows the spread of the others.

    Returns:
        Columns mean, sd (over seeds, of the mean over tasks), seeds, low, high, p (of a mean of 0),
        error (standard) and free (degrees of freedom), from which these are made, and spread, the
        seeds' deviations; NaN where a number is not defined: no run, one seed, or
        no spread at all.
    """
    keys = list(keys)
    done = frame.dropna(subset=[column])
    blocks = done.groupby([*keys, "stratum", "block"], sort=False)[column]
    tasks = blocks.mean().groupby([*keys, "stratum"], sort=False).mean()
    table = pd.DataFrame({"mean": tasks.groupby(keys, sort=False).mean()})

    count = blocks.transform("count")
    done = done.assign(rest=done[column] - blocks.transform("mean"), count=count)
    strata = _strata(done, keys)
    groups = strata.groupby(keys, sort=False)
    lent = _lent(strata, keys)
    parts = (strata["square"] * lent).fillna(0.0)
    total = parts.groupby(keys, sort=False).sum().reindex(table.index)
    inverse = (parts.pow(2) / strata["free"]).groupby(keys, sort=False).sum().reindex(table.index)
    freedom = (total.pow(2) / inverse).where(inverse > 0)
    error = np.sqrt(total) / groups.size().reindex(table.index)
    error = error.where(error > 1e-12)  # equal to the last digit: no measure
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    table["low"], table["high"] = table["mean"] - half, table["mean"] + half
    table["error"], table["free"] = error, freedom
    table["p"] = 2 * stats.t.sf((table["mean"] / error).abs(), freedom)

    rest = done[done["count"] > 1]  # one run alone says nothing of its spread
    # A residual is smaller than the noise behind it by the share that its block's mean takes.
    rest = rest.assign(scaled=rest["rest"] / np.sqrt(1 - 1 / rest["count"]))
    units = rest.groupby([*keys, "stratum", "seed"], sort=False)[["rest", "scaled"]].mean()
    seeds = units.groupby([*keys, "seed"], sort=False).mean().groupby(keys, sort=False)
    table["seeds"] = seeds.size().reindex(table.index, fill_value=0)
    table["sd"] = np.sqrt(
        seeds["scaled"].agg(lambda values: float((values**2).mean())).reindex(table.index)
    )
    table["spread"] = seeds["rest"].apply(lambda v: v.to_numpy()).reindex(table.index)
    return table


def with_interval(table: pd.DataFrame, level: "pd.Series[float] | float" = LEVEL) -> pd.DataFrame:
    """The table with low, high and p made anew from its mean, error and free."""
    half = stats.t.ppf((1 + level) / 2, table["free"]) * table["error"]
    p = 2 * stats.t.sf((table["mean"] / table["error"]).abs(), table["free"])
    return table.assign(low=table["mean"] - half, high=table["mean"] + half, p=p)


def _strata(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """By keys and stratum: `square`, the variance of its mean; `free`, its degrees of freedom;
    `shared`, the sum over seeds of the square of a seed's weight.

    In a complete grid (S seeds in every block) these are var / S, S - 1 and 1 / S, with the
    variance of the seeds' means. NaN where no block has two seeds.
    """
    where = [*keys, "stratum"]
    groups = runs.groupby(where, sort=False)
    units = runs.groupby([*where, "seed"], sort=False)["rest"].mean().groupby(where, sort=False)
    seeds = units.size()
    table = pd.DataFrame({"square": units.var() / seeds, "free": seeds - 1.0, "shared": 1 / seeds})
    ragged = groups.size() != seeds * groups["block"].nunique()
    if ragged.any():
        for (key, group), uneven in zip(groups, ragged, strict=True):
            if uneven:
                table.loc[key] = _ragged(group)
    lone = groups["count"].max() < 2
    table.loc[lone, ["square", "free"]] = np.nan
    return table


def _ragged(group: pd.DataFrame) -> tuple[float, float, float]:
    """`_strata`'s numbers of one task where seeds differ between its blocks."""
    seed, _ = pd.factorize(group["seed"])
    block, _ = pd.factorize(group["block"])
    weight = 1 / (block.max() + 1) / group["count"].to_numpy()
    shared = float((np.bincount(seed, weight) ** 2).sum())
    if group["count"].max() < 2 or seed.max() < 1:  # one seed shows no spread, however often
        return np.nan, np.nan, shared
    return (*_cluster_variance(group["rest"].to_numpy(), block, seed), shared)


def _cluster_variance(rest: np.ndarray, block: np.ndarray, seed: np.ndarray) -> tuple[float, float]:
    """Variance of the mean over blocks of their means over seeds, and its degrees of freedom.

    A cluster-robust variance: each seed's weighted sum of residuals is squared, since seeds are
    independent whatever their runs share. Residuals lack what their block's mean took, so the sum
    of squares is too small. How much depends on the share of the noise that the runs of a seed have
    in common. That share is estimated (`_shared`); the sum is scaled to be unbiased at it, and the
    degrees of freedom are Satterthwaite's at it (Bell and McCaffrey 2002; with an estimated share,
    Imbens and Kolesár 2016). Where S seeds are in every block, the factor is S / (S - 1) and the
    degrees of freedom are S - 1 at any share.

    Args:
        rest: (n,) values less their block's mean.
        block: (n,) codes from 0.
        seed: (n,) codes from 0.
    """
    layout = _layout(block, seed)
    share = _shared(rest, block, seed, layout)
    square = float((np.bincount(seed, layout.weight[block] * rest) ** 2).sum())
    form = (1 - share) * layout.own + share * layout.common
    truth = (1 - share) * layout.truth[0] + share * layout.truth[1]
    size = float(np.trace(form))
    return truth / size * square, size**2 / float((form**2).sum())


@dataclass(frozen=True)
class _Layout:
    """Which block has which seed, and what that makes of noise of variance 1.

    `times` (blocks, seeds) counts runs, `weight` (blocks,) is that of a run in the mean. `own` and
    `common` (seeds, seeds) are the covariances of the seeds' weighted sums of residuals where the
    runs of a seed have no noise in common, and where they have all of it; `truth` has the variance
    of the mean in these two cases.
    """

    times: np.ndarray
    weight: np.ndarray
    own: np.ndarray
    common: np.ndarray
    truth: tuple[float, float]


def _layout(block: np.ndarray, seed: np.ndarray) -> _Layout:
    times = np.zeros((block.max() + 1, seed.max() + 1))
    np.add.at(times, (block, seed), 1)
    sizes = times.sum(axis=1)
    weight = 1 / sizes / len(sizes)
    own = np.diag(weight**2 @ times) - times.T @ (times * (weight**2 / sizes)[:, None])
    root = np.diag(weight @ times) - times.T @ (times * (weight / sizes)[:, None])
    truth = float(weight**2 @ sizes), float(((weight @ times) ** 2).sum())
    return _Layout(times, weight, own, root @ root, truth)


def _shared(rest: np.ndarray, block: np.ndarray, seed: np.ndarray, layout: _Layout) -> float:
    """Estimated share of the noise that the runs of a seed have in common, from 0 to 1.

    By moments: the plain sum of squared residuals and that of the seeds' weighted sums grow
    differently with the two kinds of noise. 1/2 where they cannot tell the kinds apart (no two
    blocks with a residual have a seed in common).
    """
    sizes = layout.times.sum(axis=1)
    plain = float((rest**2).sum())
    weighted = float((np.bincount(seed, layout.weight[block] * rest) ** 2).sum())
    # Expected squares, plain and weighted, by noise of a run's own and of all runs of a seed.
    within = len(rest) - len(sizes)
    between = len(rest) - float((layout.times**2).sum(axis=1) @ (1 / sizes))
    own, common = float(np.trace(layout.own)), float(np.trace(layout.common))
    apart = within * common - own * between
    if abs(apart) <= _SAME * (within * common + own * between):
        return 0.5
    alone = (common * plain - between * weighted) / apart
    shared = max(0.0, (within * weighted - own * plain) / apart)
    return shared / (alone + shared) if alone > 0 else 1.0


def _lent(strata: pd.DataFrame, keys: list[str]) -> "pd.Series[float]":
    """How often each stratum's variance counts: once, and in part for those that have none.

    A stratum whose blocks have one seed each has the mean spread of a seed in the others.
    """
    lone = strata["square"].isna()
    need = strata["shared"].where(lone, 0.0).groupby(keys, sort=False).transform("sum")
    part = strata["free"] / strata["free"].groupby(keys, sort=False).transform("sum")
    return 1 + need * part / strata["shared"]


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
        limits = stats.bootstrap(
            (data,),
            np.mean,
            axis=-1,
            n_resamples=_RESAMPLES,
            batch=100,
            confidence_level=LEVEL,
            method="percentile",
            rng=np.random.default_rng(0),  # the same runs give the same bytes
        ).confidence_interval
        bounds[rows] = means.to_numpy()[rows, None] + np.stack([limits.low, limits.high], axis=-1)
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
