"""The metrics of tasks: their kind, their bounds, and whether they may be part of the score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.axes.kinds import CLASSES, LABELS, SCORES, Kind


@dataclass(frozen=True)
class Metric:
    """One metric, for tasks of these `kinds`; `labels` is how many they must have, if that counts.

    The score of a task is the mean of metrics, of which more is better. Those that are no part of
    it (`scored` is False) are columns of their own: errors, of which less is better, and the AUC,
    which needs more than the answers.

    In a multi-label task the answer to an example is the set of labels whose probability is above
    0.5, that is, whose logit is above 0.

    `function` is that of a plugin's metric. It takes predictions and labels, both as
    `training.predictions.chosen_answers` has them, and returns a number.
    """

    kinds: tuple[Kind, ...]
    unit: str  # its bounds, as columns have them
    meaning: str
    scored: bool = True
    labels: int | None = None
    function: Callable[[Any, Any], float] | None = None
    source: str = ""

    def fits(self, labels: int) -> bool:
        """Whether a task of its kinds with so many labels can have it."""
        return self.labels is None or self.labels == labels


SHARE, CORRELATION = "fraction, 0 to 1", "−1 to 1"
_ANY = (CLASSES, LABELS)
METRICS = {
    "accuracy": Metric((CLASSES,), SHARE, "share of right answers"),
    "f1": Metric((CLASSES,), SHARE, "F1 of the second label, the positive one", labels=2),
    "macro-f1": Metric(_ANY, SHARE, "mean of the F1 of each label"),
    "micro-f1": Metric(
        _ANY, SHARE, "F1 of all answers together; with one label an example, the accuracy"
    ),
    "weighted-f1": Metric(_ANY, SHARE, "mean of the F1 of each label, weighted by its examples"),
    "subset-accuracy": Metric((LABELS,), SHARE, "share of examples whose labels are all right"),
    "matthews": Metric((CLASSES,), CORRELATION, "Matthews' correlation"),
    "pearson": Metric((SCORES,), CORRELATION, "Pearson's correlation; 0 for a constant prediction"),
    "spearman": Metric(
        (SCORES,), CORRELATION, "Spearman's correlation; 0 for a constant prediction"
    ),
    "auc": Metric(
        _ANY,
        SHARE,
        "area under the ROC curve; for several labels, the mean of each against all others",
        scored=False,
    ),
    "mse": Metric((SCORES,), "", "mean squared error", scored=False),
    "mae": Metric((SCORES,), "", "mean absolute error", scored=False),
}
DEFAULTS = {CLASSES: ("accuracy",), SCORES: ("pearson", "spearman"), LABELS: ("micro-f1",)}


def column_of(metric: str, split: str = "dev") -> str:
    """The key of a metric, or of `score`, in records.

    It is `macro_f1`, for example, or `macro_f1@hard` for a further dev split called `hard`.
    """
    name = metric.replace("-", "_")
    return name if split == "dev" else f"{name}@{split}"
