"""What a study would run: cells, runs, jobs, time, disk, and warnings of what it cannot show."""

from pathlib import Path
from typing import Any

from kd.monitor.estimate import corpus_bytes, kept_bytes, stage_bytes, teacher_bytes
from kd.monitor.plan_warnings import warnings_of
from kd.monitor.timing import time_of
from kd.monitor.todo import todo_of
from kd.monitor.tuning import tuning
from kd.study.extra import Extra
from kd.study.grid import Grid
from kd.study.paths import METRICS, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher_outputs import training_size
from kd.teacher.budget import label


def plan(grid: Grid, layout: Layout, device: str | None = None, count: int = 1) -> dict[str, Any]:
    """Cells, pruned ones with reasons, distinct runs, done ones, jobs by rule, hours and disk.

    `device_hours` and `disk_bytes` are for what is still to do. `time` says where the hours come
    from, and how long `count` devices take (see `time_of`; `device` is a part of it too).
    `device_hours_measured`: trainings that are done have corrected them.

    `students`: which of them the study keeps, and the `bytes` that stay; `disk_bytes` has what they
    take at most at a time.

    Bytes of the teacher outputs that unfinished runs read, by name: `store` of those that will be
    stored, `store_there` of those that are, `store_computed` of those that are not, so that every
    run computes its own. `store_others`: bytes that outputs of other runs take of the budget.
    `tuning`: what the study's `select` multiplies (see `tuning`), or None. `design`: what a part of
    the grid can separate (see `_design`), or None where all cells are run.
    """
    todo = todo_of(grid, layout)
    store, there, computed = (
        {label(place): size for place, size in part.items()}
        for part in (todo.outputs.new, todo.outputs.there, todo.outputs.computed)
    )
    time = time_of(grid, layout, todo, device, count)
    students = kept_bytes(todo.untrained, grid.study.keep_students, grid.assistants)
    return {
        "study": grid.study.name,
        "cells": grid.cells,
        "pruned": [{"cell": cell, "reason": reason} for cell, reason in grid.pruned],
        "runs": len(grid.runs),
        "done": len(grid.runs) - sum(run.id in grid.runs for run in todo.left),
        "jobs": todo.jobs,
        "device_hours": round(time["hours"], 3),
        "device_hours_measured": time["trainings"] > 0,
        "time": time,
        "disk_bytes": students[0]
        + sum(map(teacher_bytes, todo.untaught))
        + sum(map(stage_bytes, todo.unstaged))
        + sum(corpus_bytes(stage.corpus) for stage in todo.unpacked)
        + sum(store.values()),
        "students": {"keep": grid.study.keep_students, "bytes": students[1]},
        "store": store,
        "warnings": warnings_of(grid),
        "store_there": there,
        "store_computed": computed,
        "store_others": todo.outputs.others,
        "tuning": tuning(grid),
        "design": _design(grid),
        "assistants": _assistants(grid, layout),
        "stages": [
            {
                "stage": stage.name,
                "id": stage.id,
                "student": str(stage.shape),
                "steps": stage.values["steps"],
                "tokens": stage.tokens,
                "runs": sum(run.stage == stage for run in grid.trained.values()),
                "done": (layout.stage(stage) / TRAINING).is_file(),
            }
            for stage in grid.stages.values()
        ],
        "extras": _extras(grid, layout),
        "plugins": [
            {
                "file": str(plugin.path),
                "sha256": plugin.sha256,
                "rows": list(map(str, plugin.rows)),
                "runs": sum(plugin in run.plugins for run in grid.trained.values()),
            }
            for plugin in grid.study.plugins
        ],
    }


def _design(grid: Grid) -> dict[str, Any] | None:
    """The part of the grid that is run: `kind`, `cells` of the `possible` ones, the `resolution` as
    a number, and `mixed`, sentences on which effects cannot be separated."""
    if grid.chosen is None:
        return None
    from kd.study.aliasing import sentences

    chosen, mixed = grid.chosen, grid.mixed()
    return {
        "kind": grid.study.design.kind,
        "cells": chosen.cells,
        "possible": chosen.possible,
        "resolution": mixed.resolution,
        "mixed": sentences(mixed),
    }


def _assistants(grid: Grid, layout: Layout) -> list[dict[str, Any]]:
    """The teachers that are students of runs: the `chain` of names from the first teacher, how many
    runs learn from each, whether its run is a cell of the study too, and whether it is there."""
    runs = list(grid.trained.values())
    return [
        {
            "teacher": teacher.name,
            "id": teacher.id,
            "task": run.labels["task"],
            "run": run.id,
            "student": str(teacher.encoder.shape),
            "chain": [r.labels["teacher"] for r in (*run.assistants, run) if r.needs_teacher],
            "cell": run.id in grid.runs,
            "runs": sum(r.needs_teacher and r.teacher.id == teacher.id for r in runs),
            "done": (layout.teacher(teacher) / METRICS).is_file(),
        }
        for teacher in grid.teachers.values()
        if (run := teacher.student_of)
    ]


def _extras(grid: Grid, layout: Layout) -> list[dict[str, Any]]:
    """The extra examples of the study: of which task, about how many, and how many runs learn from
    them."""
    by_folder: dict[Path, list[tuple[Run, Extra]]] = {}
    for run in grid.trained.values():
        for folder, extra in zip(layout.extras(run), run.extras, strict=True):
            by_folder.setdefault(folder, []).append((run, extra))
    return [
        {
            "extra": extra.name,
            "id": extra.id,
            "task": run.labels["task"],
            "examples": extra.examples(run.task_row, training_size(run)[0]),
            "runs": len(readers),
            "done": folder.is_dir(),
        }
        for folder, readers in by_folder.items()
        for run, extra in readers[:1]
    ]
