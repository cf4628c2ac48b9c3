"""Intervals over seeds and examples: exact cases, and coverage by simulation."""

import numpy as np
import pytest
from scipy.stats import t as student_t

from kd.results.statistics import examples
from kd.results.statistics.examples import Answers, difference_interval, resampled_scores


def answers(right, labels):
    """{run: which of its answers are right} as the answers on one split of two classes."""
    values = {run: np.where(ok, labels, 1 - labels) for run, ok in right.items()}
    return [Answers(labels, values, 2)]


def interval_of(splits, pairs, metrics):
    """Of pairs (run, the one run it is compared with)."""
    scores = resampled_scores(splits, metrics)
    count = sum(len(split.labels) for split in splits)
    return difference_interval(scores, [(a, (b,)) for a, b in pairs], count)


def test_runs_that_answer_alike_differ_by_exactly_nothing():
    labels = np.arange(30) % 2
    right = {run: np.arange(30) > 5 for run in ("a1", "b1", "a2", "b2")}
    found = interval_of(answers(right, labels), [("a1", "b1"), ("a2", "b2")], ["accuracy", "f1"])
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert np.isnan([found.seeds_low, found.seeds_high]).all(), "equal seeds measure no spread"


def test_the_part_of_the_examples_is_that_of_the_binomial():
    """Both seeds answer alike: 20 of 100 examples are right for a alone, 0 for b alone."""
    labels = np.arange(100) % 2
    a, b = np.arange(100) < 80, np.arange(100) < 60
    right = {"a1": a, "a2": a, "b1": b, "b2": b}
    found = interval_of(answers(right, labels), [("a1", "b1"), ("a2", "b2")], ["accuracy"])
    assert found.difference == pytest.approx(0.2) and found.over_seeds == 0
    assert found.over_examples == pytest.approx(np.sqrt(0.2 * 0.8 / 100), rel=0.1)
    assert found.high - found.difference == pytest.approx(
        student_t.ppf(0.975, 99) * found.over_examples
    )


def test_the_interval_over_seeds_is_the_t_interval_of_the_differences():
    """Differences of 0.1, 0.2 and 0.3 by seed: their mean, less and plus t · 0.1 / √3."""
    labels = np.arange(40) % 2
    right = {f"b{seed}": np.arange(40) < 20 for seed in "123"}
    right |= {f"a{seed}": np.arange(40) < 20 + 4 * int(seed) for seed in "123"}
    pairs = [(f"a{seed}", f"b{seed}") for seed in "123"]
    found = interval_of(answers(right, labels), pairs, ["accuracy"])
    half = student_t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found.seeds_low, found.seeds_high) == pytest.approx((0.2 - half, 0.2 + half))
    assert found.low < found.seeds_low and found.seeds_high < found.high


def test_of_several_controls_the_mean_counts():
    labels = np.arange(20) % 2
    right = {"a": np.arange(20) < 15, "b": np.arange(20) < 10, "c": np.arange(20) < 6}
    scores = resampled_scores(answers(right, labels), ["accuracy"])
    found = difference_interval(scores, [("a", ("b", "c"))], 20)
    assert found.difference == pytest.approx(0.75 - (0.5 + 0.3) / 2)


def test_blocks_of_draws_change_no_number(monkeypatch):
    """Of two splits of one size, whose draws differ."""
    labels = np.arange(50) % 2
    split = answers({"a": np.arange(50) < 30}, labels)[0]
    whole = resampled_scores([split, split], ["accuracy"])["a"]
    monkeypatch.setattr(examples, "_BLOCK", 50 * 7)
    assert (resampled_scores([split, split], ["accuracy"])["a"] == whole).all()
    alone = resampled_scores([split], ["accuracy"])["a"]
    assert whole[1:].std() == pytest.approx(alone[1:].std() / np.sqrt(2), rel=0.1)


def test_one_seed_has_no_interval():
    labels = np.arange(10) % 2
    right = {"a": np.ones(10, bool), "b": np.arange(10) < 5}
    found = interval_of(answers(right, labels), [("a", "b")], ["accuracy"])
    assert found.difference == 0.5 and np.isnan([found.low, found.high]).all()


def simulated(rng, seeds, count, spread):
    """Two cells; the first is better by 0.4 of a standard normal latent, an example more than
    another. `spread` is that of a seed."""
    labels = rng.integers(0, 2, count)
    hard, liked = rng.normal(size=count), rng.normal(0, 0.4, count)
    right, pairs = {}, []
    for seed in range(seeds):
        for cell, gain in (("a", 0.4 + liked), ("b", 0.0)):
            noise = rng.normal(0, spread) + rng.normal(0, 0.1, count)
            right[f"{cell}{seed}"] = 0.5 + hard + gain + noise > 0
        pairs.append((f"a{seed}", f"b{seed}"))
    return interval_of(answers(right, labels), pairs, ["accuracy"])


@pytest.mark.parametrize(("spread", "seeds"), [(0.01, 3), (0.01, 5), (0.2, 3), (0.2, 5)])
def test_coverage_of_both_and_of_the_seeds_alone(spread, seeds, monkeypatch):
    """Where seeds agree, the interval over seeds misses the truth far too often; this one does
    not. The truth is that of very many examples and seeds."""
    monkeypatch.setattr(examples, "DRAWS", 150)
    rng = np.random.default_rng(seeds)
    total = 2_000_000
    latent = 0.5 + rng.normal(size=total) + rng.normal(0, np.hypot(0.1, spread), total)
    truth = (latent + 0.4 + rng.normal(0, 0.4, total) > 0).mean() - (latent > 0).mean()
    found = [simulated(rng, seeds, 250, spread) for _ in range(200)]
    both = np.mean([one.low <= truth <= one.high for one in found])
    reach = student_t.ppf(0.975, seeds - 1)
    alone = np.mean([abs(one.difference - truth) <= reach * one.over_seeds for one in found])
    assert both >= 0.905, "95 % less three standard errors of 200 draws"
    if spread < 0.1:
        assert alone < 0.9
