"""The official metrics of the tasks, by scikit-learn and SciPy.

Both are imported where they are used, because a training that is not evaluated needs neither.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kd.axes.tasks import Task


def evaluate_metrics(task: Task, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The official metrics of `task`, and `score`, their mean (as on the GLUE leaderboard).

    Args:
        task: a row of TASKS.
        predictions: (n,) class indices, or scores for a regression.
        labels: (n,) gold labels of the same kind.

    Correlations are computed in float64: predictions may differ in their last digits alone. Those
    of a constant prediction are undefined; they count as 0.
    """
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    def correlation(function: Callable[..., Any]) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant input: handled as 0 below
            exact = (predictions.astype(np.float64), labels.astype(np.float64))
            value = float(function(*exact).statistic)
        return value if value == value else 0.0

    functions = {
        "accuracy": lambda: float(accuracy_score(labels, predictions)),
        "f1": lambda: float(f1_score(labels, predictions, zero_division=0.0)),
        "matthews": lambda: float(matthews_corrcoef(labels, predictions)),
        "pearson": lambda: correlation(pearsonr),
        "spearman": lambda: correlation(spearmanr),
    }
    values = {name: functions[name]() for name in task.metrics}
    return {"score": sum(values.values()) / len(values), **values}


def constant_score(task: Task, labels: Sequence[float]) -> float:
    """Score on these labels of the best constant answer: the floor that a model must beat."""
    gold = np.asarray(labels)
    if task.regression:
        return 0.0
    return max(
        evaluate_metrics(task, np.full_like(gold, answer), gold)["score"]
        for answer in range(len(task.labels))
    )
