"""The student to ship for each task, chosen by the dev scores of a study."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kd.axes.shapes import parse_shape
from kd.results.record import Record
from kd.results.statistics.cells import describe
from kd.results.statistics.near_best import best_cells
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, CELL, studied
from kd.runtime.errors import UserError, listing, unknown


@dataclass(frozen=True)
class BestStudent:
    """A task's best cell and the run of it to ship. Scores are fractions.

    The run has the highest dev score among the seeds of its cell, so its own score is optimistic;
    the mean over seeds says what to expect of a cell.
    """

    task: str
    run: str
    score: float
    mean: float
    low: float  # 95 % t interval of the mean over seeds; NaN with one seed
    high: float
    seeds: int
    expected: int  # runs of the cell in the study, lost ones included
    cells: int  # cells that were compared
    remark: str = ""  # a sentence on lost runs that may have changed the choice


def best_students(frame: pd.DataFrame) -> dict[str, BestStudent]:
    """For each task of a record, in its order, the student to ship.

    Its cell is one of `best_cells`; of several the one with the smallest student, then that with
    the highest mean. Where no cell of a task is complete, the cells that lack the fewest runs are
    compared. In both cases `remark` says what lost runs may have changed.

    Args:
        frame: the runs, as `record.read_runs` returns them.

    Raises:
        UserError: a task has no run that is done.
    """
    runs = prepare(frame)
    table = describe(runs, [*CELL, "task"])
    students = {}
    for task in dict.fromkeys(frame["task"]):
        if task == AVERAGE:
            continue
        cells = table[(table["task"] == task) & table["mean"].notna()]
        if cells.empty:
            raise UserError(f"no run on {task} is done; done on: {listing(_done(frame)) or '-'}")
        lost = cells["n_expected"] - cells["n"]
        compared = cells[lost == lost.min()]
        best = best_cells(compared.assign(missing=""))
        sizes = [parse_shape(student).layer_parameters for student in best["student"]]
        ordered = best.assign(size=sizes).sort_values(["size", "mean"], ascending=[True, False])
        cell = ordered.iloc[0]
        same = (runs["task"] == task) & (runs[CELL] == cell[CELL]).all(axis=1)
        row = runs[same].loc[runs.loc[same, "score"].idxmax()]
        students[task] = BestStudent(
            task=task,
            run=str(row["run"]),
            score=float(row["score"]),
            mean=float(cell["mean"]),
            low=float(cell["low"]),
            high=float(cell["high"]),
            seeds=int(cell["n"]),
            expected=int(cell["n_expected"]),
            cells=len(compared),
            remark=_remark(cells, cells.loc[cell.name], studied(frame)),
        )
    return students


def best_of(
    record: Record, study: Path, tasks: Collection[str] | None = None
) -> dict[str, BestStudent]:
    """`best_students` of the record of a study, on these tasks or on all.

    Raises:
        UserError: the record has no such task, or a task has no run that is done.
    """
    known = list(dict.fromkeys(record.runs["task"]))
    for task in tasks or ():
        if task not in known:
            raise unknown(f"{study}: task", task, known)
    return best_students(record.runs[record.runs["task"].isin(tasks or known)])


def _remark(cells: pd.DataFrame, cell: "pd.Series[float]", names: list[str]) -> str:
    """What lost runs may have changed: runs of the chosen cell, or of cells with higher means."""
    said = ""
    if cell["missing"]:
        said = f"{cell['task']}: no cell is complete; the best one has {cell['missing']}"
    higher = cells[(cells["missing"] != "") & (cells["mean"] > cell["mean"])]
    if higher.empty:
        return said
    first = higher.sort_values("mean", kind="stable").iloc[-1]
    values = ", ".join(f"{name} {first[name]}" for name in names)
    start = f"{said}; " if said else f"{cell['task']}: "
    return start + (
        f"{values} has a higher mean ({100 * first['mean']:.1f} against "
        f"{100 * cell['mean']:.1f}), but {first['missing']}: it was not chosen"
    )


def _done(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(frame.loc[frame["status"] == "done", "task"]))
