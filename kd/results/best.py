"""The best student of each task, as far as a study's dev scores can say."""

from dataclasses import dataclass

import pandas as pd

from kd.axes.shapes import parse_shape
from kd.results.statistics.cells import describe
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, CELL
from kd.runtime.errors import UserError, listing


@dataclass(frozen=True)
class Best:
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


def best_students(frame: pd.DataFrame) -> dict[str, Best]:
    """For each task of a record, in its order, the cell with the highest mean over seeds; of
    equal ones the smallest student.

    Args:
        frame: the runs, as `record.read_runs` returns them.

    Raises:
        UserError: a task has no run that is done.
    """
    runs = prepare(frame)
    table = describe(runs, [*CELL, "task"])
    found = {}
    for task in dict.fromkeys(frame["task"]):
        if task == AVERAGE:
            continue
        cells = table[(table["task"] == task) & table["mean"].notna()]
        if cells.empty:
            raise UserError(f"no run on {task} is done; done on: {listing(_done(frame)) or '-'}")
        sizes = [parse_shape(student).layer_parameters for student in cells["student"]]
        tied = cells.assign(size=sizes).sort_values(["mean", "size"], ascending=[False, True])
        cell = tied.iloc[0]
        same = (runs["task"] == task) & (runs[CELL] == cell[CELL]).all(axis=1)
        row = runs[same].loc[runs.loc[same, "score"].idxmax()]
        found[task] = Best(
            task=task,
            run=str(row["run"]),
            score=float(row["score"]),
            mean=float(cell["mean"]),
            low=float(cell["low"]),
            high=float(cell["high"]),
            seeds=int(cell["n"]),
            expected=int(cell["n_expected"]),
            cells=len(cells),
        )
    return found


def _done(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(frame.loc[frame["status"] == "done", "task"]))
