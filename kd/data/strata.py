"""Strata of examples: what a part of a split has the same share of as the whole."""

import numpy as np

from kd.axes.kinds import LABELS, SCORES, Kind
from kd.data.slice_share import STRATA

_FEW = 10  # a set of labels that fewer examples have is no stratum of its own


def strata_of(labels: np.ndarray, kind: Kind) -> np.ndarray:
    """(n,) the number of each example's stratum.

    Classes: the label. Scores: the tenth of the examples by score. Labels (n, C) of 0 and 1: the
    set of labels where 10 examples or more have it, else the rarest label of the set, among the
    others that are without such a stratum.
    """
    if kind is LABELS:
        return _of_sets(labels > 0)
    if kind is not SCORES:
        return labels
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    return ranks * STRATA // len(labels)


def _of_sets(gold: np.ndarray) -> np.ndarray:
    sets, places, counts = np.unique(gold, axis=0, return_inverse=True, return_counts=True)
    examples = gold.sum(axis=0)
    order = np.argsort(examples, kind="stable")  # of the labels, the rarest first
    rarest = [next((int(label) for label in order if row[label]), -1) for row in sets]
    rare = counts < _FEW
    stratum = np.where(rare, len(sets) + 1 + np.array(rarest), np.arange(len(sets)))
    return np.asarray(stratum[places.ravel()])


def systematic_share(strata: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(round(share * n),) numbers of examples, drawn so that each stratum has its share of them,
    but for less than one example: from a random start on every 1/share-th of the examples, which
    are sorted by stratum and in random order within one."""
    count = len(strata)
    wanted = round(share * count)
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    order = order[np.argsort(strata[order], kind="stable")]
    steps = (np.arange(count + 1) * wanted + rng.integers(count)) // count
    return np.sort(order[np.diff(steps) > 0])
