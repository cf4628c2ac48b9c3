"""The standard error of a score because the dev split is a sample: bootstrap over its examples."""

from collections.abc import Iterator

import numpy as np

from kd.axes.kinds import CLASSES, LABELS
from kd.axes.metrics import METRICS
from kd.axes.tasks import Task
from kd.training.resampled import resampled_score

_RESAMPLES = 1000
_BATCH = 50  # resamples in memory at once


def score_error(task: Task, predictions: np.ndarray, labels: np.ndarray) -> float:
    """Standard error of the task's score, in its unit, over resamples of the examples.

    Examples are drawn with replacement from those that were scored, by a fixed generator.

    Args:
        task: its metrics make up the score.
        predictions: (n,) class indices or scores, or (n, C) bool, the labels of a multi-label task.
        labels: gold labels of the same kind.

    Returns:
        The standard deviation over resamples; NaN if it is 0 (all answers are right), because then
        it does not estimate the error.
    """
    values, gold = np.asarray(predictions), np.asarray(labels)
    share = np.full(len(gold), 1 / len(gold))
    own = not any(METRICS[name].function for name in task.metrics)
    if own and task.kind is CLASSES:  # only the counts of each (label, answer) matter
        pairs, counts = np.unique(np.stack([gold, values]), axis=1, return_counts=True)
        (gold, values), share = pairs, counts / len(gold)
    if own and task.kind in (CLASSES, LABELS):
        weights = _drawn(len(labels), share)
    else:
        weights = _drawn_one_by_one(len(labels))
    scores = [resampled_score(task.metrics, task.outputs, values, gold, each) for each in weights]
    error = float(np.std(np.concatenate(scores), ddof=1))
    return error if error > 1e-12 else float("nan")


def _drawn(count: int, share: np.ndarray) -> Iterator[np.ndarray]:
    """How often each row is among `count` drawn examples, where a row has this share of them."""
    rng = np.random.default_rng(0)
    for _ in range(_RESAMPLES // _BATCH):
        yield rng.multinomial(count, share, size=_BATCH).astype(np.float64)


def _drawn_one_by_one(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(_RESAMPLES // _BATCH):
        rows = rng.integers(0, count, size=(_BATCH, count))
        yield np.stack([np.bincount(row, minlength=count) for row in rows]).astype(np.float64)
