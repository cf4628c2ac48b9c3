"""Intervals and corrections against hand-worked numbers, and how often they hold in simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from kd.results.statistics import intervals
from kd.results.statistics.intervals import (
    _cluster_variance,
    _layout,
    _shared,
    bootstrap,
    holm,
    pooled_sd,
    rounded,
    seed_means,
)


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


def test_one_seed_that_is_twice_in_a_block_has_no_interval():
    """Two values that are one run give a block the same seed twice."""
    twice = frame([[0.6, 0.7]]).assign(seed="1")
    row = seed_means(twice, ["key"], "value").iloc[0]
    assert row["mean"] == pytest.approx(0.65) and np.isnan(row["low"])


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


def test_the_bootstrap_of_the_same_runs_is_the_same_to_the_bit():
    values = np.random.default_rng(3).normal(size=(4, 7))
    table = seed_means(frame(values), ["key"], "value")
    first, again = (bootstrap(table["mean"], table["spread"]) for _ in range(2))
    assert (first == again).all() and (first[:, 0] < first[:, 1]).all()


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


DISJOINT = [[2 * i, 2 * i + 1] for i in range(6)]
LAYOUTS = {  # by task, by block, its seeds
    "complete": [[[1, 2, 3]] * 3],
    "other seeds in each of two blocks": [[[1, 2, 3], [4, 5, 6]]],
    "other seeds in each of four blocks": [DISJOINT[:4]],
    "other seeds in each of six blocks": [DISJOINT],
    "one run lost in each block": [[[1, 2], [2, 3], [1, 3]]],
    "one run lost": [[[1, 2, 3]] * 5 + [[1, 2]]],
    "a seed that one block alone has": [[[1, 2, 3], [1, 2, 3], [1, 2, 3, 7]]],
    "two sets of seeds": [[[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]]],
    "one seed in one of two blocks": [[[1, 2, 3, 4, 5], [1]]],
    "one seed in two of three blocks": [[[1, 2, 3, 4, 5], [1], [1]]],
    "three seeds and two": [[[1, 2, 3], [1, 2]]],
    "three seeds, two and one": [[[1, 2, 3], [1, 2], [1]]],
    "a chain of three": [[[1, 2], [2, 3], [3, 4]]],
    "a chain of five": [[[1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]],
    "a ring": [[[1, 2], [2, 3], [3, 4], [4, 5], [1, 5]]],
    "two ragged tasks": [[[1, 2], [2, 3], [1, 3]], [[1, 2, 3], [1, 2]]],
    "tasks of 3 and 1 seeds": [[[1, 2, 3]], [[1]]],
    "tasks of 5 and 1 seeds": [[[1, 2, 3, 4, 5]], [[1]]],
    "tasks of 10 and 1 seeds": [[list(range(10))], [[1]]],
    "gaps in one of two tasks": [[[1, 2], [1, 2, 3], [2, 3]], [[1, 2, 3]]],
}


def simulated(layout, shared, count=500):
    """Noise of variance 1 in this layout, `count` times; runs of a seed share part of it."""
    runs = [
        (task, f"{task} {block}", seed)
        for task, blocks in enumerate(layout)
        for block, seeds in enumerate(blocks)
        for seed in seeds
    ]
    frame = pd.DataFrame(runs, columns=["stratum", "block", "seed"])
    unit = frame.groupby(["stratum", "seed"]).ngroup().to_numpy()
    rng = np.random.default_rng(11)
    values = np.sqrt(shared) * rng.normal(size=(count, unit.max() + 1))[:, unit]
    values += np.sqrt(1 - shared) * rng.normal(size=(count, len(frame)))
    many = pd.concat([frame] * count, ignore_index=True)
    return many.assign(key=np.repeat(np.arange(count), len(frame)), value=values.ravel())


@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.slow
def test_intervals_hold_whichever_seeds_each_block_has(layout, shared):
    """95 ± 2 %, and 2.5 standard errors of a share of 400 simulations at either end."""
    table = seed_means(simulated(LAYOUTS[layout], shared, 400), ["key"], "value")
    error = np.sqrt(0.95 * 0.05 / 400)
    assert 0.93 - 2.5 * error <= covered(table) <= 0.97 + 2.5 * np.sqrt(0.97 * 0.03 / 400)


def test_seeds_that_differ_between_blocks_are_a_two_sample_mean():
    """Each block is a sample of its own: SE² = (s₁²/3 + s₂²/3) / 4, with 4 degrees of freedom."""
    first, second = [1.0, 2.0, 4.0], [5.0, 5.5, 9.0]
    table = pd.DataFrame({"key": 0, "stratum": 0, "block": [0] * 3 + [1] * 3,
                          "seed": range(6), "value": first + second})  # fmt: skip
    row = seed_means(table, ["key"], "value").iloc[0]
    squares = (np.var(first, ddof=1) + np.var(second, ddof=1)) / 2
    half = stats.t.ppf(0.975, 4) * math.sqrt(2 * squares / 3 / 4)
    assert row.high - row["mean"] == pytest.approx(half)
    assert (row.seeds, row.sd) == (6, pytest.approx(math.sqrt(squares)))


def test_a_task_of_one_seed_borrows_the_spread_of_the_others():
    """Four seeds and one: SE² = (s²/4 + s²) / 4 over both tasks, with 3 degrees of freedom."""
    table = pd.DataFrame({"key": 0, "stratum": [0, 0, 0, 0, 1], "block": [0, 0, 0, 0, 1],
                          "seed": [1, 2, 3, 4, 1], "value": [1.0, 2.0, 4.0, 5.0, 8.0]})  # fmt: skip
    row = seed_means(table, ["key"], "value").iloc[0]
    assert row["mean"] == pytest.approx((3 + 8) / 2)
    half = stats.t.ppf(0.975, 3) * math.sqrt(np.var([1, 2, 4, 5], ddof=1) * (1 / 4 + 1) / 4)
    assert row.high - row["mean"] == pytest.approx(half)


def test_a_task_of_one_seed_borrows_the_pooled_spread_of_two_others():
    """Seeds 3, 2 and 1: the lone one has the variance (2 s₁² + 1 s₂²) / 3."""
    values = [[1.0, 2.0, 6.0], [3.0, 4.0], [8.0]]
    rows = [(0, t, t, s, v) for t, seeds in enumerate(values) for s, v in enumerate(seeds)]
    table = pd.DataFrame(rows, columns=["key", "stratum", "block", "seed", "value"])
    row = seed_means(table, ["key"], "value").iloc[0]
    first, second = np.var(values[0], ddof=1), np.var(values[1], ddof=1)
    parts = np.array([first * (1 / 3 + 2 / 3), second * (1 / 2 + 1 / 3)])
    half = stats.t.ppf(0.975, parts.sum() ** 2 / (parts**2 / [2, 1]).sum())
    assert row.high - row["mean"] == pytest.approx(half * math.sqrt(parts.sum()) / 3)


RAGGED = [[[1, 2, 3], [1, 2]], [[1, 2, 3], [1, 2, 4, 5]], [[1, 2], [2, 3], [1, 3]]]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("blocks", RAGGED)
def test_the_variance_of_ragged_seeds_is_unbiased_at_the_share_it_is_scaled_for(
    blocks, share, monkeypatch
):
    """Exact expectations: of a quadratic form under L Lᵀ, the sum of its values at L's columns."""
    runs = [(b, seed) for b, seeds in enumerate(blocks) for seed in seeds]
    block, seed = (pd.factorize(pd.Series(side))[0] for side in zip(*runs, strict=True))
    centre = np.eye(len(runs)) - (block[:, None] == block) / np.bincount(block)[block]
    mean = 1 / np.bincount(block)[block] / len(blocks)
    spread = np.hstack(
        [np.sqrt(1 - share) * np.eye(len(runs)), np.sqrt(share) * np.eye(seed.max() + 1)[seed]]
    )
    monkeypatch.setattr(intervals, "_shared", lambda *_: share)
    expected = sum(_cluster_variance(centre @ y, block, seed)[0] for y in spread.T)
    assert expected == pytest.approx(((mean @ spread) ** 2).sum())


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_that_runs_of_a_seed_have_in_common_is_estimated(share):
    """From 1,000 blocks of a chain; one of two blocks of a single seed says nothing of it."""
    rng = np.random.default_rng(3)
    block = np.repeat(np.arange(1000), 3)
    seed = block + np.tile(np.arange(3), 1000)
    value = np.sqrt(share) * rng.normal(size=1002)[seed]
    value += np.sqrt(1 - share) * rng.normal(size=3000)
    rest = value - np.repeat(value.reshape(-1, 3).mean(axis=1), 3)
    assert _shared(rest, block, seed, _layout(block, seed)) == pytest.approx(share, abs=0.08)
    block, seed, rest = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, -1.0, 0.0])
    assert _shared(rest, block, seed, _layout(block, seed)) == 0.5


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


def test_equal_scores_are_equal_whatever_their_sums_left():
    """0.1 + 0.2 and 0.3 are one score; 1e-6 apart, one example of a million, are two."""
    found = rounded(pd.Series([(0.1 + 0.2) / 2, 0.15, 0.150001, np.nan]))
    assert found[0] == found[1] < found[2] and math.isnan(found[3])
