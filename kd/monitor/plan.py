"""What a study would run, and how far it is: counts from the study and the files alone."""

from collections import Counter
from contextlib import suppress
from typing import Any

from kd.axes.constant_answer import teacher_warning
from kd.axes.fields import RUN_DEFAULTS, TEACHER_DEFAULTS
from kd.axes.pretrained import SCRATCH
from kd.axes.shapes import VOCABULARY, Shape, parse_shape
from kd.monitor.collect import run_status
from kd.runtime.errors import UserError
from kd.runtime.files import read_record
from kd.runtime.state import STATES
from kd.study.check import FEW_SEEDS
from kd.study.grid import Grid, pruned_values
from kd.study.paths import Layout
from kd.study.run import Run
from kd.study.stored import need_of, training_size
from kd.teacher.budget import choose_outputs, label, unfinished

# Effective training throughput that the estimate assumes where no run has been measured: a data
# centre GPU in bf16 reaches about this on short sequences.
FLOPS_PER_SECOND = 2e13
_START = 10.0  # seconds to start a job and load models
_BYTES = 4


def plan(grid: Grid, layout: Layout) -> dict[str, Any]:
    """Cells, pruned ones with reasons, distinct runs, done ones, jobs by rule, hours and disk.

    `device_hours` and `disk_bytes` are for what is still to do. Hours come from the runs of this
    study that are done, scaled by floating-point operations; where there is none, from
    FLOPS_PER_SECOND: an order of magnitude.

    Bytes of the teacher outputs that unfinished runs read, by name: `store` of those that will be
    stored, `store_there` of those that are, `store_computed` of those that are not, so that every
    run computes its own. `store_others`: bytes that outputs of other runs take of the budget.
    """
    runs = list(grid.runs.values())
    left = [run for run in runs if not (layout.run(run) / "metrics.json").is_file()]
    untrained = unfinished(grid, layout)
    to_teach = list(
        {
            run.teacher.id: run
            for run in left
            if run.needs_teacher and not (layout.teacher(run.teacher) / "metrics.json").is_file()
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
    changed = bool(left) or not (study / "runs.csv").is_file()
    jobs |= dict.fromkeys(("collect", "tables", "figures", "report", "guideline"), int(changed))
    speed = _measured_speed(runs, layout) or FLOPS_PER_SECOND
    operations = sum(map(run_flops, untrained)) + sum(map(teacher_flops, to_teach))
    starts = _START * (len(untrained) + len(left) + len(to_teach))
    return {
        "study": grid.study.name,
        "cells": grid.cells,
        "pruned": [{"cell": cell, "reason": reason} for cell, reason in grid.pruned],
        "runs": len(runs),
        "done": len(runs) - len(left),
        "jobs": jobs,
        "device_hours": round((operations / speed + starts) / 3600, 3),
        "disk_bytes": sum(map(_student_bytes, untrained))
        + sum(map(_teacher_bytes, to_teach))
        + sum(store.values()),
        "store": store,
        "warnings": _warnings(grid),
        "store_there": there,
        "store_computed": computed,
        "store_others": outputs.others,
    }


def _warnings(grid: Grid) -> list[str]:
    """What the study will not be able to say, before anything of it runs."""
    found = []
    seeds = len({run.values["seed"] for run in grid.runs.values()})
    if seeds < FEW_SEEDS:
        what = "nothing can be tested" if seeds == 1 else "no value will be recommended"
        found.append(f"{seeds} seed{'s' * (seeds > 1)}: below three {what}")
    for axis, value, reason in pruned_values(grid):
        found.append(f"no cell with {axis} {value} can run: {reason}")
    return found + _recipe_warnings(grid)


def _recipe_warnings(grid: Grid) -> list[str]:
    """Random weights that are trained by the defaults, which are those for pretrained encoders."""
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


def run_flops(run: Run) -> float:
    """Of one training: 3 forward passes of the student (backward is two), one of the teacher."""
    examples, tokens = training_size(run)
    student = 3 * parse_shape(run.spec["student"]).flops(tokens)
    teacher = run.teacher.encoder.shape.flops(tokens) if run.terms else 0
    return float(examples * run.values["epochs"] * (student + teacher))


def teacher_flops(run: Run) -> float:
    """Of fine-tuning a run's teacher; evaluating alone, where it is fine-tuned already."""
    examples, tokens = training_size(run)
    teacher = run.teacher
    if teacher.finetuned:
        return 0.0
    return float(examples * teacher.recipe["epochs"] * 3 * teacher.encoder.shape.flops(tokens))


def _measured_speed(runs: list[Run], layout: Layout) -> float | None:
    """Median operations per second of this study's finished trainings."""
    speeds = []
    for run in runs:
        path = layout.run(run) / "training.json"
        if path.is_file():
            with suppress(UserError):  # damaged: the next one that needs it says so
                seconds = read_record(path, "train_seconds", mark=False)["train_seconds"]
                speeds.append(run_flops(run) / max(seconds, 1e-3))
    return sorted(speeds)[len(speeds) // 2] if speeds else None


def _bytes(shape: Shape, vocabulary: int | None) -> int:
    return _BYTES * shape.parameters(vocabulary or VOCABULARY)


def _student_bytes(run: Run) -> int:
    return _bytes(parse_shape(run.spec["student"]), run.teacher.encoder.vocabulary)


def _teacher_bytes(run: Run) -> int:
    return _bytes(run.teacher.encoder.shape, run.teacher.encoder.vocabulary)


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
        f"  device   {found['device_hours']:>7.2f}   hours (an estimate)",
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


def _store_lines(found: dict[str, Any]) -> list[str]:
    """What there is to say of stored teacher outputs, beside those that will be stored."""
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


def status(grid: Grid, layout: Layout) -> dict[str, Any]:
    """Runs in each of STATES, in all and by value of every axis that varies."""
    found = {run.id: run_status(run, layout) for run in grid.runs.values()}
    by_axis = {}
    for axis in grid.varied:
        counts: dict[str, Counter[str]] = {}
        for run in grid.runs.values():
            counts.setdefault(run.labels[axis], Counter())[found[run.id][0]] += 1
        if len(counts) > 1:
            by_axis[axis] = {value: dict(count) for value, count in counts.items()}
    total = Counter(state for state, _ in found.values())
    return {
        "study": grid.study.name,
        "runs": len(found),
        **{state: total[state] for state in STATES},
        "axes": by_axis,
        "warnings": _teacher_warnings(grid, layout),
        "failures": [
            {"run": run, "error": error}
            for run, (state, error) in found.items()
            if state == "failed"
        ],
    }


def _teacher_warnings(grid: Grid, layout: Layout) -> list[dict[str, str]]:
    """Teachers that are done and know no more than a constant answer."""
    found = []
    for teacher in {run.teacher.id: run.teacher for run in grid.runs.values()}.values():
        with suppress(UserError):  # not there yet, or damaged: its runs' states say so
            record = read_record(layout.teacher(teacher) / "metrics.json", mark=False)
            if warning := teacher_warning(teacher.task, record):
                found.append({"teacher": teacher.id, "warning": f"{teacher.name}: {warning}"})
    return found


def status_text(found: dict[str, Any]) -> str:
    """The status for people."""
    total = ", ".join(f"{found[state]} {state}" for state in STATES)
    lines = [f"study {found['study']}: {found['runs']} runs: {total}"]
    width = max((len(v) for values in found["axes"].values() for v in values), default=0)
    for axis, values in found["axes"].items():
        lines.append(f"  {axis}")
        for value, counts in values.items():
            shown = "".join(f"{counts.get(state, 0):>6} {state}" for state in STATES)
            lines.append(f"    {value:<{width}} {shown}")
    if found["warnings"]:
        lines.append("teachers that have learned nothing:")
        lines += [f"  {entry['teacher']}: {entry['warning']}" for entry in found["warnings"]]
    if found["failures"]:
        lines.append("failed:")
        lines += [f"  {entry['run']}: {entry['error']}" for entry in found["failures"]]
    return "\n".join(lines)
