"""Smaller studies that fit into a number of device hours: what each leaves out, and what it costs.

A proposal is the study file's content with parts left out, so its runs keep their ids, and runs
that are done count. Each begins with another cut and goes on with the rest until it fits:

- seeds, but never below the number that is given;
- the design: one axis at a time, which gives up how axes depend on each other;
- cells: a fraction of them, which mixes effects with others, as the plan of a fraction says;
- tuned values, from both ends, down to two;
- values of the longest axis, the last first, but not that of the base, down to two;
- tasks, those with the most operations first, down to one.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kd.axes.fields import RUN_DEFAULTS
from kd.axes.labels import INERT
from kd.monitor.estimate import run_flops
from kd.monitor.plan import plan
from kd.runtime.errors import UserError
from kd.study.design_keys import ALONE, CROSSED, FACTORIAL, FRACTION
from kd.study.grid import Grid, grid_of_content
from kd.study.paths import Layout
from kd.study.read import read_yaml

Content = dict[str, Any]
_SHARES = ("2/3", "1/2", "1/3", "1/4")  # a smaller part of most grids leaves values out
_USELESS = 2  # resolution of a part in which the effects of two axes are the same


@dataclass(frozen=True)
class Proposal:
    """A study that fits: its content, its grid, its plan, and what it leaves out, as sentences."""

    name: str
    content: Content
    grid: Grid
    plan: dict[str, Any]
    cuts: list[str]


def proposals(
    grid: Grid, layout: Layout, hours: float, seeds: int, device: str | None = None, count: int = 1
) -> list[Proposal]:
    """The studies that fit into so many device hours, the same one once.

    Args:
        grid: of the whole study.
        layout: of its results.
        hours: on one device.
        seeds: never fewer than these, or than the study has.
        device: as of `plan`.
        count: devices, as of `plan`.

    Returns:
        the whole study alone, if it fits; else the proposals that fit, by their first cut, the one
        that leaves out the least first; [] if none does.
    """
    content = read_yaml(grid.study.path)

    def made(name: str, content: Content, cuts: list[str]) -> Proposal:
        smaller = grid_of_content(grid.study.path, content)
        planned = plan(smaller, layout, device, count)
        lost = _lost(grid, smaller)
        return Proposal(name, content, smaller, planned, [*_part(planned["design"]), *cuts, *lost])

    def cut_down(name: str, smaller: Content) -> Proposal:
        return made(name, smaller, _cuts(content, smaller))

    whole = made("the whole study", content, [])
    if _fits(whole, hours):
        return [whole]
    by_runs: dict[frozenset[str], Proposal] = {}
    for first in CUTS:
        proposal, used = whole, list[str]()
        for cut in [first, *(cut for cut in CUTS if cut != first)]:
            for smaller in CUTS[cut](proposal.content, proposal.grid, seeds):
                used = [*dict.fromkeys([*used, cut])]
                name = " and ".join(used)
                try:
                    proposal = cut_down(name, smaller)
                except UserError:  # without that part the study has no meaning
                    break
                if _fits(proposal, hours):
                    break
            if _fits(proposal, hours):
                proposal = _more_seeds(proposal, content, partial(cut_down, proposal.name), hours)
                by_runs.setdefault(frozenset(proposal.grid.runs), proposal)
                break
    return sorted(by_runs.values(), key=lambda p: (len(p.cuts), -len(p.grid.runs)))


def _more_seeds(
    proposal: Proposal, whole: Content, made: Callable[[Content], Proposal], hours: float
) -> Proposal:
    """The proposal with as many of its seeds back as the other cuts have made room for."""
    every = _axis(whole, "seed")
    for n in range(len(_axis(proposal.content, "seed")) + 1, len(every) + 1):
        more = made(_with(proposal.content, "seed", every[:n], []))
        if not _fits(more, hours):
            break
        proposal = more
    return proposal


def _fits(proposal: Proposal, hours: float) -> bool:
    part = proposal.plan["design"] or {}
    return bool(part.get("resolution") != _USELESS and proposal.plan["time"]["hours"] <= hours)


def _axis(content: Content, name: str) -> list[Any]:
    """The values of an axis as the file has them; [] if it has none, or a measure of sizes."""
    values = content["axes"].get(name)
    return values if isinstance(values, list) else []


def _free_axes(content: Content) -> list[str]:
    """The axes that are neither crossed with all others nor tuned."""
    tuned = (content.get("select") or {}).get("axes", [])
    return [axis for axis in content["axes"] if axis not in (*CROSSED, *tuned)]


def _with(content: Content, axis: str, values: list[Any], gone: list[Any]) -> Content:
    """The content with other values of an axis, and without entries that only name those gone."""
    smaller = copy.deepcopy(content)
    smaller["axes"][axis] = values

    def stays(entry: Content) -> bool:
        named = entry.get(axis)
        every = named if isinstance(named, list) else [named]
        return axis not in entry or not all(value in gone for value in every)

    for key in ("exclude", "include"):
        if key in smaller:
            smaller[key] = [entry for entry in smaller[key] if stays(entry)]
            if not smaller[key]:
                del smaller[key]
    return smaller


def _fewer_seeds(content: Content, grid: Grid, seeds: int) -> Iterator[Content]:
    values = _axis(content, "seed")
    for n in range(len(values) - 1, max(1, seeds) - 1, -1):
        yield _with(content, "seed", values[:n], values[n:])


def _one_at_a_time(content: Content, grid: Grid, seeds: int) -> Iterator[Content]:
    free = _free_axes(content)
    based = {**RUN_DEFAULTS, **(content.get("base") or {})}
    if content.get("design", FACTORIAL) == FACTORIAL and len(free) > 1 and based.keys() >= {*free}:
        yield {**copy.deepcopy(content), "design": ALONE}


def _fraction(content: Content, grid: Grid, seeds: int) -> Iterator[Content]:
    free = _free_axes(content)
    if content.get("design", FACTORIAL) == FACTORIAL and len(free) > 1:
        for share in _SHARES:
            yield {**copy.deepcopy(content), "design": {FRACTION: share}}


def _fewer_tuned(content: Content, grid: Grid, seeds: int) -> Iterator[Content]:
    for axis in (content.get("select") or {}).get("axes", []):
        values = _axis(content, axis)
        while len(values) > 2:
            ends = values[:1] if len(values) % 2 else values[-1:]
            values = [value for value in values if value not in ends]
            content = _with(content, axis, values, ends)
            yield content


def _fewer_tasks(content: Content, grid: Grid, seeds: int) -> Iterator[Content]:
    work = Counter[str]()
    for run in grid.runs.values():
        work[run.labels["task"]] += run_flops(run)  # type: ignore[assignment]
    tasks = _axis(content, "task")
    for name, _ in work.most_common():
        if len(tasks) > 1 and name in tasks:
            tasks = [task for task in tasks if task != name]
            content = _with(content, "task", tasks, [name])
            yield content


def _fewer_values(content: Content, grid: Grid, seeds: int) -> Iterator[Content]:
    base = content.get("base") or {}
    while True:
        free = _free_axes(content)
        longest = max(free, key=lambda axis: len(_axis(content, axis)), default=None)
        if longest is None or len(_axis(content, longest)) <= 2:
            return
        values = _axis(content, longest)
        last = [value for value in values if value != base.get(longest)][-1]
        content = _with(content, longest, [v for v in values if v != last], [last])
        yield content


# Each cut by its name, in the order in which they are made; each proposal moves one to the front.
CUTS: dict[str, Callable[[Content, Grid, int], Iterator[Content]]] = {
    "fewer seeds": _fewer_seeds,
    "one axis at a time": _one_at_a_time,
    "a fraction of the cells": _fraction,
    "fewer tuned values": _fewer_tuned,
    "fewer values": _fewer_values,
    "fewer tasks": _fewer_tasks,
}


def _part(design: dict[str, Any] | None) -> list[str]:
    """What a part of the cells leaves out, and how far it mixes effects."""
    if not design:
        return []
    left = design["possible"] - design["cells"]
    return [f"{left} of {design['possible']} cells, {design['mixed'][0]}"]


def _lost(whole: Grid, smaller: Grid) -> list[str]:
    """The axes that no run varies any more, a sentence each."""

    def varies(grid: Grid, axis: str) -> bool:
        return len({run.labels[axis] for run in grid.runs.values()} - {INERT}) > 1

    return [
        f"the question of {axis}: the runs that are left do not vary it"
        for axis in smaller.varied
        if axis != "seed" and varies(whole, axis) and not varies(smaller, axis)
    ]


def _cuts(whole: Content, smaller: Content) -> list[str]:
    """What a smaller study leaves out, a sentence each."""
    sentences = []
    if smaller.get("design") == ALONE != whole.get("design"):
        sentences.append("combinations of axes: each is varied alone, so interactions do not show")
    for axis in whole["axes"]:
        before, after = _axis(whole, axis), _axis(smaller, axis)
        gone = [value for value in before if value not in after]
        if axis == "seed" and gone:
            sentences.append(f"{len(gone)} of {len(before)} seeds")
        elif gone:
            names = ", ".join(map(str, gone))
            sentences.append(f"{names} of {axis} ({len(after)} of {len(before)} values stay)")
    kept = smaller.get("include", [])
    if gone := [entry for entry in whole.get("include", []) if entry not in kept]:
        sentences.append(f"the included cells {', '.join(map(str, gone))}")
    return sentences
