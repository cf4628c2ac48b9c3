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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student_t

from kd.axes.metrics import METRICS as TASK_METRICS
from kd.training.label_sets import SET_METRICS

DRAWS = 1000
_SEED = 0
_LEVEL = 0.975  # of each side
_BLOCK = 4_000_000  # weights at once, 32 MB
# (values, labels, weights) -> (draws,)
_Scores = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
_EQUAL = 1e-12  # equal to the last digit: no measure of the spread


@dataclass(frozen=True)
class Answers:
    """What several runs answered on one dev split: `labels` (n,), `values` by run, each (n,):
    class indices, or scores for a regression; of a multi-label task each (n, C) bool."""

    labels: np.ndarray
    values: Mapping[str, np.ndarray]


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
        splits: the dev splits of one task, with the same runs; the score is the mean over them.
        metrics: of the task; the score is their mean.
    """
    by_run: dict[str, list[np.ndarray]] = {}
    for place, split in enumerate(splits):
        count = len(split.labels)
        rng = np.random.default_rng([_SEED, place])
        for weights in _weights(rng, count):
            for run, values in split.values.items():
                table = _METRICS if values.ndim == 1 else SET_METRICS
                each = [_metric(name, table)(values, split.labels, weights) for name in metrics]
                by_run.setdefault(run, []).append(np.mean(each, axis=0))
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
    x, y = x - x.mean(), y - y.mean()  # far from 0, the sums of squares would lose digits
    total = weights.sum(axis=1)
    mean_x, mean_y, xx, yy, xy = (weights @ np.stack([x, y, x * x, y * y, x * y], axis=1)).T / total
    spread = (xx - mean_x**2) * (yy - mean_y**2)
    return _ratio(xy - mean_x * mean_y, np.sqrt(np.maximum(spread, 0)))


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of values that differ by resample; all are (draws, n)."""
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


def _metric(name: str, table: Mapping[str, _Scores]) -> _Scores:
    """A metric of the table, or of a plugin."""
    row = TASK_METRICS.get(name)
    function = row.function if row else None
    if function is None:
        return table[name]

    def repeated(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        counts = weights.astype(int)
        return np.array(
            [function(np.repeat(values, n, axis=0), np.repeat(labels, n, axis=0)) for n in counts]
        )

    return repeated


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
