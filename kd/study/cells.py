"""Completes a cell: from its preset, the base of the study, its key `select`, and the defaults."""

from functools import cache
from typing import Any

from kd.axes.fields import RECIPE, RUN_DEFAULTS, RUN_FIELDS
from kd.axes.labels import NONE
from kd.axes.presets import read_preset
from kd.study.check import Study
from kd.study.keys import values_of
from kd.study.terms import Cell

_NOT_IN_PRESETS = ("preset", "task", "teacher", "student", "seed")


def over_base(study: Study, point: Cell) -> Cell:
    """The base with the values of a point. A preset of the point replaces that of the base."""
    if "preset" in point:
        return {**study.base, **_with_preset(point)}
    return {**_with_preset(study.base), **point}


def _with_preset(entry: dict[str, Any]) -> dict[str, Any]:
    """A partial run with the keys of its preset that it does not set itself."""
    name = entry.get("preset", NONE)
    return {**preset_run(name), **entry} if name != NONE else entry


@cache
def preset_run(name: str) -> dict[str, Any]:
    """The checked keys of a preset, which may not set task, teacher, student or seed."""
    fields = {k: f for k, f in RUN_FIELDS.items() if k not in _NOT_IN_PRESETS}
    return values_of(read_preset(name)["run"], f"preset {name}: run", fields)


def complete(study: Study, cell: Cell) -> Cell:
    """A cell with a value for every field of a run."""
    only_teacher = {"teacher": next(iter(study.teachers))} if len(study.teachers) == 1 else {}
    held = {}
    if study.select:
        held = {"held_out": study.select.share, "held_out_seed": study.select.seed}
    return {**RUN_DEFAULTS, "recipe": RECIPE, **only_teacher, **cell, **held}
