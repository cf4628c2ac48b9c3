"""What a study would run: cells, runs, jobs, time, disk, and warnings of what it cannot show."""

from collections import Counter
from typing import Any

from kd.axes.fields import RUN_DEFAULTS, TEACHER_DEFAULTS
from kd.axes.pretrained import SCRATCH
from kd.monitor.estimate import (
    FLOPS_PER_SECOND,
    hours,
    measured_speed,
    student_bytes,
    teacher_bytes,
)
from kd.results.advice import FEW_SEEDS
from kd.study.grid import Grid, pruned_values
from kd.study.paths import METRICS, RECORD, Layout
from kd.study.tasks import data_warnings
from kd.study.teacher_outputs import need_of
from kd.teacher.budget import choose_outputs, label, unfinished


def plan(grid: Grid, layout: Layout) -> dict[str, Any]:
    """Cells, pruned ones with reasons, distinct runs, done ones, jobs by rule, hours and disk.

    `device_hours` and `disk_bytes` are for what is still to do. Hours come from the floating-point
    operations and from the speed of the runs of this study that are done (`device_hours_measured`).
    Where none is done they come from FLOPS_PER_SECOND, and only the order of magnitude is right.

    Bytes of the teacher outputs that unfinished runs read, by name: `store` of those that will be
    stored, `store_there` of those that are, `store_computed` of those that are not, so that every
    run computes its own. `store_others`: bytes that outputs of other runs take of the budget.
    """
    runs = list(grid.runs.values())
    left = [run for run in runs if not (layout.run(run) / METRICS).is_file()]
    untrained = unfinished(grid, layout)
    to_teach = list(
        {
            run.teacher.id: run
            for run in left
            if run.needs_teacher and not (layout.teacher(run.teacher) / METRICS).is_file()
        }.values()
    )
    tokens = {(run.data_id, run.task, run.tokens_id) for run in untrained}
    tokens |= {(run.data_id, run.task, run.teacher.tokens_id) for run in to_teach}
    missing = {key for key in tokens if not layout.tokens(*key).is_dir()}
    text = {key[:2] for key in missing if not layout.text(*key[:2]).is_dir()}
    study = layout.study(grid.study.name)
    needs = {layout.need(run) for run in untrained if need_of(run)}
    outputs = choose_outputs(grid, layout, untrained)
    store, there, computed = (
        {label(place): size for place, size in part.items()}
        for part in (outputs.new, outputs.there, outputs.computed)
    )
    jobs = {
        "data": len(text),
        "tokenise": len(missing),
        "teacher": len(to_teach),
        "outputs": sum(not need.is_file() for need in needs),
        "distil": len(untrained),
        "evaluate": len(left),
    }
    changed = bool(left) or not (study / RECORD).is_file()
    jobs |= dict.fromkeys(("collect", "tables", "figures", "report", "guideline"), int(changed))
    speed = measured_speed(runs, layout)
    starts = len(untrained) + len(left) + len(to_teach)
    return {
        "study": grid.study.name,
        "cells": grid.cells,
        "pruned": [{"cell": cell, "reason": reason} for cell, reason in grid.pruned],
        "runs": len(runs),
        "done": len(runs) - len(left),
        "jobs": jobs,
        "device_hours": round(hours(untrained, to_teach, starts, speed or FLOPS_PER_SECOND), 3),
        "device_hours_measured": speed is not None,
        "disk_bytes": sum(map(student_bytes, untrained))
        + sum(map(teacher_bytes, to_teach))
        + sum(store.values()),
        "store": store,
        "warnings": _warnings(grid),
        "store_there": there,
        "store_computed": computed,
        "store_others": outputs.others,
    }


def _warnings(grid: Grid) -> list[str]:
    """Warnings, before anything runs, about what the study will not be able to show."""
    found = []
    seeds = len({run.values["seed"] for run in grid.runs.values()})
    if seeds < FEW_SEEDS:
        what = "nothing can be tested" if seeds == 1 else "no value will be recommended"
        found.append(f"{seeds} seed{'s' * (seeds > 1)}: below three {what}")
    found += data_warnings(grid.runs.values())
    for axis, value, reason in pruned_values(grid):
        found.append(f"no cell with {axis} {value} can run: {reason}")
    return found + _recipe_warnings(grid)


def _recipe_warnings(grid: Grid) -> list[str]:
    """Warnings about random weights with the default recipe, which suits pretrained encoders."""
    found = []
    for name, teacher in grid.study.teachers.items():
        if teacher["model"] == SCRATCH and not {"epochs", "learning_rate"} & set(teacher):
            found.append(
                f"teacher {name} starts from random weights with the recipe of pretrained encoders "
                f"({TEACHER_DEFAULTS['epochs']} epochs, learning rate "
                f"{TEACHER_DEFAULTS['learning_rate']:g}), and may learn nothing: set its epochs "
                "and learning_rate (config/studies/demo.yaml has 6 and 5e-4)"
            )
    rate = RUN_DEFAULTS["learning_rate"]
    slow = [
        run
        for run in grid.runs.values()
        if "init" not in run.spec and run.values["learning_rate"] == rate
    ]
    if slow:
        found.append(
            f"{len(slow)} runs start from random weights with the learning rate of pretrained "
            f"encoders ({rate:g}): set learning_rate (1e-4 in Turc et al. 2019, 1e-3 in the demo)"
        )
    return found


def plan_text(found: dict[str, Any], shown: int = 10) -> str:
    """The plan for people."""
    reasons = Counter(entry["reason"] for entry in found["pruned"])
    lines = [
        f"study {found['study']}",
        f"  cells    {found['cells']:>7}   combinations that the study writes",
        f"  pruned   {len(found['pruned']):>7}   without meaning, or excluded",
        f"  runs     {found['runs']:>7}   distinct after equal cells are merged",
        f"  done     {found['done']:>7}",
        "  jobs     " + ", ".join(f"{n} {rule}" for rule, n in found["jobs"].items() if n)
        if any(found["jobs"].values())
        else "  jobs     nothing to do",
        f"  device   {found['device_hours']:>7.2f}   hours on one device, estimated"
        f" {_basis(found)}",
        f"  disk     {found['disk_bytes'] / 1e9:>7.2f}   GB, of which teacher outputs "
        f"{sum(found['store'].values()) / 1e9:.2f}",
        *_store_lines(found),
    ]
    lines += [f"  warning  {text}" for text in found["warnings"]]
    if reasons:
        lines.append("pruned cells:")
        lines += [f"  {count:>5} x {reason}" for reason, count in reasons.most_common(shown)]
        if len(reasons) > shown:
            lines.append(f"  and {len(reasons) - shown} more reasons: --json lists every cell")
    return "\n".join(lines)


def _basis(found: dict[str, Any]) -> str:
    """Where the estimate of the hours comes from."""
    if found["device_hours_measured"]:
        return "from the runs that are done"
    return "for a data-centre GPU, since no run of this study is done"


def _store_lines(found: dict[str, Any]) -> list[str]:
    """Lines on teacher outputs that are stored already, or will not be."""
    there, computed = (sum(found[f"store_{n}"].values()) / 1e9 for n in ("there", "computed"))
    lines = []
    if found["store_there"]:
        lines.append(f"  stored   {there:>7.2f}   GB of teacher outputs are there, and are read")
    if found["store_computed"]:
        count = len(found["store_computed"])
        lines.append(
            f"  computed {computed:>7.2f}   GB of teacher outputs ({count} arrays) are not stored "
            f"(the study's `store`): every run that reads them computes them"
        )
        if others := found["store_others"]:
            lines.append(
                f"  others   {others / 1e9:>7.2f}   GB of the room in `store` are taken by outputs "
                f"that no unfinished run of this study reads: `kd free STUDY...` lists them"
            )
    return lines
