"""The standard error of a score because the dev split is a sample: bootstrap over its examples."""

import numpy as np

from kd.axes.kinds import CLASSES, LABELS, SCORES
from kd.axes.metrics import METRICS
from kd.axes.tasks import Task
from kd.training.label_sets import SET_METRICS
from kd.training.metrics import evaluate_metrics

_RESAMPLES = 1000
_BATCH = 50  # resamples of scores or sets of labels in memory at once


def score_error(task: Task, predictions: np.ndarray, labels: np.ndarray) -> float:
    """Standard error of the task's score, in its unit, over resamples of the examples.

    Examples are drawn with replacement from those that were scored, by a fixed generator. For
    classes only the counts of each (label, prediction) matter, so counts are drawn.

    Args:
        task: its metrics make up the score.
        predictions: (n,) class indices or scores, or (n, C) bool, the labels of a multi-label task.
        labels: gold labels of the same kind.

    Returns:
        The standard deviation over resamples; NaN if it is 0 (all answers are right), because then
        it does not estimate the error.
    """
    rng = np.random.default_rng(0)
    sides = np.asarray(predictions), np.asarray(labels)
    plugins = any(METRICS[name].function for name in task.metrics)
    scores = _of_a_plugin if plugins else _RESAMPLED[task.kind]
    error = float(np.std(scores(task, *sides, rng), ddof=1))
    return error if error > 1e-12 else float("nan")


def _scores_of_counts(
    task: Task, predictions: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Scores of resamples, from the table of labels by predictions."""
    pairs, places = np.unique(np.stack([labels, predictions]), axis=1, return_inverse=True)
    share = np.bincount(places.ravel()) / len(labels)
    drawn = rng.multinomial(len(labels), share, size=_RESAMPLES)
    classes = max(2, task.outputs, int(pairs.max()) + 1)
    table = np.zeros((_RESAMPLES, classes, classes))
    table[:, pairs[0].astype(int), pairs[1].astype(int)] = drawn
    parts = [_OF_COUNTS[name](table) for name in task.metrics]
    return np.asarray(np.mean(parts, axis=0))


def _of_a_plugin(
    task: Task, predictions: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Scores of resamples, one by one: nothing is known of a plugin's metric."""
    rows = (rng.integers(0, len(labels), len(labels)) for _ in range(_RESAMPLES))
    return np.array([evaluate_metrics(task, predictions[r], labels[r])["score"] for r in rows])


def _accuracy(table: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(table, axis1=1, axis2=2) / table.sum(axis=(1, 2)))


def _f1(table: np.ndarray) -> np.ndarray:
    """F1 of class 1; 0 if neither a label nor a prediction is of class 1."""
    sides = table[:, 1].sum(axis=1) + table[:, :, 1].sum(axis=1)
    return np.asarray(2 * table[:, 1, 1] / np.maximum(sides, 1))


def _matthews(table: np.ndarray) -> np.ndarray:
    """Gorodkin's R_K, which is Matthews' correlation for two classes; 0 for a constant answer."""
    gold, said, total = table.sum(axis=2), table.sum(axis=1), table.sum(axis=(1, 2))
    together = np.trace(table, axis1=1, axis2=2) * total - (gold * said).sum(axis=1)
    square = (total**2 - (said**2).sum(axis=1)) * (total**2 - (gold**2).sum(axis=1))
    return np.where(square > 0, together / np.sqrt(np.maximum(square, 1)), 0.0)


def _f1_of_each(table: np.ndarray) -> np.ndarray:
    """(draws, C); 0 for a label that nothing has and nothing is said to have."""
    sides = table.sum(axis=1) + table.sum(axis=2)
    return np.asarray(2 * np.diagonal(table, axis1=1, axis2=2) / np.maximum(sides, 1))


def _macro_f1(table: np.ndarray) -> np.ndarray:
    return np.asarray(_f1_of_each(table).mean(axis=1))


def _weighted_f1(table: np.ndarray) -> np.ndarray:
    gold = table.sum(axis=2)
    return np.asarray((_f1_of_each(table) * gold).sum(axis=1) / gold.sum(axis=1))


_OF_COUNTS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "macro-f1": _macro_f1,
    "micro-f1": _accuracy,
    "weighted-f1": _weighted_f1,
    "matthews": _matthews,
}


def _correlations(
    task: Task, predictions: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    found = []
    for _ in range(_RESAMPLES // _BATCH):
        rows = rng.integers(0, len(labels), size=(_BATCH, len(labels)))
        sides = predictions[rows].astype(np.float64), labels[rows].astype(np.float64)
        by_metric = {"pearson": _pearson, "spearman": _spearman}
        found.append(np.mean([by_metric[name](*sides) for name in task.metrics], axis=0))
    return np.concatenate(found)


def _scores_of_sets(
    task: Task, predictions: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    count, found = len(labels), []
    for _ in range(_RESAMPLES // _BATCH):
        weights = rng.multinomial(count, np.full(count, 1 / count), size=_BATCH)
        parts = [SET_METRICS[name](predictions, labels, weights) for name in task.metrics]
        found.append(np.mean(parts, axis=0))
    return np.concatenate(found)


_RESAMPLED = {CLASSES: _scores_of_counts, SCORES: _correlations, LABELS: _scores_of_sets}


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation of each row of `x` with that of `y`; 0 where one is constant."""
    x, y = (side - side.mean(axis=1, keepdims=True) for side in (x, y))
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(size > 0, (x * y).sum(axis=1) / np.where(size > 0, size, 1), 0.0)


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata  # not for the trainings that import this too

    return _pearson(rankdata(x, axis=1), rankdata(y, axis=1))
