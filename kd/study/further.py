"""Further seeds for some cells of a study, as entries of `include` in its file."""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from kd.axes.fields import RUN_FIELDS
from kd.axes.labels import NONE
from kd.runtime.errors import UserError
from kd.study.cells import over_base
from kd.study.check import Study
from kd.study.grid import CONTROLLED, Grid

Entry = dict[str, Any]


def entries_of(grid: Grid, needs: Iterable[tuple[str, int]]) -> list[Entry]:
    """The entries of `include` that add these runs to a study, and no others.

    An entry names all by which its cell differs from the base and its preset. An axis that entries
    are crossed with is left out where all of its values are wanted.

    Args:
        grid: of the study.
        needs: (id of a run of the cell, seed).
    """
    study = grid.study
    tuned = study.select.axes if study.select else ()
    place = {run: number for number, run in enumerate(grid.runs)}
    entries: list[Entry] = []
    known = [need for need in needs if need[0] in place]  # the study may have dropped a cell
    for run, seed in sorted(known, key=lambda need: (need[1], place[need[0]])):
        cell = {**grid.written[run], "seed": seed}
        preset = cell.get("preset", NONE)
        named = "preset" in study.axes or preset != study.base.get("preset", NONE)
        given = over_base(study, {"preset": preset} if named else {})
        if named:  # an entry that names a preset has its keys from there
            del given["preset"]
        entry = {
            key: value
            for key, value in cell.items()
            if key not in tuned and (key in study.axes or given.get(key) != value)
        }
        if entry not in entries:
            entries.append(entry)
    for axis in CONTROLLED:
        if axis != "seed" and axis in study.axes:
            entries = _without(entries, axis, study.axes[axis])
    return [{key: _as_written(study, key, entry[key]) for key in entry} for entry in entries]


def _without(entries: Sequence[Entry], axis: str, values: Sequence[Any]) -> list[Entry]:
    """The entries, where those that differ only in this axis and have all of its values are one."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        rest = {key: value for key, value in entry.items() if key != axis}
        groups.setdefault(repr(rest), []).append(entry)
    merged = []
    for group in groups.values():
        if all(axis in entry for entry in group) and len(group) == len(values):
            merged.append({key: value for key, value in group[0].items() if key != axis})
        else:
            merged += group
    return merged


def _as_written(study: Study, key: str, value: Any) -> Any:
    """A value in the words of the study file, where it has them."""
    for written in study.written.get(key, ()):
        if RUN_FIELDS[key].parse(written) == value:
            return written
    return value


def with_entries(text: str, entries: Sequence[Entry], note: str) -> str:
    """A study file with more entries of `include`; all other lines stay as they are.

    Args:
        text: of the file, with its own ends of lines, which the entries get too.
        entries: of `entries_of`.
        note: a comment for them, one line.

    Raises:
        UserError: its list `include` is not written one entry a line.
    """
    end_of_line = "\r" if "\r\n" in text else ""
    lines = (text.rstrip("\r\n") + end_of_line).split("\n")
    written = (
        yaml.safe_dump(e, default_flow_style=True, sort_keys=False, width=10**6) for e in entries
    )
    new = [line + end_of_line for line in (f"# {note}", *(f"- {e.strip()}" for e in written))]
    start = next((i for i, line in enumerate(lines) if line.startswith("include:")), None)
    before = yaml.safe_load(text)
    if start is None:
        lines += ["include:" + end_of_line, *(f"  {line}" for line in new)]
    else:
        end = start + 1
        while end < len(lines) and (not lines[end].strip() or lines[end][0] in " -#"):
            end += 1
        while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
            end -= 1
        first = next((line for line in lines[start + 1 : end] if line.lstrip()[:1] == "-"), "")
        indent = first[: len(first) - len(first.lstrip())]
        lines[end:end] = [indent + line for line in new]
    changed = "\n".join(lines) + "\n"
    wanted = {**before, "include": [*(before.get("include") or []), *entries]}
    try:
        same = yaml.safe_load(changed) == wanted
    except yaml.YAMLError:
        same = False
    if not same:
        raise UserError("include: write the list with one entry a line, so that more can be added")
    return changed
