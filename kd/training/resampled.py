"""Metrics of many resamples of a dev split at once.

A resample is a row of weights: how often each example is drawn. All metrics take `values` and
`labels` (n,), or (n, C) bool of a multi-label task, and `weights` (draws, n), and return (draws,).
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from kd.axes.metrics import METRICS
from kd.training.label_sets import SET_METRICS
from kd.training.metrics import plugin_metric

_Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def resampled_score(
    metrics: Sequence[str],
    classes: int,
    values: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """(draws,) The mean of the metrics, as `evaluate_metrics` has it, on each resample.

    Args:
        metrics: of the task's score.
        classes: of the task. Macro-F1 is the mean over them, also over those that are absent here.
        values: answers, as `predictions.chosen_answers` has them.
        labels: gold labels of the same kind.
        weights: how often each resample has each example.
    """
    table = _of_classes_or_scores(classes) if values.ndim == 1 else SET_METRICS
    parts = [
        (partial(_plugin, name) if METRICS[name].function else table[name])(values, labels, weights)
        for name in metrics
    ]
    return np.asarray(np.mean(parts, axis=0))


def _of_classes_or_scores(classes: int) -> dict[str, _Metric]:
    return {
        "accuracy": _accuracy,
        "f1": _f1,
        "macro-f1": partial(_macro_f1, classes),
        "micro-f1": _accuracy,
        "weighted-f1": _weighted_f1,
        "matthews": _matthews,
        "pearson": _pearson,
        "spearman": _spearman,
    }


def _plugin(name: str, values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A metric of a plugin, one resample after the other: nothing is known of it."""
    found = [
        plugin_metric(name, np.repeat(values, times, axis=0), np.repeat(labels, times, axis=0))
        for times in weights.astype(int)
    ]
    return np.nan_to_num(found)


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
    """Gorodkin's R_K, which is Matthews' correlation for two classes; 0 for a constant answer."""
    _, given, gold = _counts(values, labels, weights)
    total = weights.sum(axis=1)
    top = (weights @ (values == labels)) * total - (given * gold).sum(axis=1)
    spread = (total**2 - (given**2).sum(axis=1)) * (total**2 - (gold**2).sum(axis=1))
    return _ratio(top, np.sqrt(np.maximum(spread, 0)))


def _f1_of_each(
    values: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(draws, C) F1 of each class that is there, and how many examples have it."""
    hits, given, gold = _counts(values, labels, weights)
    return _ratio(2 * hits, given + gold), gold


def _counts(
    values: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(draws, C) for the classes that are there: right answers, answers, and labels."""
    classes = np.union1d(values, labels)
    said, true = values[:, None] == classes, labels[:, None] == classes
    return weights @ (said & true), weights @ said, weights @ true


def _macro_f1(
    classes: int, values: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    return np.asarray(_f1_of_each(values, labels, weights)[0].sum(axis=1) / classes)


def _weighted_f1(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    each, gold = _f1_of_each(values, labels, weights)
    return np.asarray((each * gold).sum(axis=1) / weights.sum(axis=1))


def _pearson(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    x, y = values.astype(np.float64), labels.astype(np.float64)
    x, y = x - x.mean(), y - y.mean()  # far from 0, the sums of squares would lose digits
    total = weights.sum(axis=1)
    mean_x, mean_y, xx, yy, xy = (weights @ np.stack([x, y, x * x, y * y, x * y], axis=1)).T / total
    spread = (xx - mean_x**2) * (yy - mean_y**2)
    return _ratio(xy - mean_x * mean_y, np.sqrt(np.maximum(spread, 0)))


def _spearman(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _correlation(_ranks(values, weights), _ranks(labels, weights), weights)


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of values that differ by resample; all are (draws, n)."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    return _ratio((weights * x * y).sum(axis=1), np.sqrt(spread))


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws, n) ranks in each resample, those of equal values their mean."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    before = counts.cumsum(axis=1) - counts
    ranks: np.ndarray = (before + (counts + 1) / 2)[:, group]
    return ranks
