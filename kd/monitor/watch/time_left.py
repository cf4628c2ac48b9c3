"""The time that is left, from what was measured of this study's jobs so far."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from statistics import median
from typing import Any

from kd.monitor.costs import TAKEN
from kd.monitor.estimate import (
    by_teacher,
    extra_flops,
    run_flops,
    stage_flops,
    teacher_flops,
)
from kd.monitor.measured import job_seconds
from kd.monitor.todo import to_evaluate, to_extend, to_teach
from kd.runtime.errors import UserError
from kd.runtime.seals import read_record
from kd.study.grid import Grid
from kd.study.paths import METRICS, TRAINING, Layout, benchmark_file
from kd.study.run import Run

_START = 10.0  # seconds to start a job, where no job has been timed
_TIMED = 50  # runs that are looked at: a median of more says the same
_TRAININGS = ("distilling", "fine-tuning")  # phases whose speed tells that of other trainings


def time_left(
    grid: Grid, layout: Layout, done: Iterable[str], at_work: list[dict[str, Any]], at_once: int
) -> dict[str, Any] | None:
    """What is still to do, from measured speeds; None while no training has been measured.

    The operations of each training (`kd.monitor.estimate`) are divided by the speed of those that
    are done, or else of those that are running, or of teachers that are done. Jobs take time to
    start too. Stored outputs, data and tokens are not counted.

    Args:
        done: ids of the runs that are evaluated.
        at_work: the rows of `study_status`.
        at_once: how many jobs share the work.

    Returns:
        `device_seconds` of work that is left, `at_once`, and
        `seconds`, their quotient; None where nothing runs.
    """
    done = set(done)
    left, runs = to_evaluate(grid, layout, done), grid.trained
    busy = {row["name"]: row for row in at_work}
    measured = _measured([runs[name] for name in sorted(done)][:_TIMED], layout)
    speed = measured[0] if measured else _speed_of_others(grid, layout, at_work)
    if speed is None:
        return None
    start, evaluation = measured[1:] if measured else (_START, _START)
    teachers = {f"teacher {run.teacher.id}": run for run in to_teach(left, layout)}
    work = sum(
        _rest(busy[name]) if name in busy else start + evaluation + teacher_flops(run) / speed
        for name, run in teachers.items()
    )
    for stage in {run.stage.id: run.stage for run in left if run.stage}.values():
        if not (layout.stage(stage) / TRAINING).is_file():
            known = busy.get(f"stage {stage.id}")
            work += _rest(known) if known else start + stage_flops(stage) / speed
    for run, extra in to_extend(left, layout).values():
        known = busy.get(f"{extra.id} of {run.task}")
        work += _rest(known) if known else start + extra_flops(run, extra) / speed
    for run in left:
        if run.id in busy:
            work += _rest(busy[run.id]) + evaluation * (busy[run.id]["phase"] != "evaluating")
        elif (layout.run(run) / TRAINING).is_file():
            work += evaluation
        else:
            work += start + evaluation + run_flops(run) / speed
    return {
        "device_seconds": work,
        "at_once": at_once,
        "seconds": work / at_once if at_once else None,
    }


def _rest(row: Mapping[str, Any]) -> float:
    """Seconds that a phase still takes at its speed; 0 where that is not known."""
    return (row["total"] - row["done"]) / row["per_second"] if row["per_second"] else 0.0


def _measured(runs: list[Run], layout: Layout) -> tuple[float, float, float] | None:
    """Operations per second of trainings; seconds to start a job; seconds of an evaluation, which
    the job of the training does, and of the job that takes it."""
    speeds, starts, evaluations = [], [], []
    for run in runs:
        with suppress(UserError, KeyError, ZeroDivisionError):  # of an older version, or damaged
            record = read_record(layout.run(run) / METRICS, mark=False)
            seconds = float(record["train_seconds"])
            speeds.append(run_flops(run) / seconds)
            evaluations.append(float(record["evaluate_seconds"]))
            whole = job_seconds(benchmark_file(layout.run(run), "distil"))
            if whole is not None and whole > seconds + evaluations[-1]:
                starts.append(whole - seconds - evaluations[-1])
    if not speeds:
        return None
    start = median(starts) if starts else _START
    return median(speeds), start, TAKEN + (median(evaluations) if evaluations else 0.0)


def _speed_of_others(grid: Grid, layout: Layout, at_work: list[dict[str, Any]]) -> float | None:
    """Operations per second while no student is done: of the trainings that are running, else of
    the teachers that are done; None where there is none of either."""
    runs = grid.trained
    teachers = {f"teacher {id}": run for id, run in by_teacher(runs.values()).items()}
    speeds = []
    for row in at_work:
        run = runs.get(row["name"]) or teachers.get(row["name"])
        if run is not None and row["phase"] in _TRAININGS and row["total"] and row["per_second"]:
            flops = run_flops(run) if run.id == row["name"] else teacher_flops(run)
            speeds.append(flops * row["per_second"] / row["total"])
    if not speeds:
        for run in teachers.values():
            if not teacher_flops(run):  # fine-tuned before, or the choice of one
                continue
            with suppress(UserError, KeyError, ZeroDivisionError):  # not done
                record = read_record(layout.teacher(run.teacher) / METRICS, mark=False)
                speeds.append(teacher_flops(run) / float(record["train_seconds"]))
    return median(speeds) if speeds else None
