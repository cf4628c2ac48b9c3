"""Intervals and corrections against hand-worked numbers, and how often they hold in simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kd.statistics.intervals import bootstrap, holm, pooled_sd, seed_means


def frame(values, tasks=1, settings=1):
    """values: (simulations, tasks, settings, seeds) as the frame that `seed_means` reads."""
    array = np.asarray(values, dtype=float).reshape(-1, tasks, settings, np.shape(values)[-1])
    index = np.indices(array.shape).reshape(4, -1)
    table = pd.DataFrame(dict(zip(("key", "stratum", "setting", "seed"), index, strict=True)))
    return table.assign(value=array.ravel(), block=table["stratum"] * 1000 + table["setting"])


def covered(table, truth=0.0):
    return float(((table["low"] <= truth) & (truth <= table["high"])).mean())


def test_one_block_is_the_t_interval_of_its_runs():
    row = seed_means(frame([[0.62, 0.64, 0.66]]), ["key"], "value").iloc[0]
    half = 4.302652729911275 * 0.02 / math.sqrt(3)
    assert (row["mean"], row.sd, row.seeds) == pytest.approx((0.64, 0.02, 3))
    assert (row.low, row.high) == pytest.approx((0.64 - half, 0.64 + half))
    assert row.p == pytest.approx(stats.ttest_1samp([0.62, 0.64, 0.66], 0).pvalue)


def test_settings_of_a_seed_are_averaged_before_its_spread_is_taken():
    """Two settings of one task, 10 points apart: only the seeds' means 0.1, 0.3 count."""
    row = seed_means(frame([[[0.05, 0.25], [0.15, 0.35]]], settings=2), ["key"], "value").iloc[0]
    assert row["mean"] == pytest.approx(0.2)
    assert row.sd == pytest.approx(math.sqrt(0.02))
    assert row.high - row.low == pytest.approx(2 * stats.t.ppf(0.975, 1) * math.sqrt(0.02 / 2))


def test_tasks_are_strata_with_welchs_degrees_of_freedom():
    quiet, loud = [1.0, 1.2, 1.1], [5.0, 9.0, 7.0]
    row = seed_means(frame([[[quiet], [loud]]], tasks=2), ["key"], "value").iloc[0]
    parts = np.array([np.var(quiet, ddof=1), np.var(loud, ddof=1)]) / 3
    error, freedom = math.sqrt(parts.sum()) / 2, parts.sum() ** 2 / (parts**2 / 2).sum()
    assert row["mean"] == pytest.approx((1.1 + 7) / 2)
    assert row.high - row["mean"] == pytest.approx(stats.t.ppf(0.975, freedom) * error)


def test_every_setting_counts_the_same_whatever_is_missing():
    table = frame([[[1.0, 1.0, 1.0], [4.0, 4.2, 4.1]]], settings=2)
    table.loc[0:1, "value"] = np.nan  # two of three seeds of the first setting
    row = seed_means(table, ["key"], "value").iloc[0]
    assert row["mean"] == pytest.approx((1 + 4.1) / 2)
    assert row.seeds == 3  # the lone run says nothing of spread, the other setting does


def test_one_seed_and_no_spread_have_no_interval():
    table = seed_means(frame([[0.6], [0.7]]), ["key"], "value")
    assert table[["low", "high", "p", "sd"]].isna().all(axis=None) and (table["seeds"] == 0).all()
    equal = seed_means(frame([[0.6, 0.6, 0.6]]), ["key"], "value").iloc[0]
    assert equal.sd == 0 and math.isnan(equal.low) and math.isnan(equal.p)


def test_bootstrap_of_two_seeds_is_their_range_and_repeats():
    """Of two values the resampled means are both, or one of them in a quarter of cases each."""
    table = seed_means(frame([[0.5, 0.7], [1.0, 1.0]]), ["key"], "value")
    bounds = bootstrap(table["mean"], table["spread"])
    assert bounds == pytest.approx(np.array([[0.5, 0.7], [1.0, 1.0]]))
    assert (bounds == bootstrap(table["mean"], table["spread"])).all()
    alone = seed_means(frame([[0.5]]), ["key"], "value")
    assert np.isnan(bootstrap(alone["mean"], alone["spread"])).all()


def test_t_intervals_cover_as_they_say_and_the_bootstrap_of_three_seeds_does_not():
    """What docs/statistics.md says of the two, in 2,000 simulations each."""
    rng = np.random.default_rng(0)
    found = {}
    for seeds in (3, 5, 10):
        table = seed_means(frame(rng.normal(size=(2000, seeds))), ["key"], "value")
        bounds = bootstrap(table["mean"], table["spread"])
        boot = float(((bounds[:, 0] <= 0) & (bounds[:, 1] >= 0)).mean())
        found[seeds] = (covered(table), boot)
    assert all(t == pytest.approx(0.95, abs=0.015) for t, _ in found.values()), found
    assert found[3][1] == pytest.approx(0.75, abs=0.03)
    assert found[5][1] == pytest.approx(0.84, abs=0.03)
    assert found[10][1] == pytest.approx(0.90, abs=0.03)


@pytest.mark.parametrize(("tasks", "loud"), [(1, 1), (4, 1), (4, 5)])
def test_intervals_hold_where_runs_of_a_seed_are_alike(tasks, loud):
    """Settings share what the seed does to a task; a loud task does not spoil it."""
    rng = np.random.default_rng(1)
    shape = (2000, tasks, 6, 3)
    scale = np.array([loud, *[1] * (tasks - 1)])[:, None, None]
    shared = rng.normal(size=(2000, tasks, 1, 3)) * scale
    levels = rng.normal(size=(1, tasks, 6, 1)) * 10
    levels -= levels.mean()
    values = levels + shared + 0.5 * rng.normal(size=shape)
    table = seed_means(frame(values, tasks, 6), ["key"], "value")
    assert covered(table) >= 0.935
    assert (table["p"] < 0.05).mean() == pytest.approx(1 - covered(table), abs=1e-9)
    # The same runs taken for independent would cover far less than 95 %.
    flat = values.reshape(2000, -1) - np.broadcast_to(levels, shape).reshape(2000, -1)
    half = stats.t.ppf(0.975, flat.shape[1] - 1) * stats.sem(flat, axis=1)
    assert (np.abs(flat.mean(axis=1)) <= half).mean() < 0.85


def test_holm_by_hand():
    p = pd.Series([0.01, np.nan, 0.04, 0.03])
    # 3 x 0.01; 2 x 0.03; then at least as large: 0.06
    assert holm(p) == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    assert np.isnan(holm(pd.Series([np.nan]))).all()
    many = np.random.default_rng(2).uniform(size=40) ** 2
    assert holm(pd.Series(many)) == pytest.approx(multipletests(many, method="holm")[1])


def test_pooled_sd_by_hand():
    sd, freedom = pooled_sd(pd.Series([1.0, 3.0, np.nan]), pd.Series([3, 2, 1]))
    assert (sd, freedom) == (pytest.approx(math.sqrt((2 * 1 + 9) / 3)), 3)
    assert pooled_sd(pd.Series([np.nan]), pd.Series([1]))[1] == 0
