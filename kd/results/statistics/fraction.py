"""Effects of axes where only a part of the grid was run, so that few pairs of runs are alike.

The effects of all axes are fitted together, by least squares, in each unit (one seed on one task).
So each unit gives one difference between two values, as a pair of runs does in a complete grid. An
axis that is clear of the interactions of two axes is fitted beside these. One that is not may have
part of them in its difference: its interval then also covers how far the cells are from
what the axes alone predict. Differences that the cells cannot separate are not given.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from kd.axes.labels import parts as values_in
from kd.results.statistics.intervals import with_interval
from kd.results.statistics.runs import AVERAGE, IDLE, levels, studied
from kd.study.aliasing import Aliasing, Mixed, contrasts, interaction
from kd.study.chosen import members_of, mixed_in
from kd.study.design_keys import Design, read_design


def part_of(runs: pd.DataFrame) -> Design | None:
    """The design, where a part of the grid was run; None where all of it was."""
    known = read_design(runs["design"].fillna("").unique()) if "design" in runs else None
    return known[0] if known else None


def mixed_effects(runs: pd.DataFrame) -> Aliasing:
    """What the planned cells mix, along the axes by which cells differ."""
    part = part_of(runs)
    names = studied(runs)
    cells = runs[runs["task"] != AVERAGE].drop_duplicates(names) if names else runs
    labels = tuple((axis, tuple(cells[axis])) for axis in names)
    return _mixed(labels, part.pairs if part else ())


@lru_cache(maxsize=64)  # each axis asks for it, of the same cells
def _mixed(labels: tuple[tuple[str, tuple[str, ...]], ...], pairs: tuple[Any, ...]) -> Aliasing:
    return mixed_in(dict(labels), pairs)


def mixed_with(runs: pd.DataFrame, axis: str) -> Mixed:
    """What the effect of one axis is mixed with."""
    return mixed_effects(runs).effects.get((axis,), Mixed())


class _Model:
    """The effects that are fitted for the differences of one axis, of all planned runs."""

    def __init__(self, runs: pd.DataFrame, axis: str) -> None:
        part = part_of(runs)
        names = studied(runs)
        self.values = [value for value in levels(runs[axis]) if value != IDLE]
        codes = {name: contrasts(members_of(list(runs[name]))) for name in names}
        # Differences of values are rows of these: the axis' own columns come first.
        own = np.array([[value in values_in(v) for value in self.values] for v in runs[axis]])
        shares = own / np.maximum(1, own.sum(axis=1, keepdims=True))
        shares[~own.any(axis=1)] = 1 / len(self.values)
        asked = [pair for pair in part.pairs if {*pair} <= {*names}] if part else []
        effects = mixed_effects(runs).effects
        self.clear = effects.get((axis,), Mixed()).clear
        near = [
            pair
            for pair in combinations(names, 2)
            if self.clear and not any({*pair} == {*p} for p in asked)
        ]
        self._known: dict[bytes, dict[tuple[str, str], np.ndarray]] = {}
        self.matrix = np.hstack(
            [
                shares,
                *(code for name, code in codes.items() if name != axis),
                *(interaction(codes[a], codes[b]) for a, b in [*asked, *near]),
            ]
        )

    def weights(self, rows: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        """For each two values that the rows separate, what each score of `rows` counts."""
        matrix = self.matrix[rows]
        key = matrix.tobytes()  # most units have the same cells
        if key not in self._known:
            self._known[key] = self._weights(matrix)
        return self._known[key]

    def _weights(self, matrix: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        inverse = np.linalg.pinv(matrix, rcond=1e-7)
        within = inverse @ matrix
        weights = {}
        for i, j in combinations(range(len(self.values)), 2):
            wanted = np.zeros(matrix.shape[1])
            wanted[i], wanted[j] = -1, 1
            if np.abs(wanted @ within - wanted).max(initial=0) < 1e-6:
                weights[self.values[i], self.values[j]] = wanted @ inverse
        return weights


def estimates(runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The difference of each two values of `axis` in every unit, as a table of pairs.

    `runs` are prepared. Columns as in `effects.pairs`; `setting` is blank, and no two runs stand
    for a difference. `worth` is the number of independent pairs of runs that would be as precise.
    A difference is NaN where the runs of its unit that are done do not tell the values apart.
    """
    runs = runs[runs["task"] != AVERAGE].reset_index(drop=True)
    model = _Model(runs, axis)
    rows = []
    for (task, seed), group in runs.groupby(["task", "seed"], sort=False):
        planned = model.weights(group.index.to_numpy())
        done = group["score"].dropna()
        known = planned if len(done) == len(group) else model.weights(done.index.to_numpy())
        for (a, b), weight in planned.items():
            w = known.get((a, b))
            gap = np.nan if w is None else float(w @ done.to_numpy(float))
            rows.append((a, b, task, seed, "", gap, "", "", 2 / float(weight @ weight)))
    names = ["a", "b", "task", "seed", "setting", "difference", "run_a", "run_b", "worth"]
    table = pd.DataFrame(rows, columns=names).astype({"difference": float, "worth": float})
    blocks = table.groupby("task", sort=False).ngroup()
    return table.assign(block=blocks, stratum=table["task"])


def widened(table: pd.DataFrame, runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """`contrasts` of an axis, with intervals that cover interactions which may be part of them.

    Let r be the residuals of the cells' means from the fit, n their number, p the rank of the fit
    and s² what the noise of runs gives them. The variance t² of interactions is Σ r² / (n - p)
    less s², and a difference with weights w has Σ w² t² more. The degrees of freedom are
    Satterthwaite's. Without residuals nothing measures t², and there is no interval.

    Args:
        table: with the index (a, b) and the columns mean, error and free of `seed_means`.
        runs: prepared.
        axis: whose contrasts they are.
    """
    runs = runs[runs["task"] != AVERAGE].reset_index(drop=True)
    if table["pairs"].sum() == 0:
        return table
    model, names = _Model(runs, axis), studied(runs)
    if model.clear:
        return table
    done = runs["score"].notna().to_numpy()
    runs, model.matrix = runs[done].reset_index(drop=True), model.matrix[done]
    cell = runs.groupby(names, sort=False).ngroup().to_numpy()
    rest = np.zeros(len(runs))
    weights: dict[Any, np.ndarray] = {}
    for _, group in runs.groupby(["task", "seed"], sort=False):
        rows = group.index.to_numpy()
        matrix, score = model.matrix[rows], group["score"].to_numpy(float)
        rest[rows] = score - matrix @ np.linalg.lstsq(matrix, score, rcond=1e-7)[0]
        for key, w in model.weights(rows).items():
            weights.setdefault(key, np.zeros(cell.max() + 1))
            np.add.at(weights[key], cell[rows], w)
    tasks, units = runs["task"].nunique(), runs.groupby(["task", "seed"]).ngroups
    first = np.unique(cell, return_index=True)[1]
    free = len(first) - np.linalg.matrix_rank(model.matrix[first], tol=1e-6)
    if free < 1:
        return table.assign(low=np.nan, high=np.nan, p=np.nan)
    frame = runs.assign(cell=cell, rest=rest)
    by_task = frame.groupby(["cell", "task"], sort=False)["rest"].mean()
    square = float((by_task.groupby("cell").mean() ** 2).sum()) / free
    own = frame["rest"] - frame.groupby(["cell", "task"], sort=False)["rest"].transform("mean")
    own_free = max(1, free * (units - tasks))
    noise = float((own**2).sum()) / own_free / units if units > tasks else 0.0
    between = square - noise
    if between <= 0:  # the cells differ from the fit by no more than noise
        return table
    size = pd.Series({k: float(((w / units) ** 2).sum()) for k, w in weights.items()}, dtype=float)
    size = pd.Series([size.get(key, np.nan) for key in table.index], index=table.index)
    total = table["error"] ** 2 + size * between
    spread = (table["error"] ** 4 / table["free"]) + (size * square) ** 2 / free
    spread += (size * noise) ** 2 / own_free
    return with_interval(table.assign(error=np.sqrt(total), free=total**2 / spread))


def adjusted(runs: pd.DataFrame, free: Sequence[str]) -> pd.DataFrame:
    """The prepared runs with scores and differences less what the other axes give beyond the mean.

    So the means of the values of `free` differ as they would in a complete grid, if the axes did
    not depend on each other. Runs that one of `free` cannot affect, as controls, stay as they are.
    """
    runs = runs.reset_index(drop=True)
    names = [axis for axis in free if axis in studied(runs)]
    if len(names) == 1:
        model = _Model(runs, names[0])  # as the contrasts have it
        own, given = np.hsplit(model.matrix, [len(model.values)])
    else:
        cells = runs.groupby(names, sort=False).ngroup().to_numpy() if names else 0 * runs.index
        own = np.eye(int(np.max(cells)) + 1)[cells]
        others = [contrasts(members_of(list(runs[a]))) for a in studied(runs) if a not in names]
        given = np.hstack([own[:, :0], *others])
    affected = (runs[names] != IDLE).all(axis=1).to_numpy()
    for column in ("score", "difference", "difference_none"):
        values = runs[column].to_numpy(float).copy()
        known = runs[runs[column].notna()]
        for _, group in known.groupby(["task", "seed"], sort=False):
            rows = group.index.to_numpy()
            matrix = np.hstack([own[rows], given[rows]])
            effects = np.linalg.lstsq(matrix, values[rows], rcond=1e-7)[0]
            beyond = given[rows] @ effects[own.shape[1] :]
            shown = affected[rows]
            if shown.any():
                values[rows[shown]] -= beyond[shown] - beyond[shown].mean()
        runs[column] = values
    return runs
