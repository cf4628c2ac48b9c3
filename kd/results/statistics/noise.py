"""The noise that a term of the analysis of variance is tested against.

The unit is one seed on one task. Its runs share noise, and so do its runs with the same value of an
axis. The error of a term is therefore how the term itself changes from unit to unit.
"""

import numpy as np

_SMALL = 1e-9


class Noise:
    """The scores after the means of cells and units are removed.

    `within` is the sum of squares of runs about their cell and `within_free` its degrees of
    freedom. `left` and `free` are the same after the levels of the units are taken out. `rank` is
    the number of parameters of cells and units.
    """

    def __init__(
        self, score: np.ndarray, cells: np.ndarray, units: np.ndarray, tasks: np.ndarray
    ) -> None:
        """Args: score (n,) in points; cells, units, tasks (n,) codes from 0 of each run.

        A cell is of one task, and so is a unit.
        """
        self._tasks = [
            _Task(np.flatnonzero(tasks == task), cells, units) for task in np.unique(tasks)
        ]
        own = score - (np.bincount(cells, score) / np.maximum(np.bincount(cells), 1))[cells]
        self._rest = np.empty_like(own)
        for task in self._tasks:
            self._rest[task.rows] = task.left(own[task.rows, None])[:, 0]
        self.within, self.left = float(own @ own), float(self._rest @ self._rest)
        count = len(np.unique(cells))
        self.within_free = len(score) - count
        self.rank = count + sum(task.explained for task in self._tasks)
        self.free = len(score) - self.rank

    def of(self, basis: np.ndarray) -> tuple[float, float]:
        """Mean square of how a term changes from unit to unit, and its degrees of freedom.

        In each unit the remaining scores are multiplied with the columns of the term. In a complete
        grid this gives the mean square of term × seed within tasks. In a grid with gaps the sum of
        squares is scaled so that it is unbiased if half of the noise belongs to each run, and half
        is common to the runs of a unit with the same value of the term. The degrees of freedom are
        Satterthwaite's for that noise. If the term does not change at all, as is possible with
        coarse scores, the error is that of the runs about their cell. `basis` is (n, df),
        orthonormal.
        """
        parts = [(task, task.by_unit(basis[task.rows])) for task in self._tasks]
        size = sum(float(((own.T @ own) ** 2).sum()) for _, own in parts)
        squares = trace = square = 0.0
        for task, own in parts:
            squares += float(((self._rest[task.rows] @ own) ** 2).sum())
            left = task.left(own)
            across = own.T @ left
            form = (left.T @ left + basis.shape[1] / size * across.T @ across) / 2
            trace += float(np.trace(form))
            square += float((form**2).sum())
        if squares < _SMALL * self.within or trace < _SMALL:
            return self.within / max(self.within_free, 1), self.within_free
        return squares / trace, trace**2 / square


class _Task:
    """The runs of one task: `rows` are their places, `explained` the parameters of its units."""

    def __init__(self, rows: np.ndarray, cells: np.ndarray, units: np.ndarray) -> None:
        self.rows = rows
        self._cell = np.unique(cells[rows], return_inverse=True)[1]
        self._unit = np.unique(units[rows], return_inverse=True)[1]
        self._design = self._centred(np.eye(self._unit.max() + 1)[self._unit])
        gram = self._design.T @ self._design
        self._inverse = np.linalg.pinv(gram, rcond=_SMALL, hermitian=True)
        self.explained = round(float((self._inverse * gram).sum()))

    def _centred(self, x: np.ndarray) -> np.ndarray:
        sums = np.zeros((self._cell.max() + 1, x.shape[1]))
        np.add.at(sums, self._cell, x)
        return x - (sums / np.bincount(self._cell)[:, None])[self._cell]

    def left(self, x: np.ndarray) -> np.ndarray:
        """Columns of (n, k) without the levels of cells and units."""
        x = self._centred(x)
        return x - self._design @ (self._inverse @ (self._design.T @ x))

    def by_unit(self, basis: np.ndarray) -> np.ndarray:
        """(n, k): the term's columns (n, df) of each unit side by side, 0 in other units."""
        blocks = []
        for unit in range(self._unit.max() + 1):
            rows = self._unit == unit
            left, size, _ = np.linalg.svd(basis[rows], full_matrices=False)
            keep = size > 1e-6
            block = np.zeros((len(basis), int(keep.sum())))
            block[rows] = left[:, keep] * size[keep]
            blocks.append(block)
        return np.hstack(blocks)
