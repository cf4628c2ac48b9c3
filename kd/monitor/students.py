"""Removes the weights of students that their study does not keep, when their runs are done.

A run without them stays finished: its record, predictions, history and spec are there, and so is
the folder of its model, with the seal of what was in it. `kd retrain` trains it again.
"""

from collections.abc import Collection
from pathlib import Path

from kd.monitor.status import run_status
from kd.runtime.errors import UserError
from kd.runtime.files import remove_path
from kd.runtime.locks import only_one
from kd.runtime.progress import LOCK
from kd.runtime.seals import emptied, empty_sealed, is_emptied
from kd.study.grid import Grid
from kd.study.kept import recorded_elsewhere, why_removed
from kd.study.paths import AHEAD, METRICS, MODEL, Layout


def remove_students(grid: Grid, layout: Layout, kept: Collection[str]) -> list[str]:
    """Remove the weights of the finished runs of a study, but not of those in `kept`.

    Teacher assistants stay too, runs that another study has in its record, and those on which a
    process works.

    Returns:
        the ids of the runs whose weights were removed.
    """
    spared = {*kept, *grid.assistants, *recorded_elsewhere(layout, grid.study.name)}
    return [
        run.id
        for run in grid.runs.values()
        if run.id not in spared
        and run_status(run, layout)[0] == "done"
        and _remove(layout.run(run), why_removed(grid.study, run))
    ]


def refuse_removed(grid: Grid, layout: Layout) -> None:
    """Check that the students that are still to become teachers have their weights.

    Raises:
        UserError: another study has removed some; how to make them again.
    """
    for teacher in grid.teachers.values():
        if teacher.student_of and not (layout.teacher(teacher) / METRICS).is_file():
            model = layout.run(teacher.student_of) / MODEL
            if why := emptied(model):
                raise UserError(f"{grid.study.path}: teachers.{teacher.name}: {model}: {why}")


def remove_unrecorded(grid: Grid, layout: Layout) -> list[Path]:
    """Remove the empty folders of students that have no record, so that Snakemake trains them
    again; the folders.

    Where an evaluation was interrupted after it had removed the weights, Snakemake removes the
    record. If the evaluation was kept, it is taken, and the student need not be trained.
    """
    folders = [layout.run(run) for run in grid.trained.values()]
    lost = [f for f in folders if not ((f / METRICS).is_file() or (f / AHEAD).is_dir())]
    empty = [f / MODEL for f in lost if emptied(f / MODEL)]
    for folder in empty:
        remove_path(folder)
    return empty


def _remove(run: Path, why: str) -> bool:
    """Whether the weights of a run were there, and no process works on the run."""
    if not (run / MODEL).is_dir() or is_emptied(run / MODEL):
        return False

    def busy(owner: str) -> None:
        raise UserError(owner)

    try:
        with only_one(run / LOCK, busy):
            empty_sealed(run / MODEL, why)
    except UserError:
        return False
    return True
