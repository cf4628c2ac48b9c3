"""The tuned axes of a study, the part of its grid and its looks, as text for its record."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from kd.axes.fields import RUN_FIELDS
from kd.axes.labels import INERT, parts
from kd.runtime.errors import shown
from kd.study.check import Study
from kd.study.design_keys import design_text
from kd.study.grid import Grid


@dataclass(frozen=True)
class Tuned:
    """`axes` has the values of each tuned axis in the order of the study, as they are in runs.csv.
    `cells` has the other axes by which cells differ, with the task."""

    axes: Mapping[str, list[str]]
    cells: list[str]


def tuned_of(grid: Grid) -> Tuned | None:
    """The tuned axes of a study; None if it tunes none."""
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
    """The column `select` of runs.csv; '' if the study tunes no axis."""
    tuned = tuned_of(grid)
    return json.dumps({"axes": tuned.axes, "cells": tuned.cells}) if tuned else ""


def part_text(grid: Grid) -> str:
    """The column `design` of runs.csv; '' if the study runs all cells of its design."""
    if not grid.chosen:
        return ""
    return design_text(grid.study.design, grid.chosen.cells, grid.chosen.possible)


def looks_text(study: Study) -> str:
    """The column `looks` of runs.csv: `3 5 8`; '' if the study has none."""
    return " ".join(map(str, study.looks))


def select_note(grid: Grid) -> list[str]:
    """What Snakemake compares, to collect again if the selection, the part of the grid or the
    looks change; [] without one."""
    texts = (select_text(grid), part_text(grid), looks_text(grid.study))
    return [text for text in texts if text]


def read_tuned(column: Iterable[str]) -> Tuned | None:
    """The tuned axes in the column `select` of a record; None if it is blank.

    Raises:
        ValueError: the text is not from `select_text`, or differs by row.
    """
    texts = sorted({text for text in column if text.strip()})
    if not texts:
        return None
    tuned = None
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        keys = json.loads(texts[0])
        axes = {key: [str(value) for value in values] for key, values in keys["axes"].items()}
        tuned = Tuned(axes, [str(axis) for axis in keys["cells"]])
    if len(texts) > 1 or tuned is None or not {*tuned.axes, *tuned.cells} <= set(RUN_FIELDS):
        raise ValueError(
            f"select: found {shown(texts[-1])}, allowed: what `kd collect` writes there, the same "
            f"in every row"
        )
    return tuned
