"""Chooses the cells of a design that runs a part of the grid: a fraction, or a random part.

A fraction is D-optimal in the Bayesian sense of DuMouchel and Jones 1994 ("A simple Bayesian
modification of D-optimal designs to reduce dependence on an assumed model"): the effects of the
axes, and of the pairs that the study asks for, are estimated as precisely as possible, and as far
as the number of cells allows apart from all other interactions of two axes. Cells are exchanged
one by one (Cook and Nachtsheim 1980), from several starts. Packages for factorial designs know no
cells that cannot run, or that are equal.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from kd.axes.labels import INERT, parts
from kd.study.aliasing import Aliasing, aliasing, contrasts, product
from kd.study.design_keys import RANDOM, Design

_STARTS = 16  # random ones, of which the best result is taken
_PASSES = 20
_WORK = 1e9  # multiplications of one search, about a second
_RIDGES = (1.0, 100.0)  # how little is expected of interactions, in the information of one cell
_TIE = 1e-7  # relative difference of determinants that are equal, whatever the machine rounds
Point = dict[str, Any]


@dataclass(frozen=True)
class Chosen:
    """The cells that a design chose, without the axes that are crossed with them.

    `points` are the chosen combinations of axis values; those that are the same run stand for one
    cell. `cells` is their number, `possible` that of all cells that can run. `missing` are values
    of axes without a chosen cell.
    """

    points: list[Point]
    cells: int
    possible: int
    missing: list[tuple[str, str]]


def choose(design: Design, axes: dict[str, list[Any]], groups: Sequence[list[Point]]) -> Chosen:
    """Choose cells of a grid.

    Args:
        design: a fraction or a random part.
        axes: the values of each axis that is not crossed.
        groups: the points that can run, those that are the same run in one list.
    """
    if not groups:
        return Chosen([], 0, 0, [])
    order = sorted(range(len(groups)), key=lambda i: _draw(design.seed, groups[i][0]))
    count = min(len(groups), design.count(len(groups)))
    member = {axis: _members(groups, axis, values) for axis, values in axes.items()}
    rows = sorted(order[:count] if design.kind == RANDOM else _best(design, member, order, count))
    runnable = {axis: m.sum(axis=0) for axis, m in member.items()}
    drawn = {axis: m[rows].sum(axis=0) for axis, m in member.items()}
    missing = [
        (axis, str(value))
        for axis, values in axes.items()
        for i, value in enumerate(values)
        if runnable[axis][i] and not drawn[axis][i]
    ]
    return Chosen(
        points=[point for row in rows for point in groups[row]],
        cells=len(rows),
        possible=len(groups),
        missing=missing,
    )


def mixed_in(
    labels: Mapping[str, Sequence[str]], pairs: Sequence[tuple[str, ...]] = ()
) -> Aliasing:
    """What cells mix, by the labels of each axis; axes with one value do not count.

    `pairs` are those that the study asks for like axes.
    """
    names = list(labels)
    rows = list(dict.fromkeys(zip(*labels.values(), strict=True)))
    members = {axis: members_of([row[i] for row in rows]) for i, axis in enumerate(names)}
    codes = {axis: contrasts(m) for axis, m in members.items() if m.shape[1] > 1}
    return aliasing(codes, pairs) if codes else Aliasing(5, {})


def members_of(labels: Sequence[str]) -> np.ndarray:
    """(n, k) shares of the values of an axis by the labels of runs, as `contrasts` takes them."""
    known = list(dict.fromkeys(v for label in labels for v in parts(label) if v != INERT))
    rows = {
        label: np.array([float(value in parts(label)) for value in known])
        for label in dict.fromkeys(labels)
    }
    shares = {k: v / v.sum() if v.any() else v + 1 / max(1, len(v)) for k, v in rows.items()}
    return np.stack([shares[label] for label in labels])


def _draw(seed: int, point: Point) -> str:
    """A random place of a cell. More cells, or more values, leave the order of the others."""
    text = f"{seed} {sorted((axis, str(value)) for axis, value in point.items())}"
    return hashlib.sha256(text.encode()).hexdigest()


def _members(groups: Sequence[list[Point]], axis: str, values: list[Any]) -> np.ndarray:
    place = {str(value): i for i, value in enumerate(values)}
    rows = [row for row, points in enumerate(groups) for _ in points]
    columns = [place[str(point[axis])] for points in groups for point in points]
    shares = np.zeros((len(groups), len(values)))
    np.add.at(shares, (rows, columns), 1)
    return shares / shares.sum(axis=1, keepdims=True)


def _best(
    design: Design, members: dict[str, np.ndarray], order: list[int], count: int
) -> list[int]:
    """The rows of the best fraction that the search finds."""
    pairs = list(combinations(members, 2))
    asked = [pair for pair in pairs if any({*pair} == {*own} for own in design.pairs)]
    rest = [pair for pair in pairs if pair not in asked]
    free = {axis: m.shape[1] - 1 for axis, m in members.items()}
    width = 1 + sum(free.values()) + sum(free[a] * free[b] for a, b in pairs)
    # A large grid is searched among as many cells as the work allows, drawn like the random part.
    pool = order[: max(4 * count, int(_WORK / (2 * count * width)))]
    codes = {axis: contrasts(m[pool]) for axis, m in members.items()}
    own = [np.ones((len(pool), 1)), *codes.values()]
    own += [product(codes[a], codes[b]) for a, b in asked]
    primary = np.arange(width) < sum(part.shape[1] for part in own)
    x = np.hstack([*own, *(product(codes[a], codes[b]) for a, b in rest)])
    passes = int(_WORK / (2 * count * x.size))
    best, least = list[int](), np.inf
    for first in _starts(members, pool, count, min(_STARTS, passes // 20)):
        for weight in _RIDGES[: max(1, passes // 20)]:
            ridge = np.where(primary, 1e-4, weight)
            rows = _exchanged(x, ridge, first, min(_PASSES, passes))
            error = _error(x[rows], primary)
            if not best or error < least * (1 - _TIE):
                best, least = rows, error
    return [pool[row] for row in best]


def _starts(
    members: dict[str, np.ndarray], pool: list[int], count: int, more: int
) -> Iterator[list[int]]:
    """Rows to start from: first those of a regular fraction (the places of their values add up to
    a multiple of its size, as in the generalised subset designs of Surowiec et al. 2017)."""
    size = max(2, round(len(pool) / count))
    off = sum(m[pool].argmax(axis=1) for m in members.values()) % size
    yield np.argsort(off, kind="stable")[:count].tolist()
    for start in range(more):
        places = [hashlib.sha256(f"{start} {row}".encode()).digest() for row in range(len(pool))]
        yield sorted(range(len(pool)), key=places.__getitem__)[:count]


def _error(x: np.ndarray, primary: np.ndarray) -> float:
    """Mean squared error of the asked effects, where noise and each interaction have variance 1.

    The part of the interactions is the sum of squares of the alias matrix (Jones and Nachtsheim
    2011, "Efficient designs with minimal aliasing").
    """
    own = x[:, primary]
    inverse = np.linalg.inv(own.T @ own + 1e-6 * np.eye(own.shape[1]))
    return float(np.trace(inverse) + ((inverse @ (own.T @ x[:, ~primary])) ** 2).sum())


def _exchanged(x: np.ndarray, ridge: np.ndarray, rows: list[int], passes: int) -> list[int]:
    """Rows of `x` (n, p) after exchanges that raise the determinant of X'X + ridge."""
    rows = list(rows)
    inside = np.zeros(len(x), dtype=bool)
    inside[rows] = True
    for _ in range(passes):
        inverse = np.linalg.inv(x[rows].T @ x[rows] + np.diag(ridge))
        spread = ((x @ inverse) * x).sum(axis=1)
        changed = False
        for place, row in enumerate(rows):
            v = inverse @ x[row]
            across = x @ v
            left = 1 - across[row]
            gain = 1 + spread + across**2 / left  # of adding each row, after this one is taken out
            free = np.where(inside, 0.0, gain)
            new = int(np.argmax(free >= free.max() * (1 - _TIE)))
            if free[new] <= gain[row] * (1 + 10 * _TIE):
                continue
            inverse = inverse + np.outer(v, v) / left
            w = inverse @ x[new]
            added = x @ w
            inverse -= np.outer(w, w) / gain[new]
            spread = spread + across**2 / left - added**2 / gain[new]
            inside[[row, new]] = False, True
            rows[place], changed = new, True
        if not changed:
            break
    return rows
