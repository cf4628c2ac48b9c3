"""Differences between cells with the uncertainty over seeds and dev examples together.

The interval over seeds (`cells`) says how far another training on the same dev split may come out;
the one here how far another training on another dev split of this size may. Its variance has two
parts: over seeds, from the spread of the differences by seed, and over examples, by bootstrap, both
cells answering the same examples. The part that both contain is subtracted once (the interaction
in a crossed design: Owen 2007, "The pigeonhole bootstrap"). The half width is the root of the sum
of both parts' squared half widths, each with its own degrees of freedom: with three seeds a common
number of degrees of freedom (Satterthwaite) makes intervals that are too narrow.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from kd.training.resampled import resampled_score

DRAWS = 1000
_SEED = 0
_LEVEL = 0.975  # of each side
_BLOCK = 4_000_000  # weights at once, 32 MB
_EQUAL = 1e-12  # equal to the last digit: no measure of the spread


@dataclass(frozen=True)
class Answers:
    """What several runs answered on one dev split: `labels` (n,), `values` by run, each (n,):
    class indices, or scores for a regression; of a multi-label task each (n, C) bool. `classes` is
    their number in the task, which may be more than this split has."""

    labels: np.ndarray
    values: Mapping[str, np.ndarray]
    classes: int


@dataclass(frozen=True)
class Interval:
    """A difference of scores (fractions) with two 95 % intervals; NaN where one is unknown.

    `low`, `high`: over seeds and examples. `seeds_low`, `seeds_high`: over seeds alone, the t
    interval of the differences by seed; unknown where these are equal.
    """

    difference: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float
    seeds: int
    over_seeds: float  # standard error, the part of the seeds
    over_examples: float  # and that of the examples


def resampled_scores(splits: Sequence[Answers], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """By run (1 + DRAWS,): its score on the dev splits, then on resamples of their examples.

    The draws are the same for all runs, so that differences of two runs are paired by example.

    Args:
        splits: the scored dev splits of one task, with the same runs; the score is the mean over
            them.
        metrics: of the task; the score is their mean.
    """
    by_run: dict[str, list[np.ndarray]] = {}
    for place, split in enumerate(splits):
        count = len(split.labels)
        rng = np.random.default_rng([_SEED, place])
        for weights in _weights(rng, count):
            for run, values in split.values.items():
                scores = resampled_score(metrics, split.classes, values, split.labels, weights)
                by_run.setdefault(run, []).append(scores)
    return {
        run: np.concatenate(parts).reshape(len(splits), -1).mean(axis=0)
        for run, parts in by_run.items()
    }


def _weights(rng: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """How often each of `count` examples is drawn, (some draws, count): once each, then DRAWS times
    at random, in blocks that fit into memory."""
    yield np.ones((1, count))
    size = max(1, _BLOCK // count)
    for start in range(0, DRAWS, size):
        draws = min(size, DRAWS - start)
        yield rng.multinomial(count, np.full(count, 1 / count), draws).astype(np.float64)


def difference_interval(
    scores: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, Sequence[str]]], examples: int
) -> Interval:
    """The mean over seeds of the score of a cell minus that of another.

    Args:
        scores: of `resampled_scores`.
        pairs: (run, runs it is compared with) by seed; the mean of several counts.
        examples: in all splits of the task.
    """
    gaps = np.array([scores[run] - np.mean([scores[o] for o in others], axis=0)
                     for run, others in pairs])  # fmt: skip
    return difference_of(gaps, examples)


def difference_of(gaps: np.ndarray, examples: int) -> Interval:
    """`difference_interval` of (seeds, 1 + DRAWS) differences: on the dev splits, then on draws."""
    actual, resampled = gaps[:, 0], gaps[:, 1:]  # (pairs,), (pairs, draws)
    seeds = len(gaps)
    mean = float(actual.mean())
    of_mean = float(resampled.mean(axis=0).var(ddof=1))
    if seeds < 2:
        nan = math.nan
        return Interval(mean, nan, nan, nan, nan, seeds, nan, math.sqrt(of_mean))
    of_one = float(resampled.var(axis=1, ddof=1).mean())
    over_seeds = math.sqrt(float(actual.var(ddof=1)) / seeds)
    # of_one = e + s, of_mean = e + s / seeds: s is what examples add to each seed for itself.
    shared = max(0.0, of_one - of_mean) / (seeds - 1)
    over_examples = math.sqrt(max(0.0, of_mean - shared))
    alone = float(student_t.ppf(_LEVEL, seeds - 1)) * over_seeds
    half = math.hypot(alone, float(student_t.ppf(_LEVEL, examples - 1)) * over_examples)
    if over_seeds < _EQUAL:
        alone = math.nan
    return Interval(
        mean, mean - half, mean + half, mean - alone, mean + alone, seeds, over_seeds,
        over_examples,
    )  # fmt: skip
