"""What a study would run: cells, runs, jobs, time, disk, and warnings of what it cannot show."""

from pathlib import Path
from typing import Any

from kd.data.corpus import MANIFEST, TOKENS
from kd.monitor.estimate import (
    FLOPS_PER_SECOND,
    corpus_bytes,
    hours,
    kept_bytes,
    measured_speed,
    stage_bytes,
    stage_flops,
    teacher_bytes,
    to_extend,
    to_teach,
)
from kd.monitor.plan_warnings import warnings_of
from kd.monitor.tuning import tuning
from kd.study.extra import Extra
from kd.study.grid import Grid
from kd.study.paths import METRICS, RECORD, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher_outputs import need_of, training_size
from kd.teacher.budget import choose_outputs, label, unfinished


def plan(grid: Grid, layout: Layout) -> dict[str, Any]:
    """Cells, pruned ones with reasons, distinct runs, done ones, jobs by rule, hours and disk.

    `device_hours` and `disk_bytes` are for what is still to do. Hours come from the floating-point
    operations and from the speed of the runs of this study that are done (`device_hours_measured`).
    Where none is done they come from FLOPS_PER_SECOND, and only the order of magnitude is right.

    `students`: which of them the study keeps, and the `bytes` that stay; `disk_bytes` has what they
    take at most at a time.

    Bytes of the teacher outputs that unfinished runs read, by name: `store` of those that will be
    stored, `store_there` of those that are, `store_computed` of those that are not, so that every
    run computes its own. `store_others`: bytes that outputs of other runs take of the budget.
    `tuning`: what the study's `select` multiplies (see `tuning`), or None.
    """
    runs = list(grid.runs.values())
    left = [run for run in runs if not (layout.run(run) / METRICS).is_file()]
    untrained = unfinished(grid, layout)
    untaught = to_teach(left, layout)
    tokens = set(map(_place, untrained))
    tokens |= {(run.data_id, run.task, run.teacher.tokens_id) for run in untaught}
    missing = {key for key in tokens if not layout.tokens(*key).is_dir()}
    text = {key[:2] for key in missing if not layout.text(*key[:2]).is_dir()}
    unmade = to_extend((run for run in untrained if _place(run) in missing), layout)
    places = {(run.data_id, run.task) for run, _ in unmade.values()}
    text |= {place for place in places if not layout.text(*place).is_dir()}
    study = layout.study(grid.study.name)
    needs = {layout.need(run) for run in untrained if need_of(run)}
    outputs = choose_outputs(grid, layout, untrained)
    store, there, computed = (
        {label(place): size for place, size in part.items()}
        for part in (outputs.new, outputs.there, outputs.computed)
    )
    staged = {run.stage.id: run.stage for run in untrained if run.stage}
    unstaged = [s for s in staged.values() if not (layout.stage(s) / TRAINING).is_file()]
    unpacked = {
        place
        for place in map(layout.corpus, unstaged)
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
    speed = measured_speed(runs, layout)
    students = kept_bytes(untrained, grid.study.keep_students)
    starts = len(untrained) + len(left) + len(untaught) + len(unstaged) + len(unmade)
    return {
        "study": grid.study.name,
        "cells": grid.cells,
        "pruned": [{"cell": cell, "reason": reason} for cell, reason in grid.pruned],
        "runs": len(runs),
        "done": len(runs) - len(left),
        "jobs": jobs,
        "device_hours": round(
            hours(
                *(untrained, untaught, unstaged, unmade.values(), starts),
                speed or FLOPS_PER_SECOND,
            ),
            3,
        ),
        "device_hours_measured": speed is not None,
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
        "stages": [
            {
                "stage": stage.name,
                "id": stage.id,
                "student": str(stage.shape),
                "steps": stage.values["steps"],
                "tokens": stage.tokens,
                "runs": sum(run.stage == stage for run in runs),
                "done": (layout.stage(stage) / TRAINING).is_file(),
                "device_hours": round(stage_flops(stage) / (speed or FLOPS_PER_SECOND) / 3600, 3),
            }
            for stage in grid.stages.values()
        ],
        "extras": _extras(grid, layout),
        "plugins": [
            {
                "file": str(plugin.path),
                "sha256": plugin.sha256,
                "rows": list(map(str, plugin.rows)),
                "runs": sum(plugin in run.plugins for run in runs),
            }
            for plugin in grid.study.plugins
        ],
    }


def _place(run: Run) -> tuple[str, str, str]:
    """The place of the tokens of a run."""
    return run.data_id, run.task, run.tokens_id


def _extras(grid: Grid, layout: Layout) -> list[dict[str, Any]]:
    """The extra examples of the study: of which task, about how many, and how many runs learn from
    them."""
    found: dict[Path, list[tuple[Run, Extra]]] = {}
    for run in grid.runs.values():
        for folder, extra in zip(layout.extras(run), run.extras, strict=True):
            found.setdefault(folder, []).append((run, extra))
    return [
        {
            "extra": extra.name,
            "id": extra.id,
            "task": run.labels["task"],
            "examples": extra.examples(run.task_row, training_size(run)[0]),
            "runs": len(readers),
            "done": folder.is_dir(),
        }
        for folder, readers in found.items()
        for run, extra in readers[:1]
    ]
