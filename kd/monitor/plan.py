"""What a study would run: cells, runs, jobs, time, disk, and warnings of what it cannot show."""

from collections import Counter
from typing import Any

from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.data.corpus import MANIFEST, TOKENS
from kd.monitor.estimate import (
    FLOPS_PER_SECOND,
    corpus_bytes,
    hours,
    measured_speed,
    stage_bytes,
    stage_flops,
    student_bytes,
    teacher_bytes,
    to_teach,
)
from kd.results.advice import FEW_SEEDS
from kd.runtime.errors import listing
from kd.study.grid import Grid, pruned_values
from kd.study.paths import METRICS, RECORD, TRAINING, Layout
from kd.study.selected import tuned_of
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
    `tuning`: what the study's `select` multiplies (see `_tuning`), or None.
    """
    runs = list(grid.runs.values())
    left = [run for run in runs if not (layout.run(run) / METRICS).is_file()]
    untrained = unfinished(grid, layout)
    untaught = to_teach(left, layout)
    tokens = {(run.data_id, run.task, run.tokens_id) for run in untrained}
    tokens |= {(run.data_id, run.task, run.teacher.tokens_id) for run in untaught}
    missing = {key for key in tokens if not layout.tokens(*key).is_dir()}
    text = {key[:2] for key in missing if not layout.text(*key[:2]).is_dir()}
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
    starts = len(untrained) + len(left) + len(untaught) + len(unstaged)
    return {
        "study": grid.study.name,
        "cells": grid.cells,
        "pruned": [{"cell": cell, "reason": reason} for cell, reason in grid.pruned],
        "runs": len(runs),
        "done": len(runs) - len(left),
        "jobs": jobs,
        "device_hours": round(
            hours(untrained, untaught, unstaged, starts, speed or FLOPS_PER_SECOND), 3
        ),
        "device_hours_measured": speed is not None,
        "disk_bytes": sum(map(student_bytes, untrained))
        + sum(map(teacher_bytes, untaught))
        + sum(map(stage_bytes, unstaged))
        + sum(corpus_bytes(corpus) for corpus in dict.fromkeys(s.corpus for s in unstaged))
        + sum(store.values()),
        "store": store,
        "warnings": _warnings(grid),
        "store_there": there,
        "store_computed": computed,
        "store_others": outputs.others,
        "tuning": _tuning(grid),
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


def _tuning(grid: Grid) -> dict[str, Any] | None:
    """What is selected on the held-out slice, and how many more trainings that takes: `axes` and
    `teachers` (values by key), `share` of the training examples, `values` (combinations that a cell
    tries, at most), `runs_untuned` (cells times seeds), `recipes` of each teacher."""
    select = grid.study.select
    if select is None:
        return None
    tuned = tuned_of(grid)
    axes = dict(tuned.axes) if tuned else {}
    keys = [axis for axis in RUN_FIELDS if axis not in axes]
    cells = Counter(tuple(run.labels[key] for key in keys) for run in grid.runs.values())
    return {
        "axes": axes,
        "teachers": select.teachers,
        "share": select.share,
        "values": max(cells.values()),
        "runs_untuned": len(cells),
        "equal": len(set(cells.values())) == 1,
        "recipes": len(select.recipes) or 1,
    }


def _warnings(grid: Grid) -> list[str]:
    """Warnings, before anything runs, about what the study will not be able to show."""
    found = []
    seeds = len({run.values["seed"] for run in grid.runs.values()})
    if seeds < FEW_SEEDS:
        what = "nothing can be tested" if seeds == 1 else "no value will be recommended"
        found.append(f"{seeds} seed{'s' * (seeds > 1)}: below three {what}")
    found += data_warnings(grid.runs.values())
    found += _tuning_warnings(grid)
    for axis, value, reason in pruned_values(grid):
        found.append(f"no cell with {axis} {value} can run: {reason}")
    return found + _recipe_warnings(grid)


def _tuning_warnings(grid: Grid) -> list[str]:
    """Warnings about cells with fewer values than others, and teachers that may know the slice."""
    found = []
    if (tuning := _tuning(grid)) and not tuning["equal"]:
        found.append(
            f"select: some cells have fewer than {tuning['values']} values of "
            f"{listing(tuning['axes'])}, so the budgets of the methods differ"
        )
    held = grid.study.select or any(run.values["held_out"] for run in grid.runs.values())
    for name, teacher in grid.study.teachers.items():
        if held and teacher.get("finetuned"):
            found.append(
                f"teacher {name} is fine-tuned already, and may have seen the held-out slice: "
                f"slice scores of its students may be optimistic, though no dev score is"
            )
    return found


def _recipe_warnings(grid: Grid) -> list[str]:
    """Students with random weights and the default recipe, which suits pretrained encoders.

    The recipe does not follow `init`: cells along that axis would then differ in two things.
    """
    rate = RUN_DEFAULTS["learning_rate"]
    slow = [
        run
        for run in grid.runs.values()
        if "init" not in run.spec and run.values["learning_rate"] == rate
    ]
    if not slow:
        return []
    return [
        f"{len(slow)} runs start from random weights with the learning rate of pretrained "
        f"encoders ({rate:g}): set learning_rate (1e-4 in Turc et al. 2019, 1e-3 in the demo)"
    ]


def plan_text(found: dict[str, Any], shown: int = 10) -> str:
    """The plan for people."""
    reasons = Counter(entry["reason"] for entry in found["pruned"])
    lines = [
        f"study {found['study']}",
        f"  cells    {found['cells']:>7}   combinations that the study writes",
        f"  pruned   {len(found['pruned']):>7}   combinations that cannot run, or are excluded",
        f"  runs     {found['runs']:>7}   different runs (equal cells are one run)",
        *_tuning_lines(found["tuning"]),
        f"  done     {found['done']:>7}",
        "  jobs     " + ", ".join(f"{n} {rule}" for rule, n in found["jobs"].items() if n)
        if any(found["jobs"].values())
        else "  jobs     nothing to do",
        f"  device   {found['device_hours']:>7.2f}   hours on one device, estimated"
        f" {_basis(found)}",
        f"  disk     {found['disk_bytes'] / 1e9:>7.2f}   GB, of which teacher outputs "
        f"{sum(found['store'].values()) / 1e9:.2f}",
        *_store_lines(found),
        *map(_stage_line, found["stages"]),
    ]
    lines += [
        f"  plugin   {plugin['file']} (its code runs in every command and job; SHA-256 "
        f"{plugin['sha256'][:12]}): {listing(plugin['rows'])}; {plugin['runs']} runs use it"
        for plugin in found["plugins"]
    ]
    lines += [f"  warning  {text}" for text in found["warnings"]]
    if reasons:
        lines.append("pruned cells:")
        lines += [f"  {count:>5} x {reason}" for reason, count in reasons.most_common(shown)]
        if len(reasons) > shown:
            lines.append(f"  and {len(reasons) - shown} more reasons: --json lists every cell")
    return "\n".join(lines)


def _tuning_lines(tuning: dict[str, Any] | None) -> list[str]:
    """Lines on what the selection on the held-out slice multiplies."""
    if tuning is None:
        return []
    lines = []
    if tuning["axes"]:
        tried = " x ".join(f"{axis} {len(values)}" for axis, values in tuning["axes"].items())
        lines.append(
            f"  tuning   {tuning['values']:>7}   values for each cell ({tried}): without tuning "
            f"there would be {tuning['runs_untuned']} runs"
        )
    if tuning["teachers"]:
        tried = " x ".join(f"{key} {len(values)}" for key, values in tuning["teachers"].items())
        lines.append(f"  recipes  {tuning['recipes']:>7}   for each teacher and task ({tried})")
    lines.append(
        f"  slice    {100 * tuning['share']:>7.3g}   % of the training examples, which no training "
        f"sees: what is tuned is selected on them"
    )
    return lines


def _stage_line(stage: dict[str, Any]) -> str:
    """A line on a stage before the task."""
    state = "done" if stage["done"] else f"{stage['device_hours']:.2f} hours of the above"
    return (
        f"  stage    {stage['stage']} of {stage['student']}: {stage['steps']:,} steps, "
        f"{stage['tokens']:,} tokens, {state}; {stage['runs']} runs start from it"
    )


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
