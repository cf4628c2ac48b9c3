"""Which knowledge makes the student most like its teacher, and whether it also scores best."""

from dataclasses import dataclass, replace

import pandas as pd

from kd.results.advice.judge import contrasts_of, judge_values, leader_of, turned
from kd.results.advice.soundness import above_floor, students_at_floor
from kd.results.advice.verdict import Advice, Contrast
from kd.results.statistics.effects import contrasts
from kd.results.statistics.runs import AVERAGE, studied

QUESTION = (
    "Which knowledge makes the student most like its teacher, and is that also the best score?"
)


@dataclass(frozen=True)
class Likeness:
    """The values of `knowledge`, judged by agreement with the teacher and by score, on the same
    runs. All numbers are in points: agreement is in percent of the dev examples, of a regression
    the correlation × 100."""

    agreement: Advice  # judged by agreement; its contrasts are of agreement
    best_score: str  # the value with the highest mean score
    scores: tuple[Contrast, ...]  # of `best_score`, less each other value

    @property
    def most_alike(self) -> str:
        """The value with the highest mean agreement."""
        return self.agreement.best

    @property
    def gap(self) -> Contrast | None:
        """The score of the most alike value less that of the best one, or, where it is the best
        one, less that of the next; None where no two runs can be compared."""
        known = sorted((c for c in self.scores if c.pairs), key=lambda c: c.difference)
        if self.most_alike == self.best_score:
            return known[0] if known else None
        return next((turned(c) for c in known if c.other == self.most_alike), None)


def likeness(runs: pd.DataFrame, margin: float) -> Likeness | None:
    """The judgement; None where the study cannot tell: it varies no knowledge, has no two runs with
    an agreement that can be compared, or no student is above the constant answer. Tasks where no
    student is above it are left out.

    Args:
        runs: prepared runs.
        margin: values within so many points of each other are equal.
    """
    if "knowledge" not in studied(runs) or "agreement" not in runs:
        return None
    runs = above_floor(runs[runs["task"] != AVERAGE])
    scores = runs[runs["score"].notna()]
    tasks = tuple(dict.fromkeys(scores["task"]))
    if tasks and set(tasks) == {floor.task for floor in students_at_floor(scores)}:
        return None
    both = runs["agreement"].notna() & runs["score"].notna()
    scored = runs.assign(score=runs["score"].where(both))
    alike = judge_values(
        runs.assign(score=runs["agreement"].where(both)), "knowledge", QUESTION, margin
    )
    table = contrasts(scored, "knowledge")
    if not alike.best or table.empty or not table["pairs"].sum():
        return None
    best = leader_of(table)
    every = [c if c.value == best else turned(c) for c in contrasts_of(table)]
    return Likeness(
        replace(alike, tasks=tasks),
        best,
        tuple(c for c in every if c.value == best),
    )
