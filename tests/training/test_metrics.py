"""The official metrics on examples that can be worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from kd.axes.kinds import SCORES
from kd.axes.tasks import TASKS
from kd.training.label_sets import SET_METRICS
from kd.training.metrics import constant_score, evaluate_metrics, other_metrics
from kd.training.sampling_error import score_error

GLUE = [name for name, row in TASKS.items() if not row.synthetic]


def metrics(task: str, predictions: list, labels: list) -> dict[str, float]:
    return evaluate_metrics(TASKS[task], np.array(predictions), np.array(labels))


def test_cola_is_scored_by_matthews():
    # 3 true positives, 2 true negatives, 1 false positive, 2 false negatives
    found = metrics("cola", [1, 1, 1, 0, 0, 1, 0, 0], [1, 1, 1, 0, 0, 0, 1, 1])
    wanted = (3 * 2 - 1 * 2) / math.sqrt((3 + 1) * (3 + 2) * (2 + 1) * (2 + 2))
    assert found == pytest.approx({"score": wanted, "matthews": wanted})


@pytest.mark.parametrize("task", ["mrpc", "qqp"])
def test_paraphrases_are_scored_by_the_mean_of_accuracy_and_f1(task):
    # 2 true positives, 1 true negative, 1 false positive, 1 false negative
    found = metrics(task, [1, 1, 0, 1, 0], [1, 1, 0, 0, 1])
    accuracy, f1 = 3 / 5, 2 * 2 / (2 * 2 + 1 + 1)
    wanted = {"score": (accuracy + f1) / 2, "accuracy": accuracy, "f1": f1}
    assert found == pytest.approx(wanted), f"{task}: not the leaderboard's mean"


def test_f1_is_that_of_the_label_1():
    assert metrics("mrpc", [0, 0, 0], [0, 0, 1])["f1"] == 0
    assert metrics("mrpc", [1, 1, 0], [1, 1, 1])["f1"] == pytest.approx(0.8)


def test_stsb_is_scored_by_the_mean_of_the_correlations():
    labels, predictions = [0.0, 1.0, 2.0, 5.0], [0.0, 1.0, 4.0, 3.0]
    # deviations: labels -2 -1 0 3, predictions -2 -1 2 1
    pearson = (4 + 1 + 0 + 3) / math.sqrt(14 * 10)
    spearman = 1 - 6 * (0 + 0 + 1 + 1) / (4 * (16 - 1))
    found = metrics("stsb", predictions, labels)
    wanted = {"score": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 3e-7])
def test_correlations_are_computed_in_float64(spread):
    """The predictions of a student that has hardly learnt differ in their last digits."""
    random = np.random.default_rng(0)
    labels = random.uniform(0, 5, 300).astype(np.float32)
    noise = random.normal(size=300)
    predictions = (0.5 + spread * (labels + noise)).astype(np.float32)
    x, y = (values.astype(np.float64) for values in (predictions, labels))
    x, y = x - x.mean(), y - y.mean()
    wanted = (x @ y) / math.sqrt((x @ x) * (y @ y))
    found = evaluate_metrics(TASKS["stsb"], predictions, labels)
    assert found["pearson"] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("task", ["sst2", "qnli", "rte", "wnli", "mnli"])
def test_the_rest_is_scored_by_accuracy(task):
    assert TASKS[task].metrics == ("accuracy",)
    assert metrics(task, [0, 1, 1, 0], [0, 1, 0, 0]) == {"score": 0.75, "accuracy": 0.75}


def test_three_classes():
    assert metrics("mnli", [0, 1, 2, 2], [0, 1, 2, 0])["accuracy"] == 0.75


@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize("task", GLUE)
def test_a_constant_prediction_has_a_finite_score(task, answer):
    row = TASKS[task]
    labels = [0.5, 3.0, 4.0] if row.kind is SCORES else [0, 1, 1]
    found = metrics(task, [float(answer) if row.kind is SCORES else answer] * 3, labels)
    assert all(math.isfinite(v) for v in found.values()), f"{task}: {found}"
    for name in ("matthews", "pearson", "spearman"):
        assert found.get(name, 0) == 0, f"{task}: a constant has a correlation of {found[name]}"


@pytest.mark.parametrize("task", GLUE)
def test_a_perfect_prediction_scores_one(task):
    row = TASKS[task]
    labels = [0.5, 3.0, 4.0] if row.kind is SCORES else [0, 1, 1, 0]
    found = metrics(task, labels, labels)
    assert found == pytest.approx(dict.fromkeys(("score", *row.metrics), 1.0))


def test_constant_score_of_mrpc_is_the_known_one():
    labels = [1] * 279 + [0] * 129
    found = constant_score(TASKS["mrpc"], labels)
    accuracy, f1 = 279 / 408, 2 * 279 / (2 * 279 + 129)
    assert (round(100 * accuracy, 1), round(100 * f1, 1)) == (68.4, 81.2)
    assert found == pytest.approx((accuracy + f1) / 2)


def test_constant_score_takes_the_best_answer():
    assert constant_score(TASKS["rte"], [0] * 3 + [1] * 7) == 0.7
    assert constant_score(TASKS["mnli"], [2, 2, 1, 0]) == 0.5
    assert constant_score(TASKS["cola"], [1, 1, 0]) == 0
    assert constant_score(TASKS["stsb"], [0.0, 2.5, 5.0]) == 0


def test_f1_of_several_labels_counts_those_that_the_split_lacks():
    row = replace(TASKS["mnli"], metrics=("macro-f1", "weighted-f1", "micro-f1"))
    found = evaluate_metrics(row, np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    first, second = 2 * 2 / (2 * 2 + 1), 2 * 1 / (2 * 1 + 1)  # the third label: 0
    assert found["macro-f1"] == pytest.approx((first + second) / 3)
    assert found["weighted-f1"] == pytest.approx((3 * first + second) / 4)
    assert found["micro-f1"] == 0.75


def test_metrics_that_are_no_part_of_the_score():
    row = replace(TASKS["stsb"], others=("mse", "mae"))
    logits, labels = np.array([[1.0], [2.0], [5.0]]), np.array([1.0, 4.0, 4.0])
    assert other_metrics(row, logits, labels) == pytest.approx({"mse": 5 / 3, "mae": 1})
    assert set(evaluate_metrics(row, logits[:, 0], labels)) == {"score", "pearson", "spearman"}


def test_the_area_under_the_curve():
    """The share of pairs of a positive and a negative example that are in the right order."""
    row = replace(TASKS["rte"], others=("auc",))
    logits = np.array([[0, 3.0], [0, 1.0], [0, 2.0], [0, -1.0]])
    assert other_metrics(row, logits, np.array([1, 1, 0, 0]))["auc"] == 0.75
    assert other_metrics(row, logits, np.array([1, 1, 1, 1])) == {}  # not defined
    three = replace(TASKS["mnli"], others=("auc",))
    assert other_metrics(three, np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0]))["auc"] == 1


SETS = replace(
    TASKS["mnli"],
    multi=True,
    metrics=("micro-f1", "macro-f1", "weighted-f1", "subset-accuracy"),
    others=("auc",),
)
GOLD = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=bool)
SAID = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=bool)


def test_metrics_of_sets_by_hand():
    """Hits: 2, 1, 0 of the labels; said 2, 1, 1; right 2, 2, 0."""
    found = evaluate_metrics(SETS, SAID, GOLD)
    each = (2 * 2 / 4, 2 * 1 / 3, 0.0)
    assert found["micro-f1"] == pytest.approx(2 * 3 / (4 + 4))
    assert found["macro-f1"] == pytest.approx(sum(each) / 3)
    assert found["weighted-f1"] == pytest.approx((2 * each[0] + 2 * each[1]) / 4)
    assert found["subset-accuracy"] == 0.5
    logits = np.where(SAID, 1.0, -1.0) + np.array([0, 0, 5.0])  # the order of a label alone counts
    assert other_metrics(SETS, logits, GOLD)["auc"] == pytest.approx((1 + 0.75) / 2)
    for name, function in SET_METRICS.items():
        assert function(SAID, GOLD, np.ones((1, 4)))[0] == pytest.approx(found[name])
        doubled = function(SAID, GOLD, np.array([[2, 0, 1, 1]]))[0]
        rows = [0, 0, 2, 3]
        again = evaluate_metrics(replace(SETS, metrics=(name,)), SAID[rows], GOLD[rows])
        assert doubled == pytest.approx(again["score"])


@pytest.mark.parametrize("name", SET_METRICS)
def test_no_constant_set_is_better(name):
    """Of all 16 sets of four labels."""
    row = replace(TASKS["mnli"], multi=True, labels=tuple("abcd"), metrics=(name,))
    gold = np.random.default_rng(4).random((30, 4)) < [0.7, 0.4, 0.2, 0.1]
    every = [[bool(i >> j & 1) for j in range(4)] for i in range(16)]
    best = max(
        evaluate_metrics(row, np.broadcast_to(np.array(s), gold.shape), gold)["score"]
        for s in every
    )
    assert constant_score(row, gold) == pytest.approx(best)


def test_the_error_of_a_score_of_sets_is_the_spread_of_other_samples():
    rng = np.random.default_rng(0)
    row = replace(SETS, metrics=("micro-f1",))

    def sample():
        gold = rng.random((200, 3)) < [0.5, 0.3, 0.1]
        return gold ^ (rng.random((200, 3)) < 0.1), gold

    scores = [evaluate_metrics(row, *sample())["score"] for _ in range(200)]
    assert score_error(row, *sample()) == pytest.approx(np.std(scores), rel=0.3)
