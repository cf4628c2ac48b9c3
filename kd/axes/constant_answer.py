"""The best constant answer: the floor that a student and a teacher must be above."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from kd.axes.kinds import SCORES, Kind
from kd.axes.tasks import Task


def standard_error(metrics: Collection[str], constant: float, examples: float) -> float:
    """Standard error on so many examples of the score of a constant, or random, answer.

    That of a share of right answers; of a correlation (also Matthews') it is 1 / √n at 0. 0 where
    the number of examples is unknown.
    """
    if not examples or math.isnan(examples) or math.isnan(constant):
        return 0.0
    correlations = {"matthews", "pearson", "spearman"}
    if correlations & set(metrics):
        return 1 / math.sqrt(examples)
    return math.sqrt(max(0.0, constant * (1 - constant)) / examples)


def teacher_warning(task: Task, record: Mapping[str, Any]) -> str:
    """What is wrong with a teacher, and what to check; '' if nothing is wrong.

    Args:
        task: the task it was evaluated on.
        record: `score` and `majority_score` (fractions), for a regression `r2`, and `finetuned`,
            whether it came fine-tuned. What an older record lacks is not judged.
    """
    score, floor = record.get("score"), record.get("majority_score")
    if score is not None and floor is not None and score <= floor:
        place = "below" if score < floor else "no more than"
        return (
            f"it scores {100 * score:.1f} on {task.title}, {place} the best constant answer "
            f"({100 * floor:.1f}); {_check(record, task.kind)}"
        )
    if record.get("r2", 0) < 0:
        return (
            f"its squared error on {task.title} is above that of the mean score as constant answer "
            f"(R^2 {record['r2']:.2f}); check that its outputs are on the scale of the labels"
        )
    return ""


def _check(record: Mapping[str, Any], kind: Kind) -> str:
    if not record.get("finetuned"):
        return "check its learning rate and epochs"
    order = "" if kind is SCORES else "the order of its labels (the key labels states it), "
    return f"check {order}that it was fine-tuned on this task, and its tokenizer"


def is_unusable(record: Mapping[str, Any]) -> bool:
    """Whether it is worse than the constant answer: reversed labels, another task or scale."""
    return bool(record["score"] < record["majority_score"] or record.get("r2", 0) < 0)
