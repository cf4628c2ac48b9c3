"""Verdicts on a claim with other values of the tuned axes that the held-out slice finds as good."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod

from kd.axes.labels import parts
from kd.results.advice.claims import Claim
from kd.results.advice.verdicts import Finding, findings_of
from kd.results.record import Record
from kd.results.statistics.selection import Selection, select

Cell = tuple[str, ...]
Options = dict[Cell, list[Cell]]  # the chosen value first
_MOST = 256  # combinations; beyond that, the cells of one contrast at a time have other values


def other_findings(claim: Claim, record: Record | None, margin: float) -> list[list[Finding]]:
    """What `findings_of` gives for all combinations of values as good as the chosen ones.

    If there are more than 256 combinations, only the cells of one contrast change at a time. If
    these have more than 256 too, only one cell changes at a time.

    The slice is small, so that often it cannot separate the values that a cell was tried with. A
    verdict that changes with them rests on this choice, and not on the axis of the claim alone.

    Returns:
        One list of findings for each combination, that of the chosen values left out.
    """
    if record is None or record.selection is None:
        return []
    selection = record.selection

    def options(part: Claim) -> Options:
        every = _as_good(selection).items()
        return {cell: values for cell, values in every if _takes_part(part, cell, selection)}

    if _number(options(claim)) <= _MOST:
        groups = [options(claim)]
    else:
        groups = [options(replace(claim, contrasts=(one,))) for one in claim.contrasts]
    found = []
    for instead in (instead for group in groups for instead in _combinations(group)):
        runs = select(record.every, selection.tuned, instead).runs
        found.append(findings_of(claim, replace(record, runs=runs), margin))
    return found


def _number(options: Options) -> int:
    return prod(map(len, options.values()))


def _combinations(options: Options) -> Iterator[dict[Cell, Cell]]:
    """Values by cell: all combinations except that of the chosen values. If there are too many,
    only those that change one cell."""
    if _number(options) > _MOST:
        yield from ({cell: value} for cell, values in options.items() for value in values[1:])
        return
    combinations = product(*options.values())
    next(combinations)
    yield from (dict(zip(options, values, strict=True)) for values in combinations)


def _as_good(selection: Selection) -> Options:
    """Cells with several values to choose from: the chosen one, then those that are as good."""
    by_cell: dict[Cell, list[Cell]] = {}
    for candidate in sorted(selection.candidates, key=lambda c: not c.chosen):
        if candidate.chosen or candidate.close:
            by_cell.setdefault(candidate.cell, []).append(candidate.value)
    return {cell: values for cell, values in by_cell.items() if len(values) > 1}


def _takes_part(claim: Claim, cell: Cell, selection: Selection) -> bool:
    """Whether a contrast of the claim uses this cell."""
    wanted = {
        claim.axis: {value for contrast in claim.contrasts for value in contrast},
        **{axis: {value} for axis, value in claim.at.items()},
        **{axis: set(pair) for axis, pair in claim.gain.items()},
    }
    here = dict(zip(selection.cells, cell, strict=True))
    return all(set(parts(here[axis])) & values for axis, values in wanted.items() if axis in here)
