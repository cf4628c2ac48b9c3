"""What the key `select` of a study multiplies: trainings with other values of tuned axes."""

from collections import Counter
from typing import Any

from kd.axes.fields import RUN_FIELDS
from kd.study.grid import Grid
from kd.study.selected import tuned_of


def tuning(grid: Grid) -> dict[str, Any] | None:
    """What is selected on the held-out slice, and how many more trainings that takes: `axes` and
    `teachers` (values by key), `share` of the training examples, `values` (combinations that a cell
    tries, at most), `runs_untuned` (cells times seeds), `recipes` of each teacher."""
    select = grid.study.select
    if select is None:
        return None
    tuned = tuned_of(grid)
    axes = dict(tuned.axes) if tuned else {}
    keys = [axis for axis in RUN_FIELDS if axis not in axes]
    cells = Counter(tuple(run.labels[key] for key in keys) for run in grid.runs.values())
    return {
        "axes": axes,
        "teachers": select.teachers,
        "share": select.share,
        "values": max(cells.values()),
        "runs_untuned": len(cells),
        "equal": len(set(cells.values())) == 1,
        "recipes": len(select.recipes) or 1,
    }
