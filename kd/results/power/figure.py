"""The smallest detectable difference against the number of seeds, as a figure."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kd.results.figures.style import (
    COLUMN,
    GREY,
    PAGE,
    Look,
    across_of,
    finish,
    series_looks,
    write_figure,
)
from kd.results.power.detect import smallest
from kd.results.power.study import Row, design_of
from kd.results.statistics.runs import AVERAGE
from kd.runtime.errors import UserError

_SEEDS = (2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 50)
_MEAN: Look = {"color": "black", "marker": "o", "linewidth": 1.4}


def write_power_figure(facts: Row, path: Path) -> None:
    """Write the figure of a result of `study_power` as PNG, PDF or SVG, by the name's ending.

    Raises:
        UserError: no contrast has a variance.
    """
    if not facts["contrasts"]:
        raise UserError(f"{path}: not drawn, because no contrast of the study has a variance")
    write_figure(lambda: power_figure(facts), path)


def power_figure(facts: Row) -> Figure:
    """A panel for each axis, in it a line for each task and one for the average over tasks.

    Of the contrasts of an axis, the one with the largest spread is drawn.
    """
    axes = list(dict.fromkeys(row["axis"] for row in facts["contrasts"]))
    tasks = list(dict.fromkeys(row["task"] for row in facts["contrasts"]))
    looks = series_looks([task for task in tasks if task != AVERAGE])
    looks |= {AVERAGE: _MEAN} if AVERAGE in tasks else {}
    across = across_of(len(axes), 3)
    size = (COLUMN if across == 1 else PAGE, -(-len(axes) // across) * 1.9 + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(-(-len(axes) // across), across, squeeze=False).ravel()
    for i, ax in enumerate(panels):
        if i >= len(axes):
            ax.remove()
            continue
        rows = [row for row in facts["contrasts"] if row["axis"] == axes[i]]
        _panel(ax, rows, looks, facts["difference"])
        ax.set_title(axes[i])
        if i % across == 0:
            ax.set_ylabel("smallest difference, points")
        if i + across >= len(axes):
            ax.set_xlabel("seeds")
    text = [
        "smallest difference between two values that a study with so many seeds finds with "
        f"probability {facts['power']:g}, for a claim about this dev split, with Holm's correction",
        f"dashed: {facts['difference']:g} points; vertical: the seeds of the study",
        "dotted, in the colour of its task: what no number of seeds can find for the task beyond "
        "its dev split (thin where it is an upper bound)",
    ]
    keys = {task: {"linestyle": "-"} | look for task, look in looks.items()}
    return finish(figure, text, keys)


def _panel(ax: Any, rows: list[Row], looks: dict[str, Look], wanted: float) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    for task, look in looks.items():
        own = [row for row in rows if row["task"] == task]
        if not own:
            continue
        row = max(own, key=lambda row: row["sd"])
        design = design_of(row)
        ax.plot(_SEEDS, [smallest(design, n) for n in _SEEDS], gid=f"power {task}", markersize=3,
                **{"linewidth": 0.9} | look)  # fmt: skip
        if noise := row["examples"]:
            ax.axhline(noise["never"], gid=f"never {task}", color=look["color"], linestyle=":",
                       linewidth=0.9 if noise["measured"] else 0.4)  # fmt: skip
    ax.axhline(wanted, color="black", linestyle="--", linewidth=0.8, gid="wanted")
    ax.axvline(max(2, min(row["seeds"] for row in rows)), color=GREY, linewidth=0.6, gid="planned")
    ticks = (2, 3, 5, 10, 20, 50)
    ax.set_xticks(ticks, [str(n) for n in ticks])
    low, high = ax.get_ylim()
    marks = [m for m in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= m <= high]
    ax.set_yticks(marks, [f"{m:g}" for m in marks])
    ax.minorticks_off()
