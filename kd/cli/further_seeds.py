"""`kd next`: which cells of a study deserve further seeds."""

import argparse
import json
import sys
from math import prod
from typing import Any

from kd.cli.arguments import COUNT, Commands, grid_of, study_command
from kd.runtime.errors import UserError
from kd.runtime.words import count
from kd.study.grid import Grid
from kd.study.paths import RECORD, Layout

_NEXT = """\
Say which cells deserve further seeds, so that open answers are decided

It needs the key `looks` of the study, such as `looks: [3, 5, 8]`: the numbers of seeds at which the
study is looked at, written before the runs. It lists the contrasts that the guideline leaves open,
those first that a run is most likely to decide at the next look; the cells and seeds that this
takes; and the hours. --runs N lists what N runs allow. --write adds the cells to the key `include`
of the study file, so that Snakemake runs just these. Intervals stay valid: see docs/statistics.md.
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = study_command(commands, "next", _next, _NEXT, "--json")
    parser.add_argument(
        "--runs", type=COUNT, metavar="N", help="at most so many new runs (default: all that help)"
    )
    parser.add_argument(
        "--write", action="store_true", help="add the cells to the study file, under include"
    )


def _next(options: argparse.Namespace) -> None:
    from kd.results.advice.further_seeds import chosen_steps, next_steps
    from kd.results.record import load_record, warned

    grid, layout = grid_of(options)
    study = grid.study
    if not study.looks:
        raise UserError(
            f"{study.path}: kd next needs the key looks, the numbers of seeds at which the study "
            f"is looked at, such as looks: [3, 5, 8]; write it before the runs"
        )
    place = layout.study(study.name) / RECORD
    if not place.is_file():
        raise UserError(f"{place}: missing; `kd collect {options.study}` makes it of finished runs")
    record = warned(load_record(place, study))
    if not record.runs["score"].notna().any():
        raise UserError(f"{place}: no run has finished, so there is nothing to go on from")
    tuned = study.select.axes if study.select else ()
    each_cell = prod(len(study.axes[axis]) for axis in tuned)
    steps, answered = next_steps(record.runs, study.margin, each_cell)
    chosen = chosen_steps(steps, options.runs, each_cell)
    facts = _facts(grid, layout, steps, chosen, answered)
    waiting = int((~record.every["status"].isin(["done", "failed"])).sum())
    facts |= {"runs_given": options.runs, "waiting": waiting}
    print(json.dumps(facts, indent=2) if options.json else _text(facts))
    if options.write and facts["include"]:
        _write(grid, facts, sys.stderr if options.json else sys.stdout)


def _facts(
    grid: Grid, layout: Layout, steps: list[Any], chosen: list[Any], answered: list[Any]
) -> dict[str, Any]:
    """What the command prints, as plain data."""
    from kd.monitor.plan import plan
    from kd.study.further import entries_of
    from kd.study.grid import grid_of_content
    from kd.study.read import read_yaml

    looks = grid.study.looks
    entries = entries_of(grid, {need for step in chosen for need in step.needs})
    facts = {
        "study": grid.study.name,
        "looks": list(looks),
        "questions": [_question(advice, looks) for advice in answered],
        "steps": [_step(step) for step in chosen],
        "further_steps": [_step(step) for step in steps if not _among(step, chosen)],
        "include": entries,
        "runs": 0,
        "device_hours": 0.0,
    }
    if entries:
        content = read_yaml(grid.study.path)
        content["include"] = [*(content.get("include") or []), *entries]
        larger = grid_of_content(grid.study.path, content)
        hours = [plan(g, layout)["time"]["hours"] for g in (larger, grid)]
        facts["runs"] = len(larger.runs.keys() - grid.runs.keys())
        facts["device_hours"] = round(max(0.0, hours[0] - hours[1]), 3)
    return facts


def _among(step: Any, chosen: list[Any]) -> bool:
    return any((s.axis, s.contrast) == (step.axis, step.contrast) for s in chosen)


def _question(advice: Any, looks: tuple[int, ...]) -> dict[str, Any]:
    """One question: what is decided, what is open, and what has no look left."""
    return {
        "axis": advice.axis,
        "size": advice.size,
        "best": advice.best,
        "decided": [c.other for c in (*advice.worse, *advice.equal)],
        "open": [c.other for c in advice.not_worse if c.look < looks[-1]],
        "at_last_look": [c.other for c in advice.not_worse if c.look >= looks[-1]],
    }


def _step(step: Any) -> dict[str, Any]:
    c = step.contrast

    def number(value: float) -> float | None:
        return None if value != value else round(float(value), 4)

    return {
        "axis": step.axis,
        "best": c.value,
        "other": c.other,
        "difference": number(c.difference),
        "interval": None if c.low != c.low else [number(c.low), number(c.high)],
        "look": c.look,
        "next_look": step.look,
        "chance": number(step.chance),
        "cells": len({run for run, _ in step.needs}),
        "seeds": sorted({seed for _, seed in step.needs}),
        "runs": step.cost,
        "waiting": step.waiting,
    }


def _text(facts: dict[str, Any]) -> str:
    """The facts for a person."""
    looks = ", ".join(map(str, facts["looks"]))
    lines = [f"study {facts['study']}: looks at {looks} seeds"]
    for question in facts["questions"]:
        parts = [f"{question['best']} leads"]
        for key, words in (
            ("decided", "decided"), ("open", "open"), ("at_last_look", "open after the last look"),
        ):  # fmt: skip
            if question[key]:
                parts.append(f"{words}: {', '.join(question[key])}")
        of = f" of {question['size']}" if question["size"] else ""
        lines.append(f"  {question['axis']}{of}: {'; '.join(parts)}")
    if not facts["questions"]:
        lines.append(
            "  no question has an answer yet: no two values of an axis have a complete look on the "
            "same settings, or no student is above the constant answer"
        )
    if facts["waiting"]:
        lines.append(
            count(facts["waiting"], "run of the study is", "runs of the study are")
            + " not done yet: let Snakemake run them first, for they may decide more"
        )
    if facts["steps"]:
        lines.append("further seeds, the contrast first that a run is most likely to decide:")
        lines += [_line(step, i) for i, step in enumerate(facts["steps"], start=1)]
        new = count(facts["runs"], "new run")
        lines.append(f"in all {new}, {facts['device_hours']:.2g} device hours:")
        lines += _cells(facts["include"])
    left = facts["further_steps"]
    if left and facts["runs_given"]:
        lines.append(f"not within {count(facts['runs_given'], 'run')}:")
        lines += [_line(step) for step in left]
    if not facts["steps"] and not left and facts["questions"]:
        ended = any(question["at_last_look"] for question in facts["questions"])
        lines.append(
            "nothing to add: what is open has reached the last look, and more seeds would not be "
            "valid evidence; a new study with other seeds can go on"
            if ended
            else "nothing to add: every question that has an answer is decided"
        )
    return "\n".join(lines)


def _line(step: dict[str, Any], number: int = 0) -> str:
    known = "no look is complete"
    if step["look"]:
        known = f"now {step['difference']:+.2f} points"
        if step["interval"]:
            known += " ({:+.2f} to {:+.2f})".format(*step["interval"])
        known += f" with {step['look']} seeds"
    chance = "unknown" if step["chance"] is None else f"{step['chance']:.0%}"
    cost = f"{count(step['runs'], 'run')}: seeds {', '.join(map(str, step['seeds']))} of " + (
        count(step["cells"], "cell")
    )
    if not step["cells"]:
        cost = "no new run"
    waiting = f", and {count(step['waiting'], 'planned run')}" if step["waiting"] else ""
    return (
        f"  {f'{number}.' if number else '-'} {step['axis']}: {step['best']} against "
        f"{step['other']}, {known}; chance of a decision at {step['next_look']} seeds {chance}; "
        f"{cost}{waiting}"
    ).replace("-0.00", "0.00")


def _cells(entries: list[dict[str, Any]]) -> list[str]:
    """A line for each cell, with its seeds."""
    seeds: dict[str, list[str]] = {}
    for entry in entries:
        cell = ", ".join(f"{key} {value}" for key, value in entry.items() if key != "seed")
        seeds.setdefault(cell or "the base", []).append(str(entry["seed"]))
    return [
        f"  - {cell}: seed{'s' * (len(own) > 1)} {', '.join(own)}" for cell, own in seeds.items()
    ]


def _write(grid: Grid, facts: dict[str, Any], out: Any) -> None:
    from kd.runtime.files import atomic_write
    from kd.study.further import with_entries

    path = grid.study.path
    entries = facts["include"]
    note = f"kd next, looks {facts['looks']}"
    try:
        text = with_entries(path.read_bytes().decode(), entries, note)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    atomic_write(path, text)
    print(f"{path}: {count(len(entries), 'entry', 'entries')} added to include", file=out)
