"""`kd plan --budget-hours`: the studies that fit into a number of device hours."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from kd.cli.arguments import COUNT, POINTS, limited
from kd.cli.power import planned_runs, variances_for
from kd.results.advice import FEW_SEEDS
from kd.runtime.errors import UserError, listing
from kd.runtime.words import count
from kd.study.grid import Grid, load_grid
from kd.study.paths import Layout

_WITH = ("difference", "write", "choose")  # options that go with --budget-hours


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a budget to the command `plan`."""
    parser.add_argument(
        "--budget-hours", type=limited(float, 1e-6, 1e7, "hours above 0"), metavar="H",
        help="propose smaller studies that take at most H hours on one device",
    )  # fmt: skip
    parser.add_argument(
        "--difference", type=POINTS, metavar="POINTS",
        help="with --budget-hours: keep the seeds that find it (default: the study's margin)",
    )  # fmt: skip
    parser.add_argument(
        "--write", type=Path, metavar="FILE",
        help="with --budget-hours: write a proposal as a study file, beside that of the study",
    )  # fmt: skip
    parser.add_argument(
        "--choose", type=COUNT, metavar="N", help="with --write: the number of the proposal (1)"
    )


def is_asked(options: argparse.Namespace) -> bool:
    """Whether a budget is asked for.

    Raises:
        UserError: an option of it stands alone.
    """
    if options.budget_hours is not None:
        if options.choose is not None and not options.write:
            raise UserError("plan: --choose goes with --write FILE")
        return True
    if alone := [f"--{name}" for name in _WITH if getattr(options, name) is not None]:
        raise UserError(f"plan: {listing(alone)}: goes with --budget-hours H")
    return False


def show(options: argparse.Namespace, grid: Grid, layout: Layout) -> None:
    """Print the proposals, and write one of them where that is asked for.

    Raises:
        UserError: no smaller study fits, or --choose names a proposal that does not exist.
    """
    from kd.monitor.budget import proposals
    from kd.results.power.study import study_power

    hours, study = options.budget_hours, grid.study
    if options.write:
        _check_place(options.write, study.path.parent.resolve())
    sources = variances_for(study, layout)
    wanted = options.difference or study.margin
    power = study_power(planned_runs(study), sources, wanted)
    seeds = _fewest_seeds(power, len({run.values["seed"] for run in grid.runs.values()}))
    fitting = proposals(grid, layout, hours, seeds, options.device, options.devices)
    if not fitting:
        raise UserError(
            f"{study.path}: no smaller study with {count(seeds, 'seed')}, two values of each axis "
            f"and one task takes {hours:g} hours or less on one device"
        )
    rows = [
        {
            "number": number,
            "name": smaller.name,
            "runs": len(smaller.grid.runs),
            "device_hours": round(smaller.plan["time"]["hours"], 3),
            "wall_hours": smaller.plan["time"]["wall_hours"],
            "cuts": smaller.cuts,
            "questions": _questions(study_power(planned_runs(smaller.grid.study), sources, wanted)),
            "unknown": [row["task"] for row in power["unknown"]],
            "content": smaller.content,
        }
        for number, smaller in enumerate(fitting, start=1)
    ]
    facts = {"study": study.name, "budget_hours": hours, "fewest_seeds": seeds, "proposals": rows}
    print(json.dumps(facts, indent=2) if options.json else _text(facts, wanted))
    if options.write:
        _write(options, grid, rows)


def _fewest_seeds(power: dict[str, Any], planned: int) -> int:
    """The seeds that the study's contrasts need, but not more than planned; FEW_SEEDS where no
    variance is known."""
    rows = _main_rows(power["contrasts"])
    needed = [planned if row["needed"] is None else row["needed"] for row in rows]
    return min(planned, max([FEW_SEEDS, *needed]))


def _main_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of contrasts over all tasks, where there are several; else those of the tasks."""
    many = {(row["axis"], row["a"], row["b"]) for row in rows if row["tasks"] > 1}
    return [r for r in rows if r["tasks"] > 1 or (r["axis"], r["a"], r["b"]) not in many]


def _questions(power: dict[str, Any]) -> list[dict[str, Any]]:
    """By axis, the smallest difference that all its contrasts show, in points; None with one seed.
    With several tasks it is that of their mean."""
    by_axis: dict[str, list[dict[str, Any]]] = {}
    for row in _main_rows(power["contrasts"]):
        by_axis.setdefault(row["axis"], []).append(row)
    return [
        {
            "axis": axis,
            "contrasts": len({(row["a"], row["b"]) for row in rows}),
            "seeds": min(row["seeds"] for row in rows),
            "tasks": max(row["tasks"] for row in rows),
            "smallest": None
            if any(row["smallest"] is None for row in rows)
            else max(row["smallest"] for row in rows),
        }
        for axis, rows in by_axis.items()
    ]


def _text(facts: dict[str, Any], wanted: float) -> str:
    points = f"{wanted:g} point{'s' * (wanted != 1)}"
    lines = [
        f"study {facts['study']}: proposals of at most {facts['budget_hours']:g} hours on one "
        f"device, with at least {count(facts['fewest_seeds'], 'seed')} (what a difference of "
        f"{points} needs, or all seeds of the study if it has fewer)"
    ]
    for row in facts["proposals"]:
        lines.append(
            f"{row['number']}. {row['name']}: {count(row['runs'], 'run')}, "
            f"{row['device_hours']:.2f} hours"
        )
        lines += [f"     leaves out: {cut}" for cut in row["cuts"]]
        for shown in row["questions"]:
            over = f"the mean of {shown['tasks']} tasks" if shown["tasks"] > 1 else "each task"
            shows = "nothing with one seed"
            if shown["smallest"] is not None:
                gap = f"differences of {shown['smallest']:.2g} points"
                shows = f"{gap} on {over}, with {shown['seeds']} seeds"
            lines.append(
                f"     {shown['axis']} ({count(shown['contrasts'], 'pair')}): shows {shows}"
            )
    if unknown := facts["proposals"][0]["unknown"]:
        lines.append(
            f"No record has a variance for {listing(unknown)}, so nothing is said of what they "
            f"show: `kd power` explains how a pilot gives one."
        )
    return "\n".join(lines)


def _check_place(path: Path, folder: Path) -> None:
    """Check that a study can be written there: paths in a study start at its folder."""
    if path.exists():
        raise UserError(f"--write: {path} is there already; give another name")
    if path.suffix not in (".yaml", ".yml") or path.parent.resolve() != folder:
        raise UserError(
            f"--write: found {path}, allowed: a new .yaml file in {folder}, because paths in a "
            f"study start at its folder"
        )


def _write(options: argparse.Namespace, grid: Grid, rows: list[dict[str, Any]]) -> None:
    import yaml

    from kd.runtime.files import atomic_write

    number, path = options.choose or 1, options.write
    if not 1 <= number <= len(rows):
        raise UserError(f"plan: --choose: found {number}, allowed: 1 to {len(rows)}")
    row = rows[number - 1]
    name = f"{grid.study.name[:50]}-{row['runs']}"
    head = f"# Of {grid.study.path.name}, within {options.budget_hours:g} device hours."
    lines = [head, *(f"# Leaves out: {cut}" for cut in row["cuts"])]
    text = yaml.safe_dump({**row["content"], "study": name}, sort_keys=False, allow_unicode=True)
    atomic_write(path, "\n".join([*lines, text]))
    told = f"{path}: written, {len(load_grid(path).runs)} runs"
    print(told, file=sys.stderr if options.json else sys.stdout)
