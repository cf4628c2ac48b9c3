"""Figures in two dimensions: heat maps of two axes, width against depth."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kd.axes.equal_size import MEASURES, TOKENS
from kd.axes.figures import axis_words
from kd.axes.shapes import Shape, parse_shape
from kd.results.figures.style import (
    COLUMN,
    GREY,
    HATCH,
    MAP,
    PAGE,
    SLANT,
    count_text,
    finish,
    panels_of,
    wrapped,
)
from kd.results.statistics.cells import describe
from kd.results.statistics.cost import named_measure
from kd.results.statistics.runs import IDLE, control_of, each, levels, values_of
from kd.results.statistics.views import grid_view

_INCHES = 0.3  # that a number needs
# Measure of size -> in words, unit, factor to it.
_IN = {
    "nonembedding": ("parameters without embeddings", "M", 1e-6),
    "params": ("parameters", "M", 1e-6),
    "flops": (f"FLOPs for {TOKENS} tokens", "GFLOPs", 1e-9),
}
_ACROSS = 16  # columns whose numbers fit the width of a page


def heatmap(runs: pd.DataFrame, rows: str, columns: str, panels_for: Sequence[str] = ()) -> Figure:
    """Mean score by two axes, a panel per task (or for some), each on its own colour scale.

    With the tasks as columns there is one panel, and each column has its own scale. Tiles compare
    like with like (`grid_view`). An axis whose values do not fit side by side goes down the page.
    """
    by_task = columns == "task"
    view, note = grid_view(runs, [rows, columns])
    tasks = list(panels_for or dict.fromkeys(runs["task"]))
    down = _values(runs, view, rows)
    across = tasks if by_task else _values(runs, view, columns)
    if len(across) > max(_ACROSS, len(down)):
        rows, columns, down, across = columns, rows, across, down
    table = describe(view, list(dict.fromkeys([rows, columns, "task"])))
    control = "" if "knowledge" in (rows, columns) else control_of(runs)
    down_names, across_names = (
        [_name(value, axis, control) for value in values]
        for axis, values in ((rows, down), (columns, across))
    )
    wide = _INCHES * len(across) > COLUMN - 1.4
    if by_task:
        size = (PAGE if wide else COLUMN, 1.2 + 0.26 * len(down))
        figure = Figure(figsize=size, layout="constrained")
        panels = [("", figure.subplots(), True, True)]
    else:
        most = min(5, max(1, int((PAGE - 1.5) / (_INCHES * len(across) + 0.25))))
        figure, panels = panels_of(runs, tasks, 0.6 + 0.24 * len(down), most, wide)
    for task, ax, left, bottom in panels:
        here = table if by_task else table[table["task"] == task]
        _cells(ax, here, (rows, columns), down, across)
        ax.set_yticks(range(len(down)), down_names if left else [])
        ax.set_xticks(range(len(across)), across_names if bottom else [], **SLANT)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        if left:
            ax.set_ylabel(axis_words(rows))
        if bottom:
            ax.set_xlabel(axis_words(columns))
        if not by_task and ax.images:
            bar = figure.colorbar(ax.images[0], ax=ax, fraction=0.06, pad=0.02)
            bar.locator = MaxNLocator(4)
            bar.ax.tick_params(labelsize=5, length=1.5, pad=1)
            bar.outline.set_visible(False)
    blank = len(table) < len(down) * len(across) * len(panels)
    text = [
        note,
        count_text(table["n"], table, "runs done/planned are shown", "tile"),
        "blank tiles were not planned" * blank,
    ]
    return finish(figure, text, {})


def _cells(
    ax: Axes, table: pd.DataFrame, keys: tuple[str, str], down: list[str], across: list[str]
) -> None:
    """One tile per cell with its mean, hatched if no run is done, blank if none was planned."""
    rows, columns = keys
    means = np.full((len(down), len(across)), np.nan)
    spots = [
        (down.index(a), across.index(b)) for a, b in zip(table[rows], table[columns], strict=True)
    ]
    for spot, mean in zip(spots, table["mean"], strict=True):
        means[spot] = 100 * mean
    shades = means.copy()
    if columns == "task":
        known = np.ma.masked_invalid(means)
        low, high = known.min(axis=0).filled(0), known.max(axis=0).filled(1)
        shades = (means - low) / np.where(high > low, high - low, 1)
    there = shades[~np.isnan(shades)]
    ends = _ends(there)
    if len(there):
        norm = Normalize(*ends, clip=True)
        ax.imshow(np.ma.masked_invalid(shades), cmap=MAP, aspect="auto", norm=norm)
    ax.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5))
    middle = sum(ends) / 2
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


def _values(runs: pd.DataFrame, view: pd.DataFrame, axis: str) -> list[str]:
    there = set(view[axis])
    return [value for value in values_of(runs, axis) if value in there]


def _name(value: str, axis: str, control: str) -> str:
    """The name of a row or column. A run that the axis cannot affect is the control."""
    if value != IDLE:
        return wrapped(value)
    return f"{control} (control)" if control else f"no {axis_words(axis)}"


def _ends(shades: np.ndarray) -> tuple[float, float]:
    """The range of the colours, not widened by a tile far below all others (no distillation)."""
    if not len(shades):
        return 0.0, 1.0
    first, third = np.quantile(shades, [0.25, 0.75])
    low = max(float(shades.min()), float(first - 3 * (third - first)))
    return low, max(float(shades.max()), low + 1e-9)


def width_depth_figure(runs: pd.DataFrame) -> Figure:
    """Mean score by width and depth, with lines of equal size, a panel per task."""
    shapes = {student: parse_shape(student) for student in levels(runs["student"])}
    view, note = grid_view(runs, ["student"])
    table = describe(view, ["student", "task"])
    widths = np.array([s.hidden for s in shapes.values()], dtype=float)
    depths = np.array([s.layers for s in shapes.values()], dtype=float)
    rows = len(set(depths))
    figure, panels = panels_of(
        runs, list(dict.fromkeys(runs["task"])), max(1.9, 0.5 + 0.4 * rows), 4
    )
    x = (widths.min() / 1.35, widths.max() * 1.5)
    y = (depths.min() / 1.5, depths.max() * 1.6)
    measure = named_measure(runs) or "nonembedding"
    sizes = _sizes([MEASURES[measure].size(shape) for shape in shapes.values()])
    for task, ax, left, bottom in panels:
        ax.set(xscale="log", yscale="log", xlim=x, ylim=y)
        _equal_size(ax, measure, sizes, x, y)
        here = table[table["task"] == task].set_index("student")["mean"] * 100
        norm = Normalize(here.min(), here.max())
        place = {student: (shape.layers, shape.hidden) for student, shape in shapes.items()}
        below, last = False, (0, 0)
        for student, mean in sorted(here.items(), key=lambda item: place[str(item[0])]):
            shape = shapes[str(student)]
            spot = (shape.hidden, shape.layers)
            # A label beside another one goes below its mark.
            near = spot[1] == last[1] and spot[0] < 1.4 * last[0]
            below, last = near and not below, spot
            if pd.isna(mean):
                ax.plot(*spot, marker="x", color=GREY, linestyle="none", gid="missing")
            else:
                ax.scatter(*spot, c=[mean], cmap=MAP, norm=norm, s=28, edgecolors="black",
                           linewidths=0.5, zorder=3, gid="student")  # fmt: skip
            ax.annotate("missing" if pd.isna(mean) else f"{mean:.1f}", spot,
                        (0, -5 if below else 5), ha="center", va="top" if below else "bottom",
                        textcoords="offset points", fontsize=6, zorder=4)  # fmt: skip
        _ticks(ax, widths, depths, left, bottom)
    text = [
        f"students on a dotted line are equal in {_IN[measure][0]}",
        note,
        count_text(table["n"], table, "x: no run is done"),
    ]
    return finish(figure, text, {})


def _sizes(sizes: list[int]) -> list[float]:
    """The lines of equal size to draw: one for all sizes within 15 %, six at most."""
    lines: list[float] = []
    for size in sorted(sizes):
        if not lines or size > 1.15 * lines[-1]:
            lines.append(size)
    return lines[:: -(-len(lines) // 6)]


def _equal_size(
    ax: Axes, measure: str, sizes: list[float], x: tuple[float, float], y: tuple[float, float]
) -> None:
    """For each size the layers that make it at each width, with a feed-forward of 4 H.

    Every measure is linear in the layers: shapes of one and two layers give its two coefficients.
    """
    _, unit, factor = _IN[measure]
    widths = np.unique(np.geomspace(*x, 200).round().astype(int))
    single, double = (
        np.array([MEASURES[measure].size(Shape(n, int(w), 1, 4 * int(w))) for w in widths])
        for n in (1, 2)
    )
    named = [0.0, 0.0]  # the last size with a label at the foot of its line, and at its head
    for size in sizes:
        layers = 1 + (size - single) / (double - single)
        ax.plot(widths, layers, color=GREY, linewidth=0.6, linestyle=":", zorder=1, gid="size")
        inside = np.flatnonzero((layers > y[0] * 1.1) & (layers < y[1] * 0.92))
        free = [end for end in (0, 1) if size > 2.2 * named[end]]
        if len(inside) and free:  # a label for each that leaves room
            end = free[0]
            at, named[end] = inside[end - 1], size
            room = end == 0 and widths[at] > 1.8 * x[0]  # on the left of the line
            ax.text(widths[at], layers[at], f" {factor * size:.3g} {unit}", fontsize=5, color=GREY,
                    ha="right" if room else "left", va="bottom", clip_on=True)  # fmt: skip


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
