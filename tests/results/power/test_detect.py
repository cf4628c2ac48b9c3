"""Power: against statsmodels, by simulation with the project's own test, and its inversions."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from kd.results.power import detect
from kd.results.power.detect import MOST, Design, needed, never, power, smallest
from kd.results.statistics.intervals import seed_means

ONE = Design((1.0,), 0.05)
THREE = Design((0.5, 1.0, 2.0), 0.05)


@pytest.mark.parametrize("seeds", [2, 3, 5, 30, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 66])
def test_on_one_task_it_is_the_power_of_the_paired_t_test(seeds, alpha):
    for gap in (0.0, 0.1, 1.0, 3.0):
        known = TTestPower().power(gap, seeds, alpha)
        if not np.isnan(known):  # where its tail that is 0 is unknown to scipy
            assert power(Design((2.0,), alpha), seeds, 2 * gap) == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_integral_by_numbers_is_the_noncentral_t_distribution(seeds):
    half, error = detect._half_widths(ONE, seeds)
    for gap in (0.5, 1.0, 4.0):
        found = float(stats.norm.sf((half - gap) / error).mean())
        found += float(stats.norm.cdf((-gap - half) / error).mean())
        assert found == pytest.approx(power(ONE, seeds, gap), abs=2e-4)


def rejections(design, seeds, difference, studies, start=0):
    """The share of simulated studies in which `seed_means` finds the difference at its level."""
    rng = np.random.default_rng(start)
    tasks = len(design.spread)
    shape = (studies, tasks, seeds)
    values = difference + rng.normal(size=shape) * np.array(design.spread)[:, None]
    study, task, seed = np.indices(shape).reshape(3, -1)
    frame = pd.DataFrame({"study": study, "stratum": task, "block": task, "seed": seed,
                          "difference": values.ravel()})  # fmt: skip
    return float((seed_means(frame, ["study"], "difference")["p"] < design.alpha).mean())


def checked(design, seeds, difference, studies):
    expected = power(design, seeds, difference)
    error = np.sqrt(expected * (1 - expected) / studies)
    assert rejections(design, seeds, difference, studies) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize(
    ("design", "seeds", "difference"),
    [(ONE, 3, 3.0), (Design((1.0,), 0.05 / 6), 5, 2.0), (THREE, 3, 1.5), (THREE, 3, 0.0)],
)
def test_the_projects_own_test_finds_a_difference_as_often_as_predicted(design, seeds, difference):
    checked(design, seeds, difference, 1500)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("family", [1, 10])
@pytest.mark.parametrize("spread", [(1.0,), (1.0, 1.0), (0.2, 1.0, 3.0), (1.0,) * 8])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_same_in_many_designs(spread, family, seeds, share):
    design = Design(spread, 0.05 / family)
    checked(design, seeds, share * smallest(design, seeds), 4000)


def test_with_examples_it_is_the_power_of_the_interval_over_seeds_and_examples():
    design, seeds, studies = Design((1.0,), 0.05, 0.8, 277), 4, 200_000
    rng = np.random.default_rng(1)
    split = rng.normal(0, design.examples, studies)[:, None]
    values = 2.5 + split + rng.normal(size=(studies, seeds))
    alone = stats.t.ppf(0.975, seeds - 1) * values.std(axis=1, ddof=1) / np.sqrt(seeds)
    half = np.hypot(alone, stats.t.ppf(0.975, 276) * design.examples)
    found = (np.abs(values.mean(axis=1)) > half).mean()
    assert power(design, seeds, 2.5) == pytest.approx(found, abs=0.005)


@pytest.mark.parametrize("design", [ONE, THREE, Design((1.0, 2.0), 0.01, 0.3, 500)])
def test_smallest_and_needed_are_where_the_power_reaches_80_percent(design):
    gap = smallest(design, 7)
    assert power(design, 7, gap) == pytest.approx(0.8, abs=1e-4)
    assert needed(design, 1.001 * gap) == 7
    assert needed(design, 0.99 * gap) > 7
    assert smallest(design, 1) is None


def test_no_number_of_seeds_finds_what_the_examples_hide():
    design = Design((1.0,), 0.05, 1.9, 277)
    floor = never(design)
    assert floor == pytest.approx((1.9686 + 0.8416) * 1.9, rel=1e-3)
    assert needed(design, 0.99 * floor) is None
    assert power(design, 10 * MOST, floor) == pytest.approx(0.8, abs=0.005)
    assert smallest(design, 1000) > floor
    assert never(ONE) == 0


def test_more_seeds_than_anyone_has():
    assert needed(ONE, 1e-3) is None
    assert needed(ONE, 0.1) == pytest.approx((2.8 / 0.1) ** 2, rel=0.01)
