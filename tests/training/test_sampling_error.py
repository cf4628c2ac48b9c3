"""The standard error of a score, each metric's own, against samples drawn anew."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kd.axes.tasks import TASKS
from kd.training import evaluation, sampling_error
from kd.training.metrics import evaluate_metrics
from kd.training.predictions import Predictions
from kd.training.resampled import resampled_score
from kd.training.sampling_error import score_error


def classified(rng, n, right, positive=0.7):
    """(predictions, labels) of which about `right` agree."""
    labels = (rng.random(n) < positive).astype(int)
    return np.where(rng.random(n) < right, labels, 1 - labels), labels


def rated(rng, n, noise):
    labels = rng.uniform(0, 5, n)
    return (labels + rng.normal(0, noise, n)).astype(np.float32), labels.astype(np.float32)


def test_an_accuracy_has_the_binomial_error():
    predictions, labels = classified(np.random.default_rng(0), 277, 0.66)
    share = float((predictions == labels).mean())
    error = score_error(TASKS["rte"], predictions, labels)
    assert error == pytest.approx(math.sqrt(share * (1 - share) / 277), rel=0.06)


@pytest.mark.parametrize(
    ("task", "draw", "n"),
    [
        ("cola", lambda rng, n: classified(rng, n, 0.78), 1043),
        ("mrpc", lambda rng, n: classified(rng, n, 0.85), 408),
        ("stsb", lambda rng, n: rated(rng, n, 0.9), 1500),
    ],
)
@pytest.mark.slow
def test_every_metric_has_the_error_that_new_samples_show(task, draw, n):
    """The mean error that is stated for 12 samples, and the spread of the scores of 300."""
    rng = np.random.default_rng(1)
    spread = np.std([
        evaluate_metrics(TASKS[task], *draw(rng, n))["score"] for _ in range(300)
    ])  # fmt: skip
    stated = np.mean([score_error(TASKS[task], *draw(rng, n)) for _ in range(12)])
    assert stated == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize(
    "row",
    [TASKS["cola"], TASKS["mrpc"], TASKS["mnli"]]
    + [replace(TASKS["mnli"], metrics=(f"{kind}-f1",)) for kind in ("macro", "micro", "weighted")],
    ids=lambda row: "+".join(row.metrics),
)
def test_scores_of_counts_are_the_official_ones(row, monkeypatch):
    """With one resample that is the sample itself, the score is that of `evaluate_metrics`."""
    found = []
    monkeypatch.setattr(
        sampling_error, "_drawn", lambda n, share: [np.tile(np.round(share * n), (2, 1))]
    )
    monkeypatch.setattr(
        sampling_error,
        "resampled_score",
        lambda *given: found.append(resampled_score(*given)) or found[-1],
    )
    predictions, labels = classified(np.random.default_rng(2), 60, 0.8)
    if row.outputs == 3:
        labels[:9] = 2
    score_error(row, predictions, labels)
    assert found[0] == pytest.approx([evaluate_metrics(row, predictions, labels)["score"]] * 2)


def test_it_repeats_and_a_perfect_score_says_nothing():
    predictions, labels = classified(np.random.default_rng(3), 50, 0.8)
    once = score_error(TASKS["cola"], predictions, labels)
    assert once == score_error(TASKS["cola"], predictions, labels)
    assert math.isnan(score_error(TASKS["cola"], labels, labels))
    constant = np.zeros(9, dtype=np.float32)
    assert math.isnan(score_error(TASKS["stsb"], constant, np.arange(9, dtype=np.float32)))


def test_two_dev_splits_have_the_error_of_their_mean():
    """MNLI: the mean of two independent splits, each with its own error."""
    rng = np.random.default_rng(4)
    drawn = {name: classified(rng, n, 0.8) for name, n in (("dev", 400), ("dev_mismatched", 100))}
    row = TASKS["mnli"]

    def error(said):
        answers = {
            name: Predictions(np.arange(len(labels)), labels, np.eye(3, dtype="f")[said[name]])
            for name, (_, labels) in drawn.items()
        }
        return evaluation.scores(row, answers).get("score_se")

    first, second = (score_error(row, *pair) for pair in drawn.values())
    found = error({name: said for name, (said, _) in drawn.items()})
    assert found == pytest.approx(math.sqrt(first**2 + second**2) / 2)
    assert error({name: labels for name, (_, labels) in drawn.items()}) is None, "all are right"
