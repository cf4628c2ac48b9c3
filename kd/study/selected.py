"""What a study selects on the held-out slice, as the text that goes with its record."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from kd.axes.fields import RUN_FIELDS
from kd.axes.labels import INERT, parts
from kd.runtime.errors import shown
from kd.study.grid import Grid


@dataclass(frozen=True)
class Tuned:
    """What is tuned: `axes`, the values of each in the order of the study, as they are in runs.csv;
    and `cells`, the other axes that tell the study's cells apart, the task among them."""

    axes: Mapping[str, list[str]]
    cells: list[str]


def tuned_of(grid: Grid) -> Tuned | None:
    """What a study tunes; None where it selects no value of an axis."""
    if grid.study.select is None or not grid.study.select.axes:
        return None
    tuned = grid.study.select.axes
    axes = {
        axis: [str(v) for v in grid.study.axes[axis]] for axis in grid.study.axes if axis in tuned
    }
    for run in grid.runs.values():  # labels differ from what is written, for some axes
        for axis, values in axes.items():
            for text in parts(run.labels[axis]):
                if text not in values and text != INERT:
                    values.append(text)
    cells = dict.fromkeys(["task", *grid.varied])
    return Tuned(axes, [axis for axis in cells if axis not in (*axes, "seed")])


def select_text(grid: Grid) -> str:
    """The column `select` of runs.csv; '' where the study selects no value of an axis."""
    tuned = tuned_of(grid)
    return json.dumps({"axes": tuned.axes, "cells": tuned.cells}) if tuned else ""


def select_note(grid: Grid) -> list[str]:
    """What Snakemake compares, to collect anew where the selection changed; [] without one."""
    return [text] if (text := select_text(grid)) else []


def read_tuned(column: Iterable[str]) -> Tuned | None:
    """What the column `select` of a record says; None where it is blank.

    Raises:
        ValueError: it is not what `select_text` writes, or differs by row.
    """
    texts = sorted({text for text in column if text.strip()})
    if not texts:
        return None
    tuned = None
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(texts[0])
        axes = {key: [str(value) for value in values] for key, values in found["axes"].items()}
        tuned = Tuned(axes, [str(axis) for axis in found["cells"]])
    if len(texts) > 1 or tuned is None or not {*tuned.axes, *tuned.cells} <= set(RUN_FIELDS):
        raise ValueError(
            f"select: found {shown(texts[-1])}, allowed: what `kd collect` writes there, the same "
            f"in every row"
        )
    return tuned
