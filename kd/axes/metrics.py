"""The metrics of tasks: their kind, their bounds, and whether they may be part of the score."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric. `kind` is what it judges: `classes`, `two classes` or `scores` of a regression.

    The score of a task is the mean of metrics, of which more is better. Those that are no part of
    it (`scored` is False) are columns of their own: errors, of which less is better, and the AUC,
    which needs more than the answers.
    """

    kind: str
    unit: str  # its bounds, as columns have them
    meaning: str
    scored: bool = True

    def fits(self, classes: int) -> bool:
        """Whether a task of so many classes (1: a regression) can have it."""
        return {"classes": classes > 1, "two classes": classes == 2}.get(self.kind, classes == 1)


SHARE, CORRELATION = "fraction, 0 to 1", "−1 to 1"
METRICS = {
    "accuracy": Metric("classes", SHARE, "share of right answers"),
    "f1": Metric("two classes", SHARE, "F1 of the second label, the positive one"),
    "macro-f1": Metric("classes", SHARE, "mean of the F1 of each label"),
    "micro-f1": Metric(
        "classes", SHARE, "F1 of all answers together; with one label an example, the accuracy"
    ),
    "weighted-f1": Metric(
        "classes", SHARE, "mean of the F1 of each label, weighted by its examples"
    ),
    "matthews": Metric("classes", CORRELATION, "Matthews' correlation"),
    "pearson": Metric("scores", CORRELATION, "Pearson's correlation; 0 for a constant prediction"),
    "spearman": Metric(
        "scores", CORRELATION, "Spearman's correlation; 0 for a constant prediction"
    ),
    "auc": Metric(
        "classes",
        SHARE,
        "area under the ROC curve; of several labels the mean, each against all others",
        scored=False,
    ),
    "mse": Metric("scores", "", "mean squared error", scored=False),
    "mae": Metric("scores", "", "mean absolute error", scored=False),
}
DEFAULTS = {"classes": ("accuracy",), "scores": ("pearson", "spearman")}


def column_of(metric: str, split: str = "dev") -> str:
    """The key of a metric, or of `score`, in records.

    It is `macro_f1`, for example, or `macro_f1@hard` for a further dev split called `hard`.
    """
    name = metric.replace("-", "_")
    return name if split == "dev" else f"{name}@{split}"
