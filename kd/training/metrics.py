"""The metrics of the tasks, by scikit-learn and SciPy.

They are imported where they are used, because a training alone needs neither.
"""

import math
import warnings

import numpy as np

from kd.axes.kinds import LABELS, SCORES
from kd.axes.metrics import METRICS
from kd.axes.tasks import Task
from kd.runtime.errors import UserError, shown
from kd.training.label_sets import constant_sets
from kd.training.predictions import chosen_answers, gold_answers


def evaluate_metrics(task: Task, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of `task`, and `score`, their mean (as on the GLUE leaderboard).

    Args:
        task: what the metrics are of.
        predictions: answers as `predictions.chosen_answers` has them: (n,) class indices or
            scores, or (n, C) bool, the chosen labels of a multi-label task.
        labels: gold labels of the same kind.

    Correlations are computed in float64, because predictions may differ only in their last digits.
    The correlation of a constant prediction is undefined and counts as 0.
    """

    # Imports are where they are needed, because these two packages take a second to load.
    def correlation(name: str) -> float:
        from scipy import stats

        function = getattr(stats, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant input: handled as 0 below
            exact = (predictions.astype(np.float64), labels.astype(np.float64))
            value = float(function(*exact).statistic)
        return value if value == value else 0.0

    def f1(average: str) -> float:
        from sklearn.metrics import f1_score

        if average == "binary":
            return float(f1_score(labels, predictions, zero_division=0.0))
        every = range(task.outputs)  # also those that this split lacks
        found = f1_score(labels, predictions, labels=every, average=average, zero_division=0.0)
        return float(found)

    def matthews() -> float:
        from sklearn.metrics import matthews_corrcoef

        return float(matthews_corrcoef(labels, predictions))

    functions = {
        "accuracy": lambda: float((labels == predictions).mean()),
        "subset-accuracy": lambda: float((labels == predictions).all(axis=1).mean()),
        "f1": lambda: f1("binary"),
        "macro-f1": lambda: f1("macro"),
        "micro-f1": lambda: f1("micro"),
        "weighted-f1": lambda: f1("weighted"),
        "matthews": matthews,
        "pearson": lambda: correlation("pearsonr"),
        "spearman": lambda: correlation("spearmanr"),
    }
    values = {
        name: functions[name]() if name in functions else plugin_metric(name, predictions, labels)
        for name in task.metrics
    }
    # What is not defined, as a correlation with constant answers, counts as 0.
    values = {name: 0.0 if math.isnan(value) else value for name, value in values.items()}
    return {"score": sum(values.values()) / len(values), **values}


def plugin_metric(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    """A metric of a plugin; arguments as in `evaluate_metrics`. NaN where it is not defined.

    Raises:
        UserError: it is no number, or infinite.
    """
    function = METRICS[name].function
    assert function is not None, f"metric {name} has no function"
    value = function(predictions, labels)
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or math.isinf(value):
        raise UserError(f"metric {name}: its function gave {shown(value)}, allowed: a number")
    return float(value)


def other_metrics(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics of `task` that are no part of its score; one that is not defined is left out.

    Args:
        task: what the metrics are of.
        logits: (n, C), or (n, 1) scores for a regression.
        labels: (n,) gold labels, or (n, C) of 0 and 1.
    """
    found = {}
    for name in task.others:
        if METRICS[name].function:
            value = plugin_metric(name, chosen_answers(task, logits), gold_answers(task, labels))
        elif name == "auc":
            value = _auc(task, logits.astype(np.float64), labels)
        else:
            off = logits[:, 0].astype(np.float64) - labels
            value = float(np.mean(off**2 if name == "mse" else abs(off)))
        if value == value:
            found[name] = value
    return found


def _auc(task: Task, logits: np.ndarray, labels: np.ndarray) -> float:
    """Of two classes that of the second; else the mean over the labels that some examples have and
    some lack. NaN where there is none."""
    from scipy.special import softmax
    from sklearn.metrics import roc_auc_score

    if task.kind is LABELS:  # the order of the probabilities is that of the logits
        shares, has = logits, labels > 0
    else:
        shares, has = softmax(logits, axis=-1), labels[:, None] == np.arange(task.outputs)
    chosen = [1] if task.kind is not LABELS and task.outputs == 2 else range(task.outputs)
    parts = [
        roc_auc_score(has[:, label], shares[:, label])
        for label in chosen
        if 0 < has[:, label].mean() < 1
    ]
    return float(np.mean(parts)) if parts else float("nan")


def constant_score(task: Task, labels: np.ndarray) -> float:
    """Score on these labels of the best constant answer: the floor that a model must beat.

    Of a multi-label task it is a set of labels, of those of `label_sets.constant_sets`.
    """
    gold = np.asarray(labels)
    if task.kind is SCORES:
        if not any(METRICS[name].function for name in task.metrics):
            return 0.0  # of a correlation
        middles = (gold.mean(), np.median(gold))
        return max(evaluate_metrics(task, np.full_like(gold, m), gold)["score"] for m in middles)
    if task.kind is LABELS:
        gold = gold > 0
        return max(
            evaluate_metrics(task, np.broadcast_to(answer, gold.shape), gold)["score"]
            for answer in constant_sets(gold)
        )
    return max(
        evaluate_metrics(task, np.full_like(gold, answer), gold)["score"]
        for answer in range(len(task.labels))
    )
