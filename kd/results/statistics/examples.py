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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student_t

DRAWS = 1000
_SEED = 0
_LEVEL = 0.975  # of each side


@dataclass(frozen=True)
class Answers:
    """What several runs answered on one dev split: `labels` (n,), `values` by run, each (n,):
    class indices, or scores for a regression."""

    labels: np.ndarray
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A difference of scores (fractions) with its 95 % interval; NaN where it is unknown."""

    difference: float
    low: float
    high: float
    seeds: int
    examples: int
    over_seeds: float  # standard error, the part of the seeds
    over_examples: float  # and that of the examples


def difference_interval(
    splits: Sequence[Answers], pairs: Sequence[tuple[str, str]], metrics: Sequence[str]
) -> Interval:
    """The mean over seeds of the score of a cell minus that of another, which shares the examples.

    Args:
        splits: the dev splits of the task; the score is the mean over them.
        pairs: (run, run it is compared with) by seed, each of the same seed.
        metrics: of the task; the score is their mean.
    """
    scores = np.mean([_scores(split, pairs, metrics) for split in splits], axis=0)
    found, resampled = scores[:, 0], scores[:, 1:]  # (pairs,), (pairs, draws)
    seeds = len(pairs)
    examples = sum(len(split.labels) for split in splits)
    mean = float(found.mean())
    of_mean = float(resampled.mean(axis=0).var(ddof=1))
    if seeds < 2:
        nan = math.nan
        return Interval(mean, nan, nan, seeds, examples, nan, math.sqrt(of_mean))
    of_one = float(resampled.var(axis=1, ddof=1).mean())
    over_seeds = float(found.var(ddof=1)) / seeds
    # of_one = e + s, of_mean = e + s / seeds: s is what examples add to each seed for itself.
    shared = max(0.0, of_one - of_mean) / (seeds - 1)
    over_examples = max(0.0, of_mean - shared)
    half = math.hypot(
        student_t.ppf(_LEVEL, seeds - 1) * math.sqrt(over_seeds),
        student_t.ppf(_LEVEL, examples - 1) * math.sqrt(over_examples),
    )
    return Interval(
        mean,
        mean - half,
        mean + half,
        seeds,
        examples,
        math.sqrt(over_seeds),
        math.sqrt(over_examples),
    )


def _scores(split: Answers, pairs: Sequence[tuple[str, str]], metrics: Sequence[str]) -> np.ndarray:
    """(pairs, 1 + draws) differences of the score: on the split itself, and on its resamples."""
    count = len(split.labels)
    draws = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), DRAWS)
    weights = np.vstack([np.ones((1, count), dtype=np.int64), draws]).astype(np.float64)
    runs = list(dict.fromkeys(run for pair in pairs for run in pair))
    score = {
        run: sum(_METRICS[name](split.values[run], split.labels, weights) for name in metrics)
        / len(metrics)
        for run in runs
    }
    return np.array([score[a] - score[b] for a, b in pairs])


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The ratio, 0 where the bottom is 0, as the official metrics have it."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _accuracy(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ (values == labels) / weights.sum(axis=1)


def _f1(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of class 1."""
    hits = weights @ ((values == 1) & (labels == 1))
    return _ratio(2 * hits, weights @ ((values == 1) * 1.0 + (labels == 1)))


def _matthews(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    classes = np.union1d(values, labels)
    total = weights.sum(axis=1)
    given = weights @ (values[:, None] == classes)  # (draws, C)
    true = weights @ (labels[:, None] == classes)
    top = (weights @ (values == labels)) * total - (given * true).sum(axis=1)
    spread = (total**2 - (given**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    return _ratio(top, np.sqrt(np.maximum(spread, 0)))


def _pearson(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    x, y = values.astype(np.float64), labels.astype(np.float64)
    return _correlation(x[None], y[None], weights)


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of rows of weighted values; x and y are (1, n) or (draws, n)."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    return _ratio((weights * x * y).sum(axis=1), np.sqrt(spread))


def _spearman(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _correlation(_ranks(values, weights), _ranks(labels, weights), weights)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws, n) ranks in each resample, those of equal values their mean."""
    group = rankdata(values, method="dense").astype(int) - 1
    counts = np.zeros((len(weights), group.max() + 1))
    for column, place in enumerate(group):
        counts[:, place] += weights[:, column]
    before = counts.cumsum(axis=1) - counts
    ranks: np.ndarray = (before + (counts + 1) / 2)[:, group]
    return ranks


def _f1_of_each(
    values: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(draws, C) F1 of each label up to the highest one here, and how many examples have it."""
    classes = np.arange(max(values.max(), labels.max()) + 1)
    given, true = values[:, None] == classes, labels[:, None] == classes
    gold = weights @ true
    return _ratio(2 * (weights @ (given & true)), weights @ given + gold), gold


def _weighted_f1(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    each, gold = _f1_of_each(values, labels, weights)
    return (each * gold).sum(axis=1) / weights.sum(axis=1)


def _macro_f1(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over labels; the last ones of a task count where an example or answer has one."""
    return _f1_of_each(values, labels, weights)[0].mean(axis=1)


_METRICS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro-f1": _macro_f1,
    "micro-f1": _accuracy,
    "weighted-f1": _weighted_f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}
