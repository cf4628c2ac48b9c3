"""Figures in two dimensions: heat maps of two axes, width against depth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kd.figures.style import (
    COLUMN,
    GREY,
    HATCH,
    PAGE,
    SLANT,
    count_text,
    finish,
    panels_of,
    wrapped,
)
from kd.shapes import Shape, parse_shape
from kd.statistics.cells import describe
from kd.statistics.runs import ALIAS, IDLE, each, levels
from kd.statistics.views import at_base

_MAP = "cividis"  # equal steps for every eye, also in grey
_INCHES = 0.3  # that a number needs


def heatmap(runs: pd.DataFrame, rows: str, columns: str) -> Figure:
    """Mean score by two axes, a panel per task, each on its own colour scale.

    With the tasks as columns there is one panel, and each column has its own scale.
    """
    by_task = columns == "task"
    view = at_base(runs, (rows, columns))
    for axis in {rows, columns} - {"task"}:
        view = view.assign(**{axis: view[axis].str.split(ALIAS)}).explode(axis)
    tasks = list(dict.fromkeys(runs["task"]))
    down = levels(view[rows])
    across = tasks if by_task else levels(view[columns])
    names = [f"no {columns.replace('_', ' ')}" if v == IDLE else wrapped(v) for v in across]
    table = describe(view, list(dict.fromkeys([rows, columns, "task"])))
    if by_task:
        wide = PAGE if len(across) > 5 else COLUMN
        figure = Figure(figsize=(wide, 1.2 + 0.26 * len(down)), layout="constrained")
        panels = [("", figure.subplots(), True, True)]
    else:
        most = min(5, max(1, int((PAGE - 1.5) / (_INCHES * len(across)))))
        figure, panels = panels_of(tasks, 0.5 + 0.24 * len(down), most)
    for task, ax, left, bottom in panels:
        here = table if by_task else table[table["task"] == task]
        _cells(ax, here, (rows, columns), down, across)
        ax.set_yticks(range(len(down)), [wrapped(value) for value in down] if left else [])
        ax.set_xticks(range(len(across)), names if bottom else [], **SLANT)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    text = f"Mean score in points by {rows.replace('_', ' ')} and {columns.replace('_', ' ')}"
    text += "; each column has its own colour scale" * by_task
    text += "; blank: not planned" * (len(table) < len(down) * len(across) * len(panels))
    return finish(figure, f"{text}. {count_text(table['n'], table, 'n of planned is shown')}", {})


def _cells(
    ax: Axes, table: pd.DataFrame, keys: tuple[str, str], down: list[str], across: list[str]
) -> None:
    """One tile a cell with its mean; hatched where no run is done, blank where none was planned."""
    rows, columns = keys
    means = np.full((len(down), len(across)), np.nan)
    spots = [
        (down.index(a), across.index(b)) for a, b in zip(table[rows], table[columns], strict=True)
    ]
    for spot, mean in zip(spots, table["mean"], strict=True):
        means[spot] = 100 * mean
    shades = means.copy()
    if columns == "task":
        found = np.ma.masked_invalid(means)
        low, high = found.min(axis=0).filled(0), found.max(axis=0).filled(1)
        shades = (means - low) / np.where(high > low, high - low, 1)
    ax.imshow(np.ma.masked_invalid(shades), cmap=_MAP, aspect="auto")
    there = shades[~np.isnan(shades)]
    middle = (there.min() + there.max()) / 2 if len(there) else 0
    for (y, x), cell in zip(spots, each(table), strict=True):
        if cell.n == 0:
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, gid="missing", **HATCH))
            text, dark = "missing", False
        else:
            part = f"\n{cell.n}/{cell.n_expected}" if cell.missing else ""
            text, dark = f"{means[y, x]:.1f}{part}", bool(shades[y, x] <= middle)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5} if cell.n == 0 else None
        colour = GREY if cell.n == 0 else "white" if dark else "black"
        size = 5 if cell.n == 0 else 6
        ax.text(x, y, text, ha="center", va="center", fontsize=size, linespacing=0.9, bbox=box,
                color=colour)  # fmt: skip


def width_depth_figure(runs: pd.DataFrame) -> Figure:
    """Mean score by width and depth, with lines of equal size, a panel per task."""
    shapes = {student: parse_shape(student) for student in levels(runs["student"])}
    view = at_base(runs, ("student",))
    table = describe(view, ["student", "task"])
    figure, panels = panels_of(list(dict.fromkeys(runs["task"])), 1.9, 4)
    widths = np.array([s.hidden for s in shapes.values()], dtype=float)
    depths = np.array([s.layers for s in shapes.values()], dtype=float)
    x = (widths.min() / 1.35, widths.max() * 1.5)
    y = (depths.min() / 1.5, depths.max() * 1.6)
    sizes = _sizes(list(shapes.values()))
    for task, ax, left, bottom in panels:
        ax.set(xscale="log", yscale="log", xlim=x, ylim=y)
        _equal_size(ax, sizes, x, y)
        here = table[table["task"] == task].set_index("student")["mean"] * 100
        norm = Normalize(here.min(), here.max())
        for student, mean in here.items():
            shape = shapes[str(student)]
            spot = (shape.hidden, shape.layers)
            if pd.isna(mean):
                ax.plot(*spot, marker="x", color=GREY, linestyle="none", gid="missing")
            else:
                ax.scatter(*spot, c=[mean], cmap=_MAP, norm=norm, s=28, edgecolors="black",
                           linewidths=0.5, zorder=3, gid="student")  # fmt: skip
            ax.annotate("missing" if pd.isna(mean) else f"{mean:.1f}", spot, (0, 5), ha="center",
                        textcoords="offset points", fontsize=6, zorder=4)  # fmt: skip
        _ticks(ax, widths, depths, left, bottom)
    at = "; all else at the study's base" if len(view) < len(runs) else ""
    text = f"Mean score in points by the student's width and depth{at}. Dotted: equal size. "
    return finish(figure, text + count_text(table["n"], table, "x where none is done"), {})


def _sizes(shapes: list[Shape]) -> list[float]:
    """Million parameters for the lines of equal size: one for all within 15 %, six at most."""
    found: list[float] = []
    for size in sorted(shape.layer_parameters / 1e6 for shape in shapes):
        if not found or size > 1.15 * found[-1]:
            found.append(size)
    return found[:: -(-len(found) // 6)]


def _equal_size(
    ax: Axes, sizes: list[float], x: tuple[float, float], y: tuple[float, float]
) -> None:
    """Lines of L = P / (12 H² + 13 H), the layers of a given size whose feed-forward is 4 H."""
    widths = np.geomspace(*x, 200)
    for size in sizes:
        layers = 1e6 * size / (12 * widths**2 + 13 * widths)
        ax.plot(widths, layers, color=GREY, linewidth=0.6, linestyle=":", zorder=1, gid="size")
        inside = np.flatnonzero((layers > y[0] * 1.1) & (layers < y[1] * 0.92))
        if len(inside):
            at = inside[-1]
            ax.text(widths[at], layers[at], f"{size:.2g} M", fontsize=5, color=GREY, ha="right",
                    va="bottom", clip_on=True)  # fmt: skip


def _ticks(ax: Axes, widths: np.ndarray, depths: np.ndarray, left: bool, bottom: bool) -> None:
    """Ticks at the widths and depths that were run, where they leave room."""
    for axis, values, named in ((ax.xaxis, widths, bottom), (ax.yaxis, depths, left)):
        kept: list[float] = []
        for value in sorted(set(values)):
            if not kept or value > 1.25 * kept[-1]:
                kept.append(value)
        axis.set_ticks(kept, [f"{value:.0f}" for value in kept] if named else [])
        axis.set_ticks([], minor=True)
    if bottom:
        ax.set_xlabel("hidden size")
    if left:
        ax.set_ylabel("layers")
