"""Metrics of resamples against the official ones, on each resample by itself."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from kd.training.resampled import resampled_score


def _f1(labels, values, average):
    every = range(max(CLASSES) if max(labels.max(), values.max()) > 1 else 2)
    return f1_score(labels, values, labels=every, average=average, zero_division=0.0)


CLASSES = [2, 4]
OFFICIAL = {
    "accuracy": accuracy_score,
    "f1": f1_score,
    "macro-f1": lambda x, y: _f1(x, y, "macro"),
    "micro-f1": lambda x, y: _f1(x, y, "micro"),
    "weighted-f1": lambda x, y: _f1(x, y, "weighted"),
    "matthews": matthews_corrcoef,
    "pearson": lambda x, y: pearsonr(x, y).statistic,
    "spearman": lambda x, y: spearmanr(x, y).statistic,
}


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("classes", CLASSES)
def test_metrics_of_resamples_are_the_official_ones(name, classes):
    """Also of more than two classes, and of scores with ties."""
    if name == "f1" and classes > 2:
        pytest.skip("F1 is of the class 1 of two")
    rng = np.random.default_rng(classes)
    values, labels = rng.integers(0, classes, (2, 40))
    draws = rng.multinomial(40, np.full(40, 1 / 40), 5)
    found = resampled_score([name], classes, values, labels, draws.astype(float))
    for weights, value in zip(draws, found, strict=True):
        rows = np.repeat(np.arange(40), weights)
        assert value == pytest.approx(OFFICIAL[name](labels[rows], values[rows]))


@pytest.mark.parametrize("name", ["f1", "matthews", "pearson", "spearman"])
def test_a_constant_answer_scores_0(name):
    found = resampled_score([name], 2, np.zeros(9), np.arange(9) % 2, np.ones((1, 9)))
    assert found.tolist() == [0.0]


def test_macro_f1_counts_classes_that_only_other_runs_chose():
    """Of three classes the dev split has two. One run chooses the third once, the other never."""
    labels = np.array([0, 1, 0, 1])
    never, once = np.array([0, 1, 0, 1]), np.array([0, 1, 0, 2])
    found = [
        resampled_score(["macro-f1"], 3, said, labels, np.ones((1, 4))) for said in (never, once)
    ]
    assert np.concatenate(found) == pytest.approx([2 / 3, (1 + 2 / 3) / 3])
