"""What all figures share: colours, marks, panels, legend, the line of text at the foot."""

import textwrap
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from kd.results.statistics.runs import AVERAGE, levels, metric, teacher_names
from kd.runtime.files import atomic_write

Look = dict[str, Any]  # keyword arguments of a matplotlib artist
COLUMN, PAGE = 3.4, 7.0  # inches: one column of a paper, both columns
HEIGHT = 9.2  # inches of a page, less a caption
FAR = 0.5  # how far off, in spans of the runs, teacher and constant answer are still drawn
LETTER = 0.058  # inches, mean width of a letter at 7 points
FEW = 16  # cells that a figure still shows one by one
# Okabe and Ito's colours, which differ for all common colour blindness; marks differ as well.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKS = "osD^vPX"
GREY = "#666666"
MAP = "cividis"  # equal steps for every eye, also in grey
SLANT: Look = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
HATCH: Look = {"facecolor": "none", "edgecolor": GREY, "hatch": "/////", "linewidth": 0}
MAIN: Look = {"color": COLOURS[0], "marker": "o"}
CONTROL: Look = {"color": COLOURS[1], "marker": "s"}
RUN: Look = {
    "color": "#999999",
    "marker": ".",
    "markersize": 2.5,
    "linestyle": "none",
    "alpha": 0.6,
}
TEACHER: Look = {"color": "black", "linestyle": "--", "linewidth": 0.8}
CONSTANT: Look = {"color": "black", "linestyle": ":", "linewidth": 0.8}
WORDS = {"teacher": "teacher", "constant answer": "const."}  # where there is little room
REFERENCES = {"teacher": TEACHER, "constant answer": CONSTANT}
STYLE: Any = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
}


def write_figure(draw: Callable[[], Figure], path: Path) -> None:
    """Write the figure that `draw` makes as PNG, PDF or SVG, by the name's ending.

    The same figure gives the same bytes, because the file has no date or version.
    """
    undated = {"png": ["Software"], "pdf": ["Creator", "Producer", "CreationDate"],
               "svg": ["Creator", "Date"]}[path.suffix[1:]]  # fmt: skip
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = draw()
        FigureCanvasAgg(figure)
        content = BytesIO()
        figure.savefig(content, format=path.suffix[1:], dpi=200, metadata=dict.fromkeys(undated))
    atomic_write(path, content.getvalue())


def panels_of(
    runs: pd.DataFrame,
    tasks: list[str],
    height: float,
    most: int = 5,
    wide: bool = False,
    scores: bool = True,
) -> tuple[Figure, list[tuple[str, Axes, bool, bool]]]:
    """An empty figure with (task, axes, is it leftmost, is nothing below it) for each task.

    `height` is that of a panel in inches, `most` how many stand side by side. The figure is one
    column wide where no two panels stand side by side, unless `wide`. Titles name the metric where
    `scores` are drawn.
    """
    across = across_of(len(tasks), most)
    down = -(-len(tasks) // across)
    size = (COLUMN if across == 1 and not wide else PAGE, down * height + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    panels = []
    for i, ax in enumerate(grid):
        if i >= len(tasks):
            ax.remove()
            continue
        # Two texts at fixed heights: the place of one text of two lines depends on its letters.
        ax.set_title(tasks[i], y=1.0, pad=18 if scores else 4)
        measure = metric(tasks[i], runs).replace("mean of ", "").replace(" and ", "/")
        if tasks[i] == AVERAGE:
            measure = f"mean of {(runs['task'].unique() != AVERAGE).sum()} tasks"
        if scores:
            ax.annotate(measure, (0.5, 1.0), (0, 9), xycoords="axes fraction", ha="center",
                        textcoords="offset points", fontsize=6.5, color=GREY)  # fmt: skip
        panels.append((tasks[i], ax, i % across == 0, i + across >= len(tasks)))
    return figure, panels


def across_of(count: int, most: int = 5) -> int:
    """How many panels stand side by side, for the fewest rows and then the fewest gaps."""
    return min(range(1, most + 1), key=lambda n: (-(-count // n), -count % n))


def references(ax: Axes, runs: pd.DataFrame, sideways: bool) -> None:
    """Teacher (dashed, a line each) and constant answer (dotted), after all else is drawn.

    One that is far off would squeeze the runs into a corner: it is written at the top instead.
    """
    low, high = ax.dataLim.intervalx if sideways else ax.dataLim.intervaly
    room = FAR * max(high - low, 5.0) if np.isfinite(high - low) else np.inf
    marks = [
        ("teacher", runs.groupby(teacher_names(runs))["teacher_score"].mean(), TEACHER, "right"),
        ("constant answer", runs[["majority_score"]].mean(), CONSTANT, "left"),
    ]
    for name, scores, look, side in marks:
        far = []
        several = scores.notna().sum() > 1
        for label, score in (100 * scores.dropna()).items():
            if room == np.inf or low - room <= score <= high + room:
                line = ax.axvline if sideways else ax.axhline
                line(score, gid=name, zorder=0, **look)
                if several and not sideways:
                    ax.text(1.0, score, str(label), ha="right", va="bottom", fontsize=5,
                            color=GREY, transform=ax.get_yaxis_transform())  # fmt: skip
            else:
                arrows = "←→" if sideways else "↓↑"
                far.append(f"{arrows[int(score > high)]}{score:.1f}")
        if far:  # in one word: narrow panels have both
            told = f"{WORDS[name]} {', '.join(far)}"
            ax.text(float(side == "right"), 1.0, told, ha=side, va="bottom",
                    transform=ax.transAxes, fontsize=5, color=GREY, gid=f"far {name}")  # fmt: skip


def finish(figure: Figure, sentences: Sequence[str], keys: dict[str, Look]) -> Figure:
    """Add the legend above and the sentences below; the figure grows by what these need.

    `sentences` have no full stop; empty ones are left out. So are keys of lines that no panel has.
    """
    drawn = {line.get_gid() for ax in figure.axes for line in ax.lines}
    keys = {name: look for name, look in keys.items() if name not in REFERENCES or name in drawn}
    letters = int(figure.get_figwidth() / LETTER)
    more = 0.0
    if keys:
        every = sum(len(name) + 7 for name in keys)
        across = len(keys) if every <= letters else letters // (max(map(len, keys)) + 5) or 1
        looks: list[Look] = [{"label": n, "linestyle": "none"} | look for n, look in keys.items()]
        handles = [Line2D([], [], **look) for look in looks]
        figure.legend(handles=handles, loc="outside upper center", ncols=across, fontsize=6.5,
                      handlelength=1.8, columnspacing=1.2)  # fmt: skip
        more += 0.14 * max(0, -(-len(keys) // across) - 2)
    said = [f"{s if s.startswith('n = ') else s[:1].upper() + s[1:]}." for s in sentences if s]
    text = " ".join(said).replace("n = ", "n\u00a0=\u00a0")  # never broken
    lines = textwrap.wrap(text, int(letters * 1.2))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=6, color=GREY)
    more += 0.1 * max(0, len(lines) - 2)
    figure.set_figheight(figure.get_figheight() + more)
    return figure


def above_foot(figure: Figure) -> Bbox:
    """The drawn figure without the line of text at its foot, in inches."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    feet = [text for text in figure.texts if text.get_text() == figure.get_supxlabel()]
    height = max((foot.get_window_extent(renderer).y1 for foot in feet), default=0) / figure.dpi
    width, top = figure.get_size_inches()
    return Bbox([[0, height], [width, top]])


def count_text(n: "pd.Series[int]", table: pd.DataFrame, how: str, mark: str = "mark") -> str:
    """How many runs each mark was planned to average, and how many marks lack some of them.

    `n` has the runs of each row of `table` that are done, whose column n_expected has those that
    were planned; `how` says how a mark that lacks some is drawn.
    """
    least, most = table["n_expected"].min(), table["n_expected"].max()
    several = f"{least} to {most} runs" if least < most else f"{most} runs"
    text = f"Each {mark} is one run" if most == 1 else f"Each {mark} averages {several}"
    lacking = int((n < table["n_expected"]).sum())
    return text + f"; {lacking} of {len(table)} lack runs ({how})" * bool(lacking)


def faint(count: int) -> Look:
    """The look of a run's dot, the fainter the more of them there are in one strip."""
    return RUN | {"alpha": max(0.06, min(0.6, 25 / max(1, count)))}


def series_looks(values: Sequence[str]) -> dict[str, Look]:
    """Colour and mark of each series; after a full round of colours the marks are other ones.

    Many numbers or shapes, which have an order, get a scale of colours from dark to light.
    """
    count = len(values)
    scale = count > len(COLOURS) and levels(pd.Series(values[::-1], dtype=object)) == [*values]
    looks: dict[str, Look] = {}
    for index, value in enumerate(values):
        turn, i = divmod(index, len(COLOURS))
        colour = colormaps[MAP](0.95 * index / (count - 1)) if scale else COLOURS[i]
        looks[value] = {"color": colour, "marker": MARKS[(i + turn) % len(MARKS)]}
    return looks


def wrapped(text: str) -> str:
    """Break a long label after a + or a comma."""
    pieces = textwrap.wrap(text.replace("+", "+ ").replace(",", ", "), 34)
    return "\n".join(pieces).replace("+ ", "+").replace(", ", ",")


def short_names(students: "pd.Series[str]") -> "pd.Series[str]":
    """'3L-384' for '3L-384-12h-1536', unless two students would share the short name."""
    short = students.str.split("-").str[:2].str.join("-")
    return short if short.nunique() == students.nunique() else students
