"""Limits of what scores can show: models at the constant answer, few seeds, small dev splits."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kd.axes.constant_answer import standard_error
from kd.results.statistics.runs import metrics_of, studied


@dataclass(frozen=True)
class Floor:
    """A task on which no student or teacher is clearly above the constant answer; in points.

    `best` is the highest mean of a cell, or the score of `teacher`; `error` is the standard error
    of the constant answer's score on the dev split.
    """

    task: str
    best: float
    majority: float
    error: float
    teacher: str = ""


def students_at_floor(frame: pd.DataFrame) -> list[Floor]:
    """Tasks on which no cell is two standard errors of the dev split above the constant answer."""
    floors = []
    names = [*studied(frame), "task"]
    for task, group in frame[frame["score"].notna()].groupby("task", sort=False):
        best = group.groupby(names, sort=False)["score"].mean().max()
        floors += _floor(str(task), best, group)
    return floors


def above_floor(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs without the tasks of `students_at_floor`, which show nothing. All runs, if no other
    task has a score."""
    left = frame[~frame["task"].isin([floor.task for floor in students_at_floor(frame)])]
    return left if left["score"].notna().any() else frame


def teachers_at_floor(frame: pd.DataFrame) -> list[Floor]:
    """Teachers that are not two standard errors above the constant answer, by task."""
    runs = frame[frame["score"].notna() & frame["teacher_score"].notna()]
    return [
        floor
        for (task, teacher), group in runs.groupby(["task", "teacher"], sort=False)
        for floor in _floor(str(task), group["teacher_score"].mean(), group, str(teacher))
    ]


def _floor(task: str, best: float, group: pd.DataFrame, teacher: str = "") -> list[Floor]:
    majority, examples = group["majority_score"].mean(), group["examples_eval"].median()
    error = standard_error(metrics_of(task, group), majority, examples)
    if not best <= majority + 2 * error:
        return []
    return [Floor(task, 100 * best, 100 * majority, 100 * error, teacher)]


def above_teacher(frame: pd.DataFrame) -> list[tuple[str, int, int]]:
    """(task, cells whose mean is above their teacher's score, cells) where there are any."""
    rows = []
    runs = frame[frame["score"].notna() & frame["teacher_score"].notna()]
    runs = runs[runs["knowledge"] != "none"]
    names = [*studied(frame), "task"]
    for task, group in runs.groupby("task", sort=False):
        cells = group.groupby(names, sort=False)[["score", "teacher_score"]].mean()
        above = int((cells["score"] > cells["teacher_score"]).sum())
        if above:
            rows.append((str(task), above, len(cells)))
    return rows


def seeds_done(frame: pd.DataFrame) -> int:
    """The number of seeds with a score."""
    return int(frame.loc[frame["score"].notna(), "seed"].nunique())


def dev_errors(frame: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """(standard error in points, examples) by task: the sampling error of a score on its dev split.

    Of a record from before runs measured it (`score_se`) only for tasks whose score is an accuracy:
    that of other metrics is not known from the score.
    """
    known = frame.dropna(subset=["score", "examples_eval"])
    errors = {}
    for task, group in known.groupby("task", sort=False):
        error = group["score_se"].median() if "score_se" in group else np.nan
        if pd.isna(error) and metrics_of(str(task), group) in (("accuracy",), ("micro-f1",)):
            square = group["score"] * (1 - group["score"]) / group["examples_eval"]
            error = np.sqrt(max(0.0, square.median()))
        if error > 0:  # where all answers are right, they say nothing of the error
            errors[str(task)] = (100 * float(error), int(group["examples_eval"].median()))
    return errors


def average_error(frame: pd.DataFrame) -> float:
    """Standard error, in points, of a mean over the study's tasks; NaN where one is not known."""
    errors, tasks = dev_errors(frame), frame["task"].nunique()
    if len(errors) < tasks or not tasks:
        return float("nan")
    return float(np.sqrt(sum(error**2 for error, _ in errors.values())) / tasks)
