"""One look at a study: what `kd watch` shows, as plain data."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kd.data.corpus import MANIFEST
from kd.monitor.slurm_queue import waiting
from kd.monitor.status import Queue, read_metrics, study_status
from kd.monitor.watch.time_left import time_left
from kd.runtime.errors import UserError
from kd.study.grid import Grid
from kd.study.paths import METRICS, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher import Teacher
from kd.study.teacher_outputs import need_of

Looker = Callable[[], dict[str, Any]]
_LATEST = 5  # finished runs that are named
_RECENT = 60.0  # seconds: a job that has just been started has no state yet
_QUEUE = 60.0  # seconds between two questions to the scheduler: every view asks it
_HEAVY = ("extra", "teacher", "outputs", "stage", "distil", "evaluate")  # steps that use the device


def looker(grid: Grid, layout: Layout) -> Looker:
    """A function that looks at the study each time it is called.

    It reads the record of a finished run once. Nothing is written, and no lock is taken, so that
    no job is disturbed.
    """
    files = {run.id: _files(run, layout) for run in grid.trained.values()}
    folders = {run.id: layout.run(run) for run in grid.trained.values()}
    trained: set[str] = set()
    records: dict[str, dict[str, Any]] = {}
    seen: list[tuple[float, int]] = []  # (time, jobs at work) of recent looks
    queue = _remembered(waiting)

    def look() -> dict[str, Any]:
        status = study_status(grid, layout, set(records), queue)
        lost = {failure["run"] for failure in status["failures"]}
        for name, folder in folders.items():
            if name in records:
                continue
            path = folder / METRICS
            if name not in lost and path.is_file():
                with suppress(UserError, OSError):  # being replaced: the next look has it
                    record = read_metrics(path, name, mark=False)
                    records[name] = {**record, "finished": path.stat().st_mtime}
            if name in records or (folder / TRAINING).is_file():
                trained.add(name)
        now, busy = time.time(), sum(row["step"] in _HEAVY for row in status["at_work"])
        seen[:] = [(when, n) for when, n in seen if now - when < _RECENT] + [(now, busy)]
        at_once = max(n for _, n in seen)
        return status | {
            "time": now,
            "jobs": _jobs(files, trained, set(records), status["at_work"]),
            "left": time_left(grid, layout, records, status["at_work"], at_once),
            "latest": _latest(records),
            "scores": _scores(grid, records),
        }

    return look


def _remembered(queue: Queue) -> Queue:
    """The same, asked at most once in _QUEUE seconds."""
    rows: list[dict[str, Any]] = []
    due = 0.0

    def remembered(here: Path) -> list[dict[str, Any]]:
        nonlocal rows, due
        if time.monotonic() >= due:
            rows = queue(here)
            due = time.monotonic() + _QUEUE
        return rows

    return remembered


def _jobs(
    files: dict[str, list[tuple[str, Path]]],
    trained: set[str],
    done: set[str],
    at_work: list[dict[str, Any]],
) -> dict[str, dict[str, int]]:
    """By rule, in the order of the work: jobs that are done, that are running, and all of them.

    What only trained runs have read counts as done, because it may have been removed since.
    """
    wanted: dict[str, dict[Path, bool]] = {
        rule: {} for rule in ("data", "extra", "tokenise", "teacher", "outputs", "corpus", "stage")
    }
    for name, needed in files.items():
        for rule, file in needed:
            wanted[rule][file] = wanted[rule].get(file, True) and name in trained
    counts = {
        rule: (sum(read or file.exists() for file, read in jobs.items()), len(jobs))
        for rule, jobs in wanted.items()
    }
    counts |= {"distil": (len(trained), len(files)), "evaluate": (len(done), len(files))}
    running = [row["step"] for row in at_work]
    return {
        rule: {"done": n, "running": running.count(rule), "total": total}
        for rule, (n, total) in counts.items()
        if total
    }


def _files(run: Run, layout: Layout) -> list[tuple[str, Path]]:
    """(rule, what it makes) of all that a run waits for."""
    readers: list[Run | Teacher] = [run, run.teacher] if run.needs_teacher else [run]
    files = [("data", layout.text(run.data_id, run.task))]
    files += [("extra", folder) for folder in layout.extras(run)]
    files += [("tokenise", layout.tokens(r.data_id, r.task, r.tokens_id)) for r in readers]
    if run.needs_teacher:
        teachers = (*run.teacher.candidates, run.teacher)
        files += [("teacher", layout.teacher(teacher) / METRICS) for teacher in teachers]
    if need_of(run):
        files.append(("outputs", layout.need(run)))
    if run.stage:
        files.append(("corpus", layout.corpus(run.stage) / MANIFEST))
        files.append(("stage", layout.stage(run.stage) / TRAINING))
    return files


def _latest(records: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that finished last, the newest first."""
    names = sorted(records, key=lambda name: -records[name]["finished"])[:_LATEST]
    return [
        {"run": name, "score": records[name]["score"], "finished": records[name]["finished"]}
        for name in names
    ]


def _scores(grid: Grid, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The scores so far: a row for each cell, a column for each task.

    `columns` has the axes in which rows differ, `tasks` the tasks by their names. A cell of a row
    is the mean score of the seeds that are done (None for none), how many these are, and how many
    are planned.
    """
    columns = [axis for axis in grid.varied if axis not in ("task", "seed")]
    columns = [a for a in columns if len({run.labels[a] for run in grid.runs.values()}) > 1]
    tasks = list(dict.fromkeys(run.labels["task"] for run in grid.runs.values()))
    cells: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for run in grid.runs.values():
        key = tuple(run.labels[axis] for axis in columns)
        cells.setdefault(key, {}).setdefault(run.labels["task"], []).append(run.id)
    rows = []
    for key, by_task in cells.items():
        row: list[dict[str, Any]] = []
        for task in tasks:
            planned = by_task.get(task, [])
            scores = [records[name]["score"] for name in planned if name in records]
            mean = sum(scores) / len(scores) if scores else None
            row.append({"mean": mean, "done": len(scores), "planned": len(planned)})
        rows.append({"cell": list(key), "scores": row})
    return {"columns": columns, "tasks": tasks, "rows": rows}
