"""Expands a study to cells, and cells to canonical runs without duplicates.

A *cell* is one combination of axis values as the study writes it. `run.resolve` makes a run of it.
Where the design runs a part of the cells, `choose` draws it among those that can run.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.axes.fields import RUN_FIELDS
from kd.axes.labels import merged
from kd.runtime.errors import Pruned, UserError, code_trouble
from kd.study.cells import complete, over_base
from kd.study.check import Study, load_study, study_of
from kd.study.design_keys import CROSSED, FACTORIAL
from kd.study.mistakes import keep, told
from kd.study.run import Run, resolve
from kd.study.stage import Stage
from kd.study.teacher import Teacher
from kd.study.terms import Cell

if TYPE_CHECKING:
    from kd.study.aliasing import Aliasing
    from kd.study.chosen import Chosen

# The axes with which entries of `include` are crossed, so that each has a control.
CONTROLLED = (*CROSSED, "student", "teacher")


@dataclass(frozen=True)
class Grid:
    """An expanded study: the number of cells, pruned cells with their reasons, different runs.

    `written` has the first cell of each run. Where a part of the cells is run, `chosen` is that
    part. `cells` are then its cells, and those that cannot run, tried with the first seed alone.
    """

    study: Study
    cells: int
    pruned: list[tuple[Cell, str]]
    runs: dict[str, Run]
    chosen: "Chosen | None" = None
    written: dict[str, Cell] = field(default_factory=dict)

    @property
    def trained(self) -> dict[str, Run]:
        """All runs that are trained, by id: first those whose students are teachers of others, each
        after its own teacher, then the other cells."""
        return {**self.assistants, **self.runs}

    @property
    def assistants(self) -> dict[str, Run]:
        """The runs whose students are teachers, by id, whether they are cells or not."""
        return {run.id: run for cell in self.runs.values() for run in cell.assistants}

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages that runs start from, by id."""
        return {run.stage.id: run.stage for run in self.trained.values() if run.stage}

    @property
    def varied(self) -> list[str]:
        """The fields that the study's axes and included cells vary, in table order."""
        named = {*self.study.axes, *(key for entry in self.study.include for key in entry)}
        return [key for key in RUN_FIELDS if key in named]

    def mixed(self) -> "Aliasing":
        """What the runs mix, along the axes that are not crossed with all else."""
        from kd.study.chosen import mixed_in

        names = [key for key in self.varied if key not in _crossed(self.study)]
        labels = [run.labels for run in self.runs.values()]
        return mixed_in(
            {key: [own[key] for own in labels] for key in names}, self.study.design.pairs
        )

    @property
    def teachers(self) -> dict[str, Teacher]:
        """All teachers by id, each after its own teacher and the candidates that it is one of."""
        by_id: dict[str, Teacher] = {}
        for run in self.trained.values():
            by_id |= {teacher.id: teacher for teacher in (*run.teacher.candidates, run.teacher)}
        return by_id


def load_grid(path: str | Path) -> Grid:
    """Read a study file and expand it. Errors name the file."""
    return _expanded(load_study(path))


def grid_of_content(path: Path, content: Any) -> Grid:
    """The grid of a study file, as if it had this content."""
    return _expanded(study_of(path, content))


def _expanded(study: Study) -> Grid:
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
    seen = _Seen()
    chosen, pruned = _choose(study, seen) if study.design.chosen else (None, [])
    every = list(cells_of(study, chosen))
    included = {_key(cell) for cell, named in every if named is not None}
    pruned = [(cell, reason) for cell, reason in pruned if _key(cell) not in included]
    tried = {_key(cell) for cell, _ in pruned}
    cells = len(pruned)
    runs: dict[str, Run] = {}
    written: dict[str, Cell] = {}
    for cell, named in every:
        if _key(cell) in tried:
            continue
        cells += 1
        run = _run_of(study, cell, named, seen)
        if isinstance(run, str):
            pruned.append((cell, run))
        if run is None or isinstance(run, str):
            continue
        if run.id in runs:
            run = replace(runs[run.id], labels=merged(runs[run.id].labels, run.labels))
        runs[run.id] = run
        written.setdefault(run.id, cell)
    untried = {*_crossed(study)} - {"task"} if chosen else set()
    for i, entry in enumerate(study.exclude):
        if i not in seen.excludes and not untried & {*entry}:
            keep(UserError(f"exclude[{i}]: no cell matches it"))
    if not runs and not seen.wrong:
        raise UserError(f"axes: none of the {cells} cells can run; the first: {pruned[0][1]}")
    return Grid(study, cells, pruned, _told_apart(runs), chosen, written)


@dataclass
class _Seen:
    """Entries of `exclude` that leave a cell out, and teachers of whose cells one has a mistake,
    which all may share."""

    excludes: set[int] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)


def _run_of(
    study: Study, cell: Cell, named: set[str] | None, seen: _Seen, apart: Collection[str] = ()
) -> Run | str | None:
    """The run of a cell, or why it has none; None if the cell has a mistake, which is kept.

    Entries of `exclude` that name a key in `apart` are not tried.
    """
    full = complete(study, cell)
    hits = [
        i
        for i, entry in enumerate(study.exclude)
        if not {*apart} & {*entry} and _excludes(entry, full, named)
    ]
    seen.excludes.update(hits)
    if hits:
        return f"excluded by exclude[{hits[0]}]"
    if full["teacher"] in seen.wrong:
        return None
    try:
        return resolve(study, full)
    except UserError as error:
        keep(error)
        seen.wrong.add(full["teacher"])
        return None
    except Pruned as reason:
        return str(reason)


def _crossed(study: Study) -> dict[str, list[Any]]:
    """The axes that are crossed with all else, whatever the design."""
    tuned = study.select.axes if study.select else ()  # every cell gets every value
    return {key: study.axes[key] for key in (*CROSSED, *tuned) if key in study.axes}


def _choose(study: Study, seen: _Seen) -> tuple["Chosen", list[tuple[Cell, str]]]:
    """The chosen part of the cells that can run, and the cells that cannot, by task.

    Points that are the same runs are one cell. They are compared with the first seed, and with
    every seed where they are equal there. What is excluded with some seeds alone can run.
    """
    from kd.study.chosen import choose

    crossed = _crossed(study)
    axes = {key: values for key, values in study.axes.items() if key not in crossed}
    first = {key: values[0] for key, values in crossed.items() if key != "task"}
    tasks = [{"task": task} for task in study.axes.get("task", ())] or [{}]
    pruned: list[tuple[Cell, str]] = []

    def ids(point: Cell, fixed: Cell, noted: bool = False) -> tuple[str, ...]:
        run_ids = []
        for task in tasks:
            cell = over_base(study, {**point, **fixed, **task})
            run = _run_of(study, cell, None, seen, first)
            if isinstance(run, str) and noted:
                pruned.append(({k: cell[k] for k in RUN_FIELDS if k in cell}, run))
            run_ids.append(run.id if isinstance(run, Run) else "")
        return tuple(run_ids)

    groups: dict[Any, list[Cell]] = {}
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        key: Any = ids(point, first, noted=True)
        if not any(key):
            continue
        if key in groups and len(crossed.get("seed", ())) > 1:
            more = [{**first, "seed": seed} for seed in crossed["seed"][1:]]
            if [ids(point, f) for f in more] != [ids(groups[key][0], f) for f in more]:
                key = _key(point)
        groups.setdefault(key, []).append(point)
    if not groups and not seen.wrong:
        raise UserError(f"axes: none of the {len(pruned)} cells can run; the first: {pruned[0][1]}")
    return choose(study.design, axes, list(groups.values())), pruned


def cells_of(
    study: Study, chosen: "Chosen | None" = None
) -> Iterator[tuple[Cell, set[str] | None]]:
    """(cell, named) for each different cell as the study writes it, of the chosen part alone.

    `named` has the keys in its entry of `include`; it is None for a cell of the axes.
    """
    axes, crossed = study.axes, _crossed(study)
    if chosen:
        points = [
            {**point, **dict(zip(crossed, p, strict=True))}
            for point in chosen.points
            for p in product(*crossed.values())
        ]
    elif study.design.kind == FACTORIAL:
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
        for free in [{k: axes[k] for k in axes if k in {*CONTROLLED, *crossed} - {*entry}}]
        for p in product(*free.values())
    ]
    cells: dict[tuple[tuple[str, str], ...], tuple[Cell, set[str] | None]] = {}
    for point, named in [*((point, None) for point in points), *extra]:
        cell = over_base(study, point)
        cells[_key(cell)] = cell, named
    for cell, named in cells.values():
        yield {k: cell[k] for k in RUN_FIELDS if k in cell}, named


def _key(cell: Cell) -> tuple[tuple[str, str], ...]:
    """A key that is equal for cells that the study writes in the same way."""
    return tuple(sorted((k, str(v)) for k, v in cell.items()))


def _excludes(entry: dict[str, list[Any]], cell: Cell, named: set[str] | None) -> bool:
    """Whether an entry of `exclude` leaves a cell out.

    A cell of `include` can only be left out by the keys that its entry is crossed with. So an
    excluded student has no control either.
    """
    if named is not None and not (entry.keys() <= {*CONTROLLED} - named):
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
