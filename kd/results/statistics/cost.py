"""Costs of students, the Pareto front, and comparisons at equal cost."""

import numpy as np
import pandas as pd

from kd.axes.shapes import TOKENS, parse_shape
from kd.results.statistics.effects import contrasts
from kd.results.statistics.intervals import rounded
from kd.results.statistics.runs import AVERAGE, studied
from kd.runtime.errors import UserError

NEAR = 1.1  # costs within 10 % are equal

# Measure of cost -> (label with unit, factor from the column's unit).
COSTS = {
    "parameters": ("million parameters without embeddings", 1e-6),
    "size": ("million parameters", 1e-6),
    "flops": (f"GFLOPs for {TOKENS} tokens", 1e-9),
    "latency": ("ms for one example", 1e3),
}


def forward_flops(shape: str, tokens: int = TOKENS) -> float:
    """`Shape.flops` of a forward pass over `tokens` tokens; NaN for a shape that cannot be read."""
    try:
        return float(parse_shape(shape).flops(tokens))
    except UserError:
        return np.nan


def with_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the columns parameters, size, flops, latency (s), teacher_flops; NaN where unknown.

    `runs` have the columns student, teacher_shape, student_parameters,
    student_nonembedding_parameters, latency_seconds and teacher_latency_seconds.

    Latency is the measured median time of a batch of one. Older records have none. A speed-up
    compares times on one device. It is NaN if student and teacher were timed on two devices.
    """
    flops = {shape: forward_flops(shape) for shape in runs["student"].unique()}
    teachers = {shape: forward_flops(shape) for shape in runs["teacher_shape"].unique()}
    speedup = runs["teacher_latency_seconds"] / runs["latency_seconds"]
    return runs.assign(
        parameters=runs["student_nonembedding_parameters"],
        size=runs["student_parameters"],
        flops=runs["student"].map(flops).astype(float),
        latency=runs["latency_seconds"],
        teacher_flops=runs["teacher_shape"].map(teachers).astype(float),
        speedup=speedup.where(_one_device(runs)),
    )


def student_costs(runs: pd.DataFrame, measure: str) -> "pd.Series[float]":
    """The cost of each student, from `with_costs`; NaN where it is not known.

    The latency grows with the length of the texts. It is the median over the tasks on which all
    students have one.
    """
    students = runs["student"].unique()
    known = runs[runs[measure].notna() & (runs["task"] != AVERAGE)]
    if measure == "latency":
        tasks = known.groupby("student")["task"].agg(set)
        known = known[known["task"].isin(set.intersection(*tasks) if len(tasks) else set())]
    return known.groupby("student", sort=False)[measure].median().reindex(students)


def _one_device(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Whether student and teacher were timed on the same device, as far as it is known."""
    known = runs.reindex(columns=["evaluated_on", "teacher_evaluated_on"]).fillna("")
    own, teachers = known["evaluated_on"], known["teacher_evaluated_on"]
    return (own == teachers) | (own == "") | (teachers == "")


def named_measure(runs: pd.DataFrame) -> str:
    """The measure in which the study makes its students equal (column `equal_size`), or ''."""
    return str(runs["equal_size"].iloc[0]) if "equal_size" in runs and len(runs) else ""


def pareto(cost: "pd.Series[float]", score: "pd.Series[float]") -> np.ndarray:
    """True for the points that no other point matches at lower or equal cost with more score."""
    x, y = cost.to_numpy(float), rounded(score).to_numpy(float)
    front = ~np.isnan(x) & ~np.isnan(y)
    for i in np.flatnonzero(front):
        better = (x <= x[i]) & (y >= y[i]) & ((x < x[i]) | (y > y[i]))
        front[i] = not better.any()
    return front


def equal_cost(costs: "pd.Series[float]", near: float = NEAR) -> list[list[str]]:
    """Groups of at least two names whose costs are within `near` of the cheapest in the group."""
    groups: list[list[str]] = []
    first = 0.0
    for name, cost in costs.dropna().sort_values(kind="stable").items():
        if groups and cost <= near * first:
            groups[-1].append(str(name))
        else:
            groups.append([str(name)])
            first = cost
    return [group for group in groups if len(group) > 1]


def iso_cost(runs: pd.DataFrame) -> pd.DataFrame:
    """Students of equal cost, compared like with like, for each measure of cost.

    `runs` are prepared, with the columns that `with_costs` reads. Differences are fractions.

    Columns cost, group, and those of `contrasts`; Holm's correction is within a group.
    """
    if "student" not in studied(runs):
        return pd.DataFrame()
    runs = with_costs(runs)
    tables = []
    for measure in COSTS:
        costs = student_costs(runs, measure)
        for group in equal_cost(costs):
            chosen = runs[runs["student"].isin(group)]
            size = costs[group].median() * COSTS[measure][1]
            table = contrasts(chosen, "student")
            tables.append(table.assign(cost=measure, group=f"{size:.3g} {COSTS[measure][0]}"))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
