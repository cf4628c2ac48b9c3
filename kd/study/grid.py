"""Expands a study to cells, and cells to canonical runs without duplicates.

A *cell* is one combination of axis values as the study writes it. `run.resolve` makes a run of it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from kd.axes.fields import RECIPE, RUN_DEFAULTS, RUN_FIELDS
from kd.axes.labels import NONE, merged
from kd.axes.presets import read_preset
from kd.runtime.errors import Pruned, UserError, code_trouble
from kd.study.check import Study, load_study
from kd.study.keys import values_of
from kd.study.mistakes import keep, told
from kd.study.run import Run, resolve
from kd.study.stage import Stage
from kd.study.teacher import Teacher
from kd.study.terms import Cell

_NOT_IN_PRESETS = ("preset", "task", "teacher", "student", "seed")
PrunedValue = tuple[str, str, str]  # axis, value, the most frequent reason
_CROSSED = ("task", "seed")  # crossed with all else, even one at a time
# The axes with which entries of `include` are crossed, so that each has a control.
_CONTROLLED = (*_CROSSED, "student", "teacher")


@dataclass(frozen=True)
class Grid:
    """An expanded study: the number of cells, pruned cells with their reasons, different runs."""

    study: Study
    cells: int
    pruned: list[tuple[Cell, str]]
    runs: dict[str, Run]

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages that runs start from, by id."""
        return {run.stage.id: run.stage for run in self.runs.values() if run.stage}

    @property
    def varied(self) -> list[str]:
        """The fields that the study's axes and included cells vary, in table order."""
        named = {*self.study.axes, *(key for entry in self.study.include for key in entry)}
        return [key for key in RUN_FIELDS if key in named]

    @property
    def teachers(self) -> dict[str, Teacher]:
        """All teachers by id. The candidates of a selected teacher come before it."""
        found: dict[str, Teacher] = {}
        for run in self.runs.values():
            found |= {teacher.id: teacher for teacher in (*run.teacher.candidates, run.teacher)}
        return found


def load_grid(path: str | Path) -> Grid:
    """Read a study file and expand it. Errors name the file."""
    study = load_study(path)
    with told(study.path):
        try:
            grid = expand(study)
        except Exception as error:
            if sentence := code_trouble(error):  # in a plugin
                raise UserError(sentence) from error
            raise
    return grid


def expand(study: Study) -> Grid:
    """Expand, prune and deduplicate the cells of a study.

    Raises:
        UserError: every cell is pruned, or a file that a cell names is missing or wrong.
    """
    cells = 0
    pruned: list[tuple[Cell, str]] = []
    runs: dict[str, Run] = {}
    excludes_used = set()
    wrong = set()  # teachers of whose cells one has a mistake, which all may share
    for cell, named in cells_of(study):
        cells += 1
        full = _complete(study, cell)
        hits = [i for i, e in enumerate(study.exclude) if _excludes(e, full, named)]
        excludes_used.update(hits)
        if hits:
            pruned.append((cell, f"excluded by exclude[{hits[0]}]"))
            continue
        if full["teacher"] in wrong:
            continue
        try:
            run = resolve(study, full)
        except UserError as error:
            keep(error)
            wrong.add(full["teacher"])
            continue
        except Pruned as reason:
            pruned.append((cell, str(reason)))
            continue
        if run.id in runs:
            run = replace(runs[run.id], labels=merged(runs[run.id].labels, run.labels))
        runs[run.id] = run
    for i in range(len(study.exclude)):
        if i not in excludes_used:
            keep(UserError(f"exclude[{i}]: no cell matches it"))
    if not runs and not wrong:
        raise UserError(f"axes: none of the {cells} cells can run; the first: {pruned[0][1]}")
    return Grid(study, cells, pruned, _told_apart(runs))


def cells_of(study: Study) -> Iterator[tuple[Cell, set[str] | None]]:
    """(cell, named) for each different cell as the study writes it.

    `named` has the keys in its entry of `include`; it is None for a cell of the axes.
    """
    axes = study.axes
    tuned = study.select.axes if study.select else ()  # every cell gets every value
    crossed = {key: axes[key] for key in (*_CROSSED, *tuned) if key in axes}
    if study.design == "factorial":
        points = [dict(zip(axes, p, strict=True)) for p in product(*axes.values())]
    else:
        alone = [{k: value} for k, values in axes.items() if k not in crossed for value in values]
        points = [
            {**point, **dict(zip(crossed, p, strict=True))}
            for point in [{}, *alone]
            for p in product(*crossed.values())
        ]
    extra = [
        ({**entry, **dict(zip(free, p, strict=True))}, set(entry))
        for entry in study.include
        for free in [{k: axes[k] for k in axes if k in (*_CONTROLLED, *tuned) and k not in entry}]
        for p in product(*free.values())
    ]
    cells: dict[tuple[tuple[str, str], ...], tuple[Cell, set[str] | None]] = {}
    for point, named in [*((point, None) for point in points), *extra]:
        cell = _over_base(study, point)
        cells[_key(cell)] = cell, named
    for cell, named in cells.values():
        yield {k: cell[k] for k in RUN_FIELDS if k in cell}, named


def _over_base(study: Study, point: Cell) -> Cell:
    """The base with the values of a point. A preset of the point replaces that of the base."""
    if "preset" in point:
        return {**study.base, **_with_preset(point)}
    return {**_with_preset(study.base), **point}


def _with_preset(entry: dict[str, Any]) -> dict[str, Any]:
    """A partial run with the keys of its preset that it does not set itself."""
    name = entry.get("preset", NONE)
    return {**_preset_run(name), **entry} if name != NONE else entry


@cache
def _preset_run(name: str) -> dict[str, Any]:
    """The checked keys of a preset, which may not set task, teacher, student or seed."""
    fields = {k: f for k, f in RUN_FIELDS.items() if k not in _NOT_IN_PRESETS}
    return values_of(read_preset(name)["run"], f"preset {name}: run", fields)


def _key(cell: Cell) -> tuple[tuple[str, str], ...]:
    """A key that is equal for cells that the study writes in the same way."""
    return tuple(sorted((k, str(v)) for k, v in cell.items()))


def _complete(study: Study, cell: Cell) -> Cell:
    only_teacher = {"teacher": next(iter(study.teachers))} if len(study.teachers) == 1 else {}
    held = {}
    if study.select:
        held = {"held_out": study.select.share, "held_out_seed": study.select.seed}
    return {**RUN_DEFAULTS, "recipe": RECIPE, **only_teacher, **cell, **held}


def _excludes(entry: dict[str, list[Any]], cell: Cell, named: set[str] | None) -> bool:
    """Whether an entry of `exclude` leaves a cell out.

    A cell of `include` can only be left out by the keys that its entry is crossed with. So an
    excluded student has no control either.
    """
    if named is not None and not (entry.keys() <= {*_CONTROLLED} - named):
        return False
    return all(cell.get(key) in values for key, values in entry.items())


def _told_apart(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs, where those with equal labels get their whole objective as `knowledge`."""
    counts = Counter(tuple(run.labels.values()) for run in runs.values())
    return {
        id: run
        if counts[tuple(run.labels.values())] == 1
        else replace(run, labels={**run.labels, "knowledge": run.objective})
        for id, run in runs.items()
    }


def pruned_values(grid: Grid | None) -> list[PrunedValue]:
    """Values of axes none of whose cells can run; [] if the grid is not known."""
    if grid is None or not grid.pruned:
        return []
    cells = [cell for cell, _ in cells_of(grid.study)]
    found = []
    for axis, values in grid.study.axes.items():
        for value in values:
            reasons = Counter(why for cell, why in grid.pruned if cell.get(axis) == value)
            if reasons.total() and reasons.total() == sum(c.get(axis) == value for c in cells):
                found.append((axis, str(value), reasons.most_common(1)[0][0]))
    return found
