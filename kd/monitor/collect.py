"""Collects the metrics of a study's runs in runs.csv, one row per run, missing runs included."""

import csv
import io
import math
import re
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kd.axes.labels import parts
from kd.axes.metrics import column_of
from kd.monitor.history import history_rows
from kd.monitor.overwriting import refuse_to_lose
from kd.monitor.status import read_metrics, run_status
from kd.results.columns import COLUMNS, METRICS, SPLIT_COLUMN
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write
from kd.runtime.state import STATES
from kd.study.grid import Grid
from kd.study.paths import HISTORY, PREDICTIONS, Layout
from kd.study.paths import METRICS as METRICS_FILE
from kd.study.run import Run
from kd.study.selected import looks_text, part_text, select_text

_STRETCHES = 20  # points of a learning curve in runs.csv


def collect(grid: Grid, layout: Layout, out: Path) -> dict[str, int]:
    """Write runs.csv for the study; returns how many runs are in each state.

    Raises:
        UserError: the runs.csv that is there has results that would be lost.
    """
    return write_rows(rows_of(grid, layout), layout, out)


def rows_of(grid: Grid, layout: Layout, mark: bool = True) -> list[dict[str, Any]]:
    """The row of each run, in the order of the study, which is that of its tables and figures.

    With `mark`, records that are found damaged are marked, so that they are made again.
    """
    whole = {
        "select": select_text(grid),
        "design": part_text(grid),
        "looks": looks_text(grid.study),
    }
    return [{**run_row(run, layout, mark), **whole} for run in grid.runs.values()]


def write_rows(
    rows: Sequence[dict[str, Any]], layout: Layout, out: Path, kept: Container[str] = ()
) -> dict[str, int]:
    """Write the rows as runs.csv; see `collect`. The rows have the runs `kept` of the old file."""
    refuse_to_lose(out, layout.runs, kept)
    text = io.StringIO()
    further = sorted({name for row in rows for name in row} - set(COLUMNS))
    writer = csv.DictWriter(text, [*COLUMNS, *further], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(out, text.getvalue())
    states = [row["status"] for row in rows]
    return {state: states.count(state) for state in STATES}


def run_row(run: Run, layout: Layout, mark: bool = True) -> dict[str, Any]:
    """The row of one run: its labels, its status, and its metrics where it is done."""
    status, error = run_status(run, layout, mark)
    row: dict[str, Any] = {"run": run.id, "status": status, "error": error, **run.labels}
    row["objective"] = run.objective
    if status == "done":
        metrics = read_metrics(layout.run(run) / METRICS_FILE, run.id, mark)
        row |= {k: metrics[k] for k in METRICS if metrics.get(k) is not None}
        own = [column_of(name) for name in (*run.task_row.metrics, *run.task_row.others)]
        row |= {k: metrics[k] for k in own if metrics.get(k) is not None}
        row |= {k: value for k, value in metrics.items() if re.fullmatch(SPLIT_COLUMN, k)}
        row |= _against_the_studys_teacher(run, layout)
        row["history"] = compact_history(layout.run(run) / HISTORY)
    return row


def _against_the_studys_teacher(run: Run, layout: Layout) -> dict[str, float]:
    """How far a control agrees with the teacher of its cell, from which it did not learn.

    {} if its record has that already, if it stands for several teachers, or if the predictions of
    either cannot be read.
    """
    teacher = layout.teacher(run.teacher) / PREDICTIONS
    if run.needs_teacher or len(parts(run.labels["teacher"])) > 1 or not teacher.is_file():
        return {}
    from kd.training.fidelity import agreement
    from kd.training.predictions import read_predictions

    with suppress(UserError):
        answers = read_predictions(layout.run(run) / PREDICTIONS), read_predictions(teacher)
        return agreement(*answers, run.task_row)
    return {}


def compact_history(path: Path) -> str:
    """A training's history as the text of one cell, `step=25 50;loss=0.71 0.62;...`.

    Rows are averaged over stretches of equal length, so that curves of all runs fit into runs.csv.
    Each series is the mean over the rows that have it, because a term whose weight is 0 is not
    computed. `nan` marks a stretch without any. '' if there is no history. Names of terms contain
    no '=' or ';'.
    """
    rows = history_rows(path)
    if not rows:
        return ""
    size = -(-len(rows) // _STRETCHES)
    stretches = [rows[i : i + size] for i in range(0, len(rows), size)]
    series = {"step": [f"{stretch[-1]['step']:.0f}" for stretch in stretches]}
    for name in dict.fromkeys(name for row in rows for name in row):
        if name not in ("step", "learning_rate"):
            series[name] = [f"{_mean_of(stretch, name):.4g}" for stretch in stretches]
    return ";".join(f"{name}={' '.join(values)}" for name, values in series.items())


def _mean_of(rows: list[dict[str, float]], name: str) -> float:
    values = [row[name] for row in rows if name in row]
    return sum(values) / len(values) if values else math.nan
