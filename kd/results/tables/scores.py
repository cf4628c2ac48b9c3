"""The table of scores, as in a paper: a row per cell, a column per task."""

import numpy as np
import pandas as pd

from kd.axes.shapes import TOKENS
from kd.results.numbers import NOTHING, millions, plain
from kd.results.statistics.cells import describe
from kd.results.statistics.cost import with_costs
from kd.results.statistics.near_best import best_and_near
from kd.results.statistics.runs import AVERAGE, studied
from kd.results.tables.rows import (
    SELECTED,
    by_teacher,
    cells_by_task,
    metrics_note,
    missing_notes,
    reference_scores,
    score_text,
    tuned_notes,
)
from kd.results.tables.table import Table


def score_table(runs: pd.DataFrame) -> Table:
    """Teacher, constant answer, then cells; a column per task, average, size, speed-up."""
    names = studied(runs) or ["knowledge"]
    tasks = list(dict.fromkeys(runs["task"]))
    table = describe(runs, [*names, "task"])
    blank = [""] * (len(names) - 1)
    costs = with_costs(runs)
    speeds, how = _speedups(costs)
    rows = [
        [
            *(f"teacher {teacher}", *blank, *reference_scores(group, "teacher_score", tasks)),
            *(millions(group["teacher_parameters"].mean()), "1.0×"),
        ]
        for teacher, group in by_teacher(runs)
    ]
    majority = reference_scores(runs, "majority_score", tasks)
    rows.append(["constant answer", *blank, *majority, NOTHING, NOTHING])
    first = len(rows)
    cells = cells_by_task(table, names)
    sizes = runs.groupby(names, sort=False)["student_parameters"].mean()
    speed = speeds.groupby([runs[name] for name in names], sort=False).median()
    for cell, by in cells.items():
        key = cell if len(cell) > 1 else cell[0]
        shown = [score_text(by.get(task)) for task in tasks]
        factor = speed.get(key, np.nan)
        rows.append(
            [*cell, *shown, millions(sizes.get(key, np.nan)), plain(factor, 1) + "×"]
            if not pd.isna(factor)
            else [*cell, *shown, millions(sizes.get(key, np.nan)), NOTHING]
        )
    bold, underlined = set(), set()
    for j, task in enumerate(tasks, start=len(names)):
        best, near = best_and_near(table[table["task"] == task])
        places = {cell: first + i for i, cell in enumerate(cells)}
        bold |= {(places[cell], j) for cell in _keys(best, names)}
        underlined |= {(places[cell], j) for cell in _keys(near, names)}
    means = table[table["task"].isin(tasks[-1:])]["mean"].fillna(-np.inf).to_numpy()
    order = [*range(first), *(first + np.argsort(-means, kind="stable"))]
    return Table(
        "Scores in points (score × 100) on the dev split: mean ± standard deviation over seeds, "
        "with the number of runs in brackets. The best complete cell is bold; cells that are not "
        "significantly different from it are underlined.",
        [*names, *tasks, "size", "speed-up"],
        rows,
        len(names),
        bold,
        underlined,
        [
            metrics_note(runs, tasks),
            "underlined: two-sided t test at 5 %, not corrected, with the standard deviation over "
            "seeds pooled over the task's cells",
            SELECTED,
            *tuned_notes(runs),
            *[f"size: parameters with embeddings; speed-up over the teacher: {how}"] * bool(how),
            "constant answer: the score of the best one, such as the most frequent class",
            *missing_notes(cells, " ".join, tasks),
        ],
        [int(i) for i in order],
    )


def _keys(rows: pd.DataFrame, names: list[str]) -> list[tuple[str, ...]]:
    return list(map(tuple, rows[names].to_numpy()))


def _speedups(costs: pd.DataFrame) -> tuple["pd.Series[float]", str]:
    """Speed-up of each run's student over its teacher, and whether it is measured.

    Times are compared on the tasks that all students share, because they grow with the length of
    the texts. They do not depend on what a student has learned, so all its runs count.
    """
    pair = ["student", "teacher"]
    timed = costs[costs["task"] != AVERAGE].groupby([*pair, "task"])["speedup"].median()
    by_task = timed.unstack("task").dropna(axis=1)
    if by_task.shape[1]:
        factors = by_task.median(axis=1).rename("factor")
        every = costs[pair].join(factors, on=pair)["factor"]
        return every, "measured, median time of one example alone"
    ratio = costs["teacher_flops"] / costs["flops"]
    if ratio.notna().any():
        return ratio, f"ratio of FLOPs for {TOKENS} tokens, not measured"
    return ratio, ""
