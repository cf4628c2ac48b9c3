"""Metrics of sets of labels on resamples of the examples, and the best constant set."""

from collections.abc import Callable, Iterator

import numpy as np


def _f1_of_each(said: np.ndarray, gold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws, C); 0 for a label that nothing has and nothing is said to have."""
    hits, sides = weights @ (said & gold), weights @ said + weights @ gold
    return np.asarray(2 * hits / np.maximum(sides, 1))


def _macro_f1(said: np.ndarray, gold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(_f1_of_each(said, gold, weights).mean(axis=1))


def _weighted_f1(said: np.ndarray, gold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    counts = weights @ gold
    each = _f1_of_each(said, gold, weights)
    return np.asarray((each * counts).sum(axis=1) / np.maximum(counts.sum(axis=1), 1))


def _micro_f1(said: np.ndarray, gold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    hits = weights @ (said & gold).sum(axis=1)
    sides = weights @ (said.sum(axis=1) + gold.sum(axis=1))
    return np.asarray(2 * hits / np.maximum(sides, 1))


def _subset_accuracy(said: np.ndarray, gold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights @ (said == gold).all(axis=1) / weights.sum(axis=1))


# (said (n, C) bool, gold (n, C) bool, weights (draws, n)) -> (draws,): the metric on each resample.
SET_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "micro-f1": _micro_f1,
    "macro-f1": _macro_f1,
    "weighted-f1": _weighted_f1,
    "subset-accuracy": _subset_accuracy,
}


def constant_sets(gold: np.ndarray) -> Iterator[np.ndarray]:
    """The sets (C,) bool, one of which is the best constant answer to examples (n, C).

    The k labels that most examples have, for every k, and the set that most examples have. For
    each metric of the table alone one of them is the best set of all: micro-F1 with k labels is
    highest for the most frequent ones, macro- and weighted F1 for all labels, and subset accuracy
    for the most frequent set.
    """
    order = np.argsort(-gold.sum(axis=0), kind="stable")
    for count in range(gold.shape[1] + 1):
        yield np.isin(np.arange(gold.shape[1]), order[:count])
    found, counts = np.unique(gold, axis=0, return_counts=True)
    yield found[counts.argmax()]
