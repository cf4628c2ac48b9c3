"""Each cell at the value that is best on the held-out slice; dev scores have no part in it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from kd.axes.labels import ALIAS, parts
from kd.results.columns import numbers
from kd.results.statistics.runs import AXES, IDLE
from kd.runtime.words import count
from kd.study.selected import Tuned

TUNED = "tuned"  # the value of a tuned axis, once each cell is at its own
CHOSEN = "chosen"  # column of the reduced runs: the value that the slice chose, in words
_AS_GOOD = 0.01  # a value further below the chosen one than this is not as good, however noisy


@dataclass(frozen=True)
class Candidate:
    """One value of the tuned axes in one cell. Scores are fractions, means over `seeds`."""

    cell: tuple[str, ...]  # values of `Selection.cells`
    value: tuple[str, ...]  # values of `Selection.axes`
    chosen: bool
    slice_score: float  # NaN where the candidates of the cell have no seed in common
    dev_score: float  # of the same seeds
    seeds: int  # that all candidates of the cell have
    lost: int  # runs that this one lacks
    equal: int  # of a chosen one: other values that are as good on the slice
    close: bool  # of one that is not chosen: as good as the chosen one on the slice
    ends: tuple[str, ...]  # of a chosen one alone at the top: where its range ends, in words


@dataclass(frozen=True)
class Selection:
    """The chosen runs, and how they were chosen.

    `runs` has the rows of the chosen values alone: the tuned axes read `tuned`, and the column
    `chosen` names the values. A cell without a choice keeps rows of its first value, as missing.
    `tuned` is what was chosen from.
    """

    tuned: Tuned
    runs: pd.DataFrame
    axes: list[str]
    cells: list[str]
    candidates: list[Candidate]
    remarks: list[str]  # sentences


def select(
    frame: pd.DataFrame,
    tuned: Tuned,
    instead: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
) -> Selection:
    """For each cell the values of the tuned axes with the highest mean slice score over seeds.

    A cell is a group of runs that agree in `tuned.cells`, and in all other axes in which runs of
    one value and seed differ: the matching, where the study writes it into the knowledge. Its
    candidates are compared on the seeds that all of them have; where they are equal, the first in
    the order of the study is chosen. The order of the rows changes nothing but the order of the
    result.

    Args:
        frame: all runs, with the columns of runs.csv.
        tuned: the axes and their values in the study's order.
        instead: values by cell that `runs` has instead of the chosen ones, to see what depends on
            the choice.
    """
    axes, cells = list(tuned.axes), _cells(frame, tuned)
    groups = _members(frame, axes, cells)
    candidates: list[Candidate] = []
    kept: dict[int, list[tuple[tuple[str, ...], str]]] = {}  # row: (cell, value chosen there)
    lost_rows: set[int] = set()
    unchosen: list[tuple[str, ...]] = []
    for cell, members in groups.items():
        compared, chosen = _compared(frame, cell, members, tuned)
        candidates += compared
        if chosen is None:
            unchosen.append(cell)
            lost_rows |= set(members[compared[0].value])
        value = compared[0].value if chosen is None else (instead or {}).get(cell, chosen)
        for row in members[value]:
            kept.setdefault(row, []).append((cell, "" if chosen is None else _words(axes, value)))
    runs = _reduced(frame, axes, cells, kept, lost_rows)
    begun = set(frame.loc[frame["score"].notna(), "task"])  # of others, no run is done
    lacking = [cell for cell in unchosen if cell[cells.index("task")] in begun]
    remarks = _remarks(axes, cells, candidates, unchosen, lacking)
    return Selection(tuned, runs, axes, cells, candidates, remarks)


def _cells(frame: pd.DataFrame, tuned: Tuned) -> list[str]:
    """The axes by which cells differ."""
    named = [axis for axis in tuned.cells if axis in frame]
    keys = [*named, *tuned.axes, "seed"]
    alike = frame[frame.duplicated(keys, keep=False)].groupby(keys)
    rest = [axis for axis in AXES if axis in frame and axis not in keys]
    more = [axis for axis in rest if (alike[axis].nunique() > 1).any()]
    return [axis for axis in AXES if axis in named or axis in more]


Members = dict[tuple[str, ...], list[int]]  # rows of a cell by value


def _members(
    frame: pd.DataFrame, axes: Sequence[str], cells: Sequence[str]
) -> dict[tuple[str, ...], Members]:
    """The rows of each cell, by value. A row that stands for several values belongs to each of
    those that other rows have alone; where none does, they are one value."""
    alone = {axis: {text for text in set(frame[axis]) if ALIAS not in text} for axis in cells}
    groups: dict[tuple[str, ...], Members] = {}
    for row, (where, values) in enumerate(
        zip(frame[list(cells)].to_numpy(), frame[list(axes)].to_numpy(), strict=True)
    ):
        options = [
            [part for part in parts(text) if part in alone[axis]] or [text]
            for axis, text in zip(cells, where, strict=True)
        ]
        for cell in product(*options):
            members = groups.setdefault(cell, {})
            for value in product(*map(parts, values)):
                members.setdefault(value, []).append(row)
    return groups


def _compared(
    frame: pd.DataFrame, cell: tuple[str, ...], members: Members, tuned: Tuned
) -> tuple[list[Candidate], tuple[str, ...] | None]:
    """The candidates of a cell in the order of the study, and the chosen value."""
    values = sorted(members, key=lambda value: _place(value, tuned))
    columns = {name: frame[name].to_numpy() for name in ("seed", "slice_score", "score")}
    scored = {
        value: {
            str(columns["seed"][row]): (columns["slice_score"][row], columns["score"][row])
            for row in members[value]
            if not (np.isnan(columns["slice_score"][row]) or np.isnan(columns["score"][row]))
        }
        for value in values
    }
    planned = {str(columns["seed"][row]) for rows in members.values() for row in rows}
    common = sorted(set.intersection(*(set(by_seed) for by_seed in scored.values())))
    means = {value: _means([by_seed[seed] for seed in common]) for value, by_seed in scored.items()}
    chosen = max(values, key=lambda value: means[value][0]) if common else None
    equal, close = 0, dict.fromkeys(values, False)
    if chosen:
        equal = sum(means[value][0] == means[chosen][0] for value in values) - 1
        on_slice = {value: np.array([scored[value][s][0] for s in common]) for value in values}
        close |= {
            value: _close(on_slice[chosen] - own)
            for value, own in on_slice.items()
            if value != chosen
        }
    return [
        Candidate(
            cell=cell,
            value=value,
            chosen=value == chosen,
            slice_score=means[value][0],
            dev_score=means[value][1],
            seeds=len(common),
            lost=len(planned) - len(scored[value]),
            equal=equal if value == chosen else 0,
            close=close[value],
            ends=_ends(value, values, tuned) if value == chosen and not equal else (),
        )
        for value in values
    ], chosen


def _close(leads: np.ndarray) -> bool:
    """Whether the mean of paired differences, one a seed, is within two of its standard errors and
    within a point. Without the second, a value that some seeds cannot train with would be close."""
    if len(leads) < 2:
        return not leads.any()
    error = leads.std(ddof=1) / math.sqrt(len(leads))
    return bool(leads.mean() <= min(2 * error, _AS_GOOD))


def _place(value: tuple[str, ...], tuned: Tuned) -> list[tuple[int, str]]:
    """Where a value stands in the order of the study; one that it does not name, at the end."""
    return [
        (known.index(text) if text in known else len(known), text)
        for text, known in zip(value, tuned.axes.values(), strict=True)
    ]


def _means(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Means of the slice scores and the dev scores; the same to the bit in any order."""
    if not scores:
        return math.nan, math.nan
    on_slice, on_dev = zip(*scores, strict=True)
    return math.fsum(on_slice) / len(scores), math.fsum(on_dev) / len(scores)


def _ends(
    value: tuple[str, ...], values: Sequence[tuple[str, ...]], tuned: Tuned
) -> tuple[str, ...]:
    """Where a chosen value is the largest or the smallest number that its cell tried.

    0 is no end: nothing is below it.
    """
    ends = []
    for i, axis in enumerate(tuned.axes):
        tried = sorted({number for other in values if (number := _number(other[i])) is not None})
        own = _number(value[i])
        if own is None or len(tried) < 2:
            continue
        if own == tried[-1]:
            ends.append(f"largest {axis}")
        elif own == tried[0] and own > 0:
            ends.append(f"smallest {axis}")
    return tuple(ends)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _words(axes: Sequence[str], value: Sequence[str]) -> str:
    """`learning_rate 0.0003, epochs 3`; an axis without an effect in that cell is left out."""
    named = zip(axes, value, strict=True)
    return ", ".join(f"{axis} {text}" for axis, text in named if text != IDLE)


def _reduced(
    frame: pd.DataFrame,
    axes: list[str],
    cells: list[str],
    kept: dict[int, list[tuple[tuple[str, ...], str]]],
    lost: set[int],
) -> pd.DataFrame:
    """The kept rows in their order. A row that stands for several values of an axis keeps those
    for whose cells it was chosen."""
    rows = sorted(kept)
    runs = frame.iloc[rows].copy()
    for i, axis in enumerate(cells):
        runs[axis] = [ALIAS.join(dict.fromkeys(cell[i] for cell, _ in kept[row])) for row in rows]
    runs[axes] = TUNED
    runs[CHOSEN] = [next((text for _, text in kept[row] if text), "") for row in rows]
    unknown = np.array([row in lost for row in rows])
    if unknown.any():
        measured = [name for name in numbers() if name in runs]
        runs.loc[unknown, measured] = np.nan
        runs.loc[unknown, "history"] = ""
        done = unknown & (runs["status"] == "done").to_numpy()
        runs.loc[done, "error"] = "no value is chosen: the candidates have no seed in common"
        runs.loc[done, "status"] = "missing"
    return runs.reset_index(drop=True)


def _remarks(
    axes: list[str],
    cells: list[str],
    candidates: list[Candidate],
    unchosen: list[tuple[str, ...]],
    lacking: list[tuple[str, ...]],
) -> list[str]:
    """What a reader must know of the choice, in sentences. Of the `unchosen` cells, those that are
    `lacking` are on tasks with finished runs."""
    names = " and ".join(axes)
    by_cell: dict[tuple[str, ...], list[Candidate]] = {}
    for candidate in candidates:
        by_cell.setdefault(candidate.cell, []).append(candidate)
    sentences = []
    if lacking:
        sentences.append(
            f"{count(len(lacking), 'cell is', 'cells are')} shown as missing, because no seed is "
            f"done for all values of {names}: {_some(cells, lacking, by_cell)}."
        )
    counts = {len(group) for group in by_cell.values()}
    if len(counts) > 1:
        fewer = [cell for cell, group in by_cell.items() if len(group) < max(counts)]
        sentences.append(
            f"The budgets differ: {_some(cells, fewer, by_cell)} had fewer values of {names} than "
            f"the {max(counts)} of others."
        )
    if short := [c for c, g in by_cell.items() if c not in unchosen and any(x.lost for x in g)]:
        sentences.append(
            f"Runs are missing among the values of {names} in {_some(cells, short, by_cell)}: they "
            f"were compared on the seeds that all of them have."
        )
    chosen = len(by_cell) - len(unchosen)
    ends: dict[str, int] = {}
    for candidate in candidates:
        for end in candidate.ends:
            ends[end] = ends.get(end, 0) + 1
    for end, number in ends.items():
        size, axis = end.split()
        sentences.append(
            f"In {number} of {count(chosen, 'cell')} the best {axis} is the {size} that was tried: "
            f"extend its range, because the true best may lie outside."
        )
    if close := sum(any(c.close for c in group) for group in by_cell.values()):
        sentences.append(
            f"In {close} of {count(chosen, 'cell')} another {names} is as good on the held-out "
            f"slice: within two standard errors over seeds, and within a point. Intervals do not "
            f"include this choice."
        )
    return sentences


def _some(
    cells: list[str],
    chosen: list[tuple[str, ...]],
    by_cell: dict[tuple[str, ...], list[Candidate]],
) -> str:
    """A few cells in the words of the study: the axes that vary among them."""
    varied = [i for i in range(len(cells)) if len({cell[i] for cell in by_cell}) > 1]
    texts = [" ".join(cell[i] for i in varied) or "the only cell" for cell in chosen[:3]]
    more = f" and {len(chosen) - 3} more" if len(chosen) > 3 else ""
    return "; ".join(texts) + more


def chosen_note(selection: Selection | None) -> str:
    """A sentence for captions, with a blank before it; '' where nothing is tuned."""
    if selection is None:
        return ""
    names = " and ".join(selection.axes)
    return f" Each cell is at the {names} that is best on the held-out slice (table selected)."
