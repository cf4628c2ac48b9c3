"""Judges the values of each axis by their paired differences: data frames in, plain data out.

For each question the values of its axis are compared like with like, over all tasks and settings
that were run with both (`judge`). docs/statistics.md has the rules, `kd.results.report.answers` the
sentences.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from kd.axes.labels import parts as values_in
from kd.results.advice.judge import contrasts_of, judge_values, leader_of, turned
from kd.results.advice.soundness import above_floor, average_error, students_at_floor
from kd.results.advice.student_sizes import equal_students, front
from kd.results.advice.verdict import LEVEL, Advice, Contrast, Partner
from kd.results.statistics.effects import contrasts, seed_share, variance
from kd.results.statistics.pairing import prepare, without_controls_matching
from kd.results.statistics.runs import ALIAS, AVERAGE, CELL, IDLE, each, followers, levels, studied

# The questions of Lu et al. 2022 (arXiv:2206.14366), in its order, and the axis that answers each.
QUESTIONS = {
    "knowledge": "Which knowledge should the student imitate?",
    "matching": "How should student and teacher be compared?",
    "mapping": "Which teacher layer should teach which student layer?",
    "student": "Wide or deep, and how small?",
    "init": "How should the student's weights start?",
    "teacher": "Does a larger teacher help?",
    "preset": "Which published method?",
}
# Other axes whose names make no question.
_OTHERS = {
    "weights": "How should the terms of the loss be weighted?",
    "errata": "Does a known defect of published code change the score?",
}


def advise(frame: pd.DataFrame, margin: float = 0.5) -> list[Advice]:
    """The questions of the paper in its order, even if the study did not ask them, then other axes.

    Tasks on which no student is above the constant answer are left out.

    Args:
        frame: runs, as `read_runs` gives them.
        margin: largest difference, in points, of values that count as equal.
    """
    frame = above_floor(frame)
    runs = prepare(frame)
    varying = studied(frame)
    shares = variance(frame)
    answers = []
    for axis in [*QUESTIONS, *(a for a in varying if a not in QUESTIONS)]:
        question = (QUESTIONS | _OTHERS).get(axis, f"Which {axis.replace('_', ' ')}?")
        if axis in varying:
            advice = _judge(runs, axis, question, margin)
            answers.append(_with_context(advice, frame, runs, shares))
        elif axis in CELL and axis != "preset":
            answers.append(_unasked(frame, axis, question))
    return answers


def judged_axes(runs: pd.DataFrame, margin: float) -> list[Advice]:
    """The judgement of each axis that varies among prepared runs, without context; students of
    each size apart. Nothing, where no student is above the constant answer."""
    frame = runs[runs["task"] != AVERAGE]
    if set(frame["task"]) == {floor.task for floor in students_at_floor(frame)}:
        return []
    judged = [_judge(runs, axis, "", margin) for axis in studied(runs)]
    return [own for advice in judged for own in (advice, *advice.sizes)]


def _unasked(frame: pd.DataFrame, axis: str, question: str) -> Advice:
    leader = followers(frame).get(axis)
    values = (leader,) if leader else tuple(v for v in levels(frame[axis]) if v != IDLE)
    return Advice(axis, question, "open", "follows" if leader else "held", values=values)


def _judge(runs: pd.DataFrame, axis: str, question: str, margin: float) -> Advice:
    if axis != "student":
        return judge_values(runs, axis, question, margin)
    # Only students of one size are judged. With any size the answer would be that larger is better.
    steps = front(runs)
    groups = sorted(equal_students(runs), key=lambda group: -len(group[1]))
    if not groups:
        strength, why = ("trade-off", "") if len(steps) else ("open", "undone")
        values = tuple(v for v in levels(runs[axis]) if v != IDLE)
        return Advice(axis, question, strength, why, steps=steps, values=values)
    judged = [
        replace(judge_values(runs[runs[axis].isin(students)], axis, question, margin), size=size)
        for size, students in groups
    ]
    return replace(judged[0], sizes=tuple(judged[1:]), steps=steps)


def _with_context(
    advice: Advice, frame: pd.DataFrame, runs: pd.DataFrame, shares: pd.DataFrame
) -> Advice:
    """The advice with facts from the whole study: lost runs, variance, interactions."""
    tasks = tuple(dict.fromkeys(frame.loc[frame["score"].notna(), "task"]))
    share, share_p, noise = _explained(shares, advice.axis)
    advice = replace(
        advice,
        lost=_lost(frame, advice.axis),
        tasks=tasks,
        share=share,
        share_p=share_p,
        noise=noise,
        dev_error=average_error(frame),
        largest=_larger_teacher(frame) if advice.axis == "teacher" else "",
    )
    if tasks and set(tasks) == {floor.task for floor in students_at_floor(frame)}:
        return replace(advice, strength="open", why="chance")
    if not advice.best:
        return advice
    interactions = _interactions(shares, advice.axis)
    partners = tuple(Partner(o, size, p, _leads(runs, advice, o)) for o, size, p in interactions)
    return replace(advice, partners=partners)


def _larger_teacher(frame: pd.DataFrame) -> str:
    """The larger of two teachers of different size."""
    alone = frame[~frame["teacher"].str.contains(ALIAS, regex=False)]
    sizes = alone.groupby("teacher")["teacher_parameters"].median().dropna()
    return str(sizes.idxmax()) if len(sizes) == 2 and sizes.nunique() == 2 else ""


def _lost(frame: pd.DataFrame, axis: str) -> tuple[tuple[str, int, int], ...]:
    """(value, missing runs, planned runs). A run that stands for two values counts for both."""
    own = without_controls_matching(frame)[axis]
    parts = frame.assign(value=own.map(values_in)).explode("value")
    scores = parts[parts["value"] != IDLE].groupby("value", sort=False)["score"]
    return tuple(
        (str(value), int(group.isna().sum()), len(group))
        for value, group in scores
        if group.isna().any()
    )


def _explained(shares: pd.DataFrame, axis: str) -> tuple[float, float, float]:
    """Share of the variance in percent, its p, and the share of the seeds; NaN if unknown."""
    own = shares[shares["term"] == axis] if len(shares) else shares
    if own.empty:
        return np.nan, np.nan, np.nan
    return 100 * own["share"].iloc[0], own["p_holm"].iloc[0], 100 * seed_share(shares)


def _interactions(shares: pd.DataFrame, axis: str) -> list[tuple[str, float, float]]:
    """(other axis, share in percent, p) of the significant interactions of an axis."""
    rows = []
    for row in each(shares[shares["kind"].isin(["pair", "task"])]):
        names = str(row.term).split(" × ")
        if axis in names and row.p_holm < LEVEL:
            other = names[0] if names[1] == axis else names[1]
            rows.append((other, 100 * row.share, row.p_holm))
    return rows


def _leads(runs: pd.DataFrame, advice: Advice, other: str) -> tuple[tuple[str, Contrast], ...]:
    """At each value of another axis, the value that leads, with its lead."""
    leads = []
    names = runs[other].map(values_in)
    chosen = runs[advice.axis].isin(advice.values) if advice.size else True
    for level in levels(runs[other]):
        if level in (IDLE, AVERAGE):
            continue
        here = runs[names.map(lambda parts, level=level: level in parts).astype(bool) & chosen]
        table = contrasts(here, advice.axis)
        if table.empty or not table["pairs"].sum():
            continue
        leader = leader_of(table)
        own = [c if c.value == leader else turned(c) for c in contrasts_of(table) if c.pairs]
        own = [c for c in own if c.value == leader]
        if rivals := [c for c in own if c.other == advice.best] or own:
            leads.append((level, min(rivals, key=lambda contrast: contrast.difference)))
    return tuple(leads)
