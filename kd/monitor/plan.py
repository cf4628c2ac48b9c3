"""What a study would run: cells, runs, jobs, time, disk, and warnings of what it cannot show."""

from pathlib import Path
from typing import Any

from kd.data.corpus import MANIFEST, TOKENS
from kd.monitor.estimate import (
    corpus_bytes,
    kept_bytes,
    stage_bytes,
    teacher_bytes,
    to_evaluate,
    to_extend,
    to_teach,
)
from kd.monitor.plan_warnings import warnings_of
from kd.monitor.timing import Todo, time_of
from kd.monitor.tuning import tuning
from kd.study.extra import Extra
from kd.study.grid import Grid
from kd.study.paths import METRICS, RECORD, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher_outputs import need_of, training_size
from kd.teacher.budget import choose_outputs, label


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
    runs = list(grid.runs.values())
    left = to_evaluate(grid, layout)
    cells_left = sum(run.id in grid.runs for run in left)
    untrained = [run for run in left if not (layout.run(run) / TRAINING).is_file()]
    untaught = to_teach(left, layout)
    tokens = set(map(_place, untrained))
    tokens |= {(run.data_id, run.task, run.teacher.tokens_id) for run in untaught}
    missing = {key for key in tokens if not layout.tokens(*key).is_dir()}
    text = {key[:2] for key in missing if not layout.text(*key[:2]).is_dir()}
    unmade = to_extend((run for run in untrained if _place(run) in missing), layout)
    places = {(run.data_id, run.task) for run, _ in unmade.values()}
    text |= {place for place in places if not layout.text(*place).is_dir()}
    study = layout.study(grid.study.name)
    asked = {(run.teacher.id, run.task, run.tokens_id, need_of(run)): run for run in untrained}
    needs = {layout.need(run) for run in asked.values() if need_of(run)}
    outputs = choose_outputs(grid, layout, untrained)
    store, there, computed = (
        {label(place): size for place, size in part.items()}
        for part in (outputs.new, outputs.there, outputs.computed)
    )
    staged = {run.stage.id: run.stage for run in untrained if run.stage}
    unstaged = [s for s in staged.values() if not (layout.stage(s) / TRAINING).is_file()]
    unpacked = {
        place: stage
        for place, stage in ((layout.corpus(stage), stage) for stage in unstaged)
        if not (place / MANIFEST).is_file() or not (place / TOKENS).is_dir()
    }
    jobs = {
        "data": len(text),
        "extra": len(unmade),
        "tokenise": len(missing),
        "teacher": len(untaught),
        "outputs": sum(not need.is_file() for need in needs),
        "corpus": len(unpacked),
        "stage": len(unstaged),
        "distil": len(untrained),
        "evaluate": len(left),
    }
    changed = bool(left) or not (study / RECORD).is_file()
    jobs |= dict.fromkeys(("collect", "tables", "figures", "report", "guideline"), int(changed))
    corpora = list(unpacked.values())
    extended = list(unmade.values())
    todo = Todo(
        *(text, extended, missing, untaught, outputs, unstaged, corpora, untrained, left, changed)
    )
    time = time_of(grid, layout, todo, device, count)
    students = kept_bytes(untrained, grid.study.keep_students, grid.assistants)
    return {
        "study": grid.study.name,
        "cells": grid.cells,
        "pruned": [{"cell": cell, "reason": reason} for cell, reason in grid.pruned],
        "runs": len(runs),
        "done": len(runs) - cells_left,
        "jobs": jobs,
        "device_hours": round(time["hours"], 3),
        "device_hours_measured": time["trainings"] > 0,
        "time": time,
        "disk_bytes": students[0]
        + sum(map(teacher_bytes, untaught))
        + sum(map(stage_bytes, unstaged))
        + sum(corpus_bytes(corpus) for corpus in dict.fromkeys(s.corpus for s in unstaged))
        + sum(store.values()),
        "students": {"keep": grid.study.keep_students, "bytes": students[1]},
        "store": store,
        "warnings": warnings_of(grid),
        "store_there": there,
        "store_computed": computed,
        "store_others": outputs.others,
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


def _place(run: Run) -> tuple[str, str, str]:
    """The place of the tokens of a run."""
    return run.data_id, run.task, run.tokens_id


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
