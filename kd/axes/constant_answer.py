"""The constant answer as the floor of a score: who is above it, given the size of the dev split."""

import math

from kd.axes.tasks import TASKS


def standard_error(task: str, constant: float, examples: float) -> float:
    """Standard error on so many examples of the score of a constant, or random, answer.

    That of a share of right answers; of a correlation (also Matthews') it is 1 / √n at 0. 0 where
    the number of examples is unknown.
    """
    if not examples or math.isnan(examples) or math.isnan(constant):
        return 0.0
    correlations = {"matthews", "pearson", "spearman"}
    if task in TASKS and correlations & set(TASKS[task].metrics):
        return 1 / math.sqrt(examples)
    return math.sqrt(max(0.0, constant * (1 - constant)) / examples)


def at_floor(task: str, score: float, constant: float, examples: float) -> bool:
    """Whether a score is less than two standard errors above the constant answer's."""
    return score <= constant + 2 * standard_error(task, constant, examples)
