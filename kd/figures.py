"""The study's figures, from runs.csv alone, as PNG and PDF for a two-column paper."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from kd import statistics as st
from kd.files import atomic_dir

Look = dict[str, Any]  # keyword arguments of a matplotlib artist
COLUMN, PAGE = 3.4, 7.0  # inches: one column of a paper, both columns
FAR = 1.5  # how far off, in spans of the runs, teacher and majority class are still drawn
LETTER = 0.058  # inches, mean width of a letter at 7 points
FEW = 16  # cells that a figure still shows one by one
# Okabe and Ito's colours, told apart in every common colour blindness; marks differ as well.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKS = "osD^vPX"
GREY = "#666666"
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
MAJORITY: Look = {"color": "black", "linestyle": ":", "linewidth": 0.8}
REFERENCES = {"teacher": TEACHER, "majority class": MAJORITY}
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


def write_figures(runs_csv: Path, out_dir: Path) -> list[str]:
    """Write every figure as .png and .pdf into `out_dir`; the names, in order.

    The same runs give the same bytes: neither format stores a date or a version.
    """
    names = []
    runs = st.prepare(st.read_runs(runs_csv))
    undated: Look = dict.fromkeys(["Creator", "Producer", "CreationDate"])
    with matplotlib.rc_context(), atomic_dir(out_dir) as folder:
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        for name, figure in make_figures(runs):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for each draw
            figure.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None})
            figure.savefig(folder / f"{name}.pdf", metadata=undated)
            names.append(name)
    return names


def make_figures(runs: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Every figure that these prepared runs give, by name."""
    varying = st.studied(runs)
    runs = runs.assign(student=_short(runs["student"]))
    for axis in varying:
        yield f"axis-{axis}", axis_figure(runs, axis)
    if {"knowledge", "mapping"} <= set(varying):
        yield "heatmap-knowledge-mapping", heatmap(runs, "knowledge", "mapping")
    if {"knowledge", "student"} <= set(varying):
        yield "heatmap-student-knowledge", heatmap(runs, "knowledge", "student")
    if "student" in varying:
        yield "score-parameters", parameters_figure(runs)
    if (runs["role"] == "control").any() and (runs["role"] != "control").any():
        yield "difference-to-control", difference_figure(runs)


def axis_figure(runs: pd.DataFrame, axis: str) -> Figure:
    """Score by value of `axis`, a panel per task: mean, 95 % interval, and every run behind it."""
    view, note = st.axis_view(runs, axis)
    view["row"] = view["value"].replace(st.IDLE, st.control_of(runs))
    rows = [st.control_of(runs) if v == st.IDLE else v for v in st.levels(view["value"])]
    # Side by side where the labels leave room for it, else one below the other.
    count = view["task"].nunique()
    room = 0.75 * (COLUMN if count == 1 else PAGE / across_of(count))
    wide = LETTER * sum(2 + max(map(len, _wrap(row).split("\n"))) for row in rows) > room
    text = f"Score by {axis}{', ' * bool(note)}{note}"
    return Strips("score", view, rows, axis, wide).draw(runs, text)


def difference_figure(runs: pd.DataFrame) -> Figure:
    """Paired differences to the control: a row per axis value, or per cell where cells are few."""
    names = st.studied(runs)
    view = runs[runs["role"] != "control"]
    few = len(view.drop_duplicates(names)) <= FEW and len(st.at_base(runs, [])) == len(runs)
    if len(names) == 1 or few:
        view = view.assign(row=view[names].agg(" · ".join, axis=1))
        what = " · ".join(names)
    else:
        views = [st.axis_view(runs, axis)[0].assign(axis=axis) for axis in names]
        view = pd.concat(views, ignore_index=True).query("role != 'control'")
        view = view.assign(row=view["axis"] + ": " + view["value"])
        what = "each value over its comparable cells"
    view = view.assign(series="main")
    rows = list(view["row"].unique())
    text = f"Paired difference to the control, {st.control_of(runs)}: {what}"
    paired = view[["score", "difference"]].notna().groupby(view["row"]).any()
    if (paired["score"] & ~paired["difference"]).any():
        text += "; no pair: no control with the same settings"
    return Strips("difference", view, rows, "", True).draw(runs, text)


@dataclass
class Strips:
    """Panels, one a task, with one strip per row: each run's dot, the mean and its interval.

    `view` has the columns row, series ("main" or "control"), task, and `column`, "score" or
    "difference". Rows run along x, or, `sideways`, down y.
    """

    column: str
    view: pd.DataFrame
    rows: Sequence[str]
    axis: str
    sideways: bool

    def draw(self, runs: pd.DataFrame, text: str) -> Figure:
        """The figure; `runs` give teacher and majority class, `text` is the line under it."""
        lines = max(len(_wrap(row).split("\n")) for row in self.rows)
        tall = 0.5 + len(self.rows) * (0.11 * lines + (0.1 if len(self.rows) < 9 else 0.04))
        tasks = list(dict.fromkeys(self.view["task"]))
        figure, panels = panels_of(tasks, tall if self.sideways else 1.6)
        table = st.describe(self.view, ["row", "series", "task"])
        cells = {(row.row, row.series, row.task): row for row in table.itertuples()}
        for task, ax, left, bottom in panels:
            for place, row in enumerate(self.rows):
                there = [name for name in ("main", "control") if (row, name, task) in cells]
                for name in there:
                    shift = {"main": -0.18, "control": 0.18}[name] if len(there) > 1 else 0.0
                    self._strip(ax, place + shift, cells[row, name, task])
                if not there:
                    self._say(ax, place, "not planned")
            if self.column == "score":
                _references(ax, runs[runs["task"] == task], self.sideways)
            else:
                ax.axvline(0, color="black", linewidth=0.7, zorder=0)
            self._label(ax, left, bottom)
        keys: dict[str, Look] = {
            "mean, 95 % interval": MAIN,
            "one run" if self.column == "score" else "one pair": RUN,
        }
        if "control" in set(self.view["series"]):
            keys[f"control ({st.control_of(runs)})"] = CONTROL
        if self.column == "score":
            keys |= REFERENCES
        counts = table["n" if self.column == "score" else "pairs"]
        return _finish(figure, f"{text}. {_counts(counts, table, 'hollow, −k')}", keys)

    def _strip(self, ax: Axes, at: float, cell: Any) -> None:
        """Hatched where no run finished, hollow where only some did."""
        if self.column == "score":
            n, mean, low, what = cell.n, cell.mean, cell.low, "missing"
        else:
            n, mean, low = cell.pairs, cell.difference, cell.difference_low
            what = "missing" if cell.n == 0 else "no pair"
        if n == 0:
            span = ax.axhspan if self.sideways else ax.axvspan
            span(at - 0.17, at + 0.17, gid="missing", **HATCH)
            self._say(ax, at, what)
            return
        chosen = self.view[["row", "series", "task"]] == [cell.row, cell.series, cell.task]
        values = 100 * self.view.loc[chosen.all(axis=1), self.column].dropna().to_numpy()
        spread = at + (np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1))
        ax.plot(*((values, spread) if self.sideways else (spread, values)), gid="runs", **RUN)
        style: Look = (CONTROL if cell.series == "control" else MAIN) | {"zorder": 3, "capsize": 2}
        if n < cell.n_expected:
            style["markerfacecolor"] = "white"
        if not np.isnan(low):
            style["xerr" if self.sideways else "yerr"] = 100 * (mean - low)
        spot = (100 * mean, at) if self.sideways else (at, 100 * mean)
        ax.errorbar(*spot, **style)[0].set_gid("mean")
        if n < cell.n_expected:
            note: Look = {"textcoords": "offset points", "fontsize": 5, "color": GREY}
            ax.annotate(f"−{cell.n_expected - n}", spot, (3, 3), **note)

    def _say(self, ax: Axes, at: float, text: str) -> None:
        """Text in the middle of a strip."""
        x, y, turn = (0.5, at, 0) if self.sideways else (at, 0.5, 90)
        frame = ax.get_yaxis_transform() if self.sideways else ax.get_xaxis_transform()
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        ax.text(x, y, text, rotation=turn, transform=frame, ha="center", va="center",
                color=GREY, fontsize=6, bbox=box)  # fmt: skip

    def _label(self, ax: Axes, left: bool, bottom: bool) -> None:
        """Name the rows at the outer panels only; scores have a scale of their own in each."""
        ticks, labels = range(len(self.rows)), [_wrap(row) for row in self.rows]
        if self.sideways:
            ax.set_ylim(len(self.rows) - 0.5, -0.5)
            ax.set_yticks(ticks, labels if left else [])
            ax.locator_params(axis="x", nbins=4)
        else:
            ax.set_xlim(-0.5, len(self.rows) - 0.5)
            ax.set_xticks(ticks, labels if bottom else [])
        if bottom:
            ax.set_xlabel("points" if self.sideways else self.axis)
        if left and not self.sideways:
            ax.set_ylabel("points")


def heatmap(runs: pd.DataFrame, rows: str, columns: str) -> Figure:
    """Mean score by two axes, a panel per task, each on its own colour scale."""
    view = st.at_base(runs, (rows, columns))
    for axis in (rows, columns):
        view = view.assign(**{axis: view[axis].str.split(st.ALIAS)}).explode(axis)
    tasks = list(dict.fromkeys(runs["task"]))
    down, across = st.levels(view[rows]), st.levels(view[columns])
    most = min(5, max(1, int((PAGE - 1.5) / (0.3 * len(across)))))  # room for every number
    labels = [f"no {columns}" if value == st.IDLE else value for value in across]
    figure, panels = panels_of(tasks, 0.5 + 0.24 * len(down), most)
    table = st.describe(view, [rows, columns, "task"])
    for task, ax, left, bottom in panels:
        here = table[table["task"] == task]
        middle = 50 * (here["mean"].min() + here["mean"].max())
        means = np.full((len(down), len(across)), np.nan)
        spots = [
            (down.index(a), across.index(b)) for a, b in zip(here[rows], here[columns], strict=True)
        ]
        for spot, mean in zip(spots, here["mean"], strict=True):
            means[spot] = 100 * mean
        ax.imshow(np.ma.masked_invalid(means), cmap="cividis", aspect="auto")
        for (y, x), cell in zip(spots, here.itertuples(), strict=True):
            if cell.n == 0:
                ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, gid="missing", **HATCH))
                text, dark = "missing", False
            else:
                part = f"\n{cell.n}/{cell.n_expected}" if cell.missing else ""
                text, dark = (
                    f"{means[y, x]:.1f}{part}",
                    means[y, x] <= middle,
                )
            ax.text(x, y, text, ha="center", va="center", fontsize=6, linespacing=0.9,
                    color="white" if dark else "black")  # fmt: skip
        ax.set_yticks(range(len(down)), [_wrap(value) for value in down] if left else [])
        ax.set_xticks(range(len(across)), labels if bottom else [], **SLANT)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    text = f"Mean score in points by {rows} and {columns}"
    return _finish(figure, f"{text}. {_counts(table['n'], table, 'n of planned is shown')}", {})


def parameters_figure(runs: pd.DataFrame) -> Figure:
    """Score against non-embedding parameters, a line per knowledge, a panel per task."""
    size = runs.groupby("student")["student_nonembedding_parameters"].mean() / 1e6
    knowledge = st.levels(runs["knowledge"])
    view = st.at_base(runs, ("student", "knowledge"))
    view = view.assign(knowledge=view["knowledge"].str.split(st.ALIAS)).explode("knowledge")
    table = st.describe(view, ["student", "knowledge", "task"])
    table["size"] = table["student"].map(size)
    figure, panels = panels_of(list(dict.fromkeys(runs["task"])), 1.7)
    sizes = size.dropna().sort_values()
    ticks: list[float] = []
    for million in sizes:  # a label for each size that is 15 % or more above the last
        if not ticks or million > 1.15 * ticks[-1]:
            ticks.append(million)
    keys = {name: _look(i) for i, name in enumerate(knowledge)}
    for task, ax, left, bottom in panels:
        ax.set_xscale("log")
        for i, (name, look) in enumerate(keys.items()):
            here = table[(table["task"] == task) & (table["knowledge"] == name)].sort_values("size")
            x = here["size"] * 1.02 ** (i - (len(keys) - 1) / 2)  # beside, not upon, each other
            half = 100 * (here["mean"] - here["low"]).fillna(0)
            ax.errorbar(x, 100 * here["mean"], yerr=half, capsize=1.5, linewidth=0.7, **look)
            part = (here["n"] > 0) & (here["n"] < here["n_expected"])
            ax.plot(x[part], 100 * here.loc[part, "mean"], linestyle="none", zorder=4,
                    **look | {"markerfacecolor": "white"})  # fmt: skip
            for at in x[here["n"] == 0]:
                ax.plot(at, 0.03, transform=ax.get_xaxis_transform(), gid="missing",
                        **look | {"marker": "x"})  # fmt: skip
        _references(ax, runs[runs["task"] == task], False)
        ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks] if bottom else [])
        ax.minorticks_off()
        if bottom:
            ax.set_xlabel("million parameters")
        if left:
            ax.set_ylabel("points")
    text = "Score by non-embedding parameters of the student. "
    text += _counts(table["n"], table, "hollow; x at the foot where none is done") + ". "
    text += ", ".join(f"{name}: {million:.3g} million" for name, million in sizes.items())
    text += "".join(f", {name}: no run done" for name in size.index[size.isna()])
    return _finish(figure, text, {**keys, **REFERENCES})


def panels_of(
    tasks: list[str], height: float, most: int = 5
) -> tuple[Figure, list[tuple[str, Axes, bool, bool]]]:
    """An empty figure with (task, axes, is it leftmost, is nothing below it) for each task."""
    across = across_of(len(tasks), most)
    down = -(-len(tasks) // across)
    size = (COLUMN if across == 1 else PAGE, down * height + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    panels = []
    for i, ax in enumerate(grid):
        if i >= len(tasks):
            ax.remove()
            continue
        measure = st.metric(tasks[i]).replace("mean of ", "").replace(" and ", "/")
        ax.set_title(f"{tasks[i]}\n{measure}", linespacing=1.1, pad=9)
        panels.append((tasks[i], ax, i % across == 0, i + across >= len(tasks)))
    return figure, panels


def across_of(count: int, most: int = 5) -> int:
    """How many panels stand side by side: as few rows as can be, then as few gaps."""
    return min(range(1, most + 1), key=lambda n: (-(-count // n), -count % n))


def _references(ax: Axes, runs: pd.DataFrame, sideways: bool) -> None:
    """Teacher (dashed, a line each) and majority class (dotted), after all else is drawn.

    One that is far off would squeeze the runs into a corner; it is told in words at the top.
    """
    low, high = ax.dataLim.intervalx if sideways else ax.dataLim.intervaly
    room = FAR * max(high - low, 2.0) if np.isfinite(high - low) else np.inf
    marks = [
        ("teacher", runs.groupby("teacher")["teacher_score"].mean(), TEACHER, "right"),
        ("majority", runs[["majority_score"]].mean(), MAJORITY, "left"),
    ]
    for name, scores, look, side in marks:
        far = []
        for score in 100 * scores.dropna():
            if low - room <= score <= high + room or room == np.inf:
                line = ax.axvline if sideways else ax.axhline
                line(score, gid=name, zorder=0, **look)
            else:
                arrows = "←→" if sideways else "↓↑"
                far.append(f"{arrows[int(score > high)]}{score:.1f}")
        if far:
            ax.text(float(side == "right"), 1.0, f"{name} {', '.join(far)}", ha=side, va="bottom",
                    transform=ax.transAxes, fontsize=5, color=GREY, gid=f"far {name}")  # fmt: skip


def _finish(figure: Figure, text: str, keys: dict[str, Look]) -> Figure:
    """Add the legend above and the caption line below."""
    letters = int(figure.get_figwidth() / LETTER)
    if keys:
        every = sum(len(name) + 7 for name in keys)
        across = len(keys) if every <= letters else letters // (max(map(len, keys)) + 7) or 1
        looks: list[Look] = [{"label": n, "linestyle": "none"} | look for n, look in keys.items()]
        handles = [Line2D([], [], **look) for look in looks]
        figure.legend(handles=handles, loc="outside upper center", ncols=across, fontsize=6.5)
    caption = textwrap.fill(text, int(letters * 1.2))
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=6, color=GREY)
    return figure


def _counts(n: "pd.Series[int]", table: pd.DataFrame, how: str) -> str:
    """How many runs are planned behind a mark, and how many marks lack some."""
    planned = dict.fromkeys([table["n_expected"].min(), table["n_expected"].max()])
    lacking = int((n < table["n_expected"]).sum())
    text = f"n = {' to '.join(map(str, planned))} a mark"
    return text + f"; {lacking} of {len(table)} marks lack some ({how})" * bool(lacking)


def _look(index: int) -> Look:
    """Colour and mark of the series `index`; after a full round the pairs are new ones."""
    turn, i = divmod(index, len(COLOURS))
    return {"color": COLOURS[i], "marker": MARKS[(i + turn) % len(MARKS)]}


def _wrap(text: str) -> str:
    """Break a long label after a + or comma, where it can still be read."""
    pieces = textwrap.wrap(text.replace("+", "+ ").replace(",", ", "), 34)
    return "\n".join(pieces).replace("+ ", "+").replace(", ", ",")


def _short(students: "pd.Series[str]") -> "pd.Series[str]":
    """'3L-384' for '3L-384-12h-1536' wherever no two students come to share a name."""
    short = students.str.split("-").str[:2].str.join("-")
    return short if short.nunique() == students.nunique() else students


def caption(name: str) -> str:
    """What the figure `name` shows, for a reader who has not seen the paper."""
    kind, _, rest = name.partition("-")
    first, _, second = rest.partition("-")
    if kind == "axis":
        return (
            f"Score by {rest}: mean with its 95 % interval, every run behind it. Only comparable "
            "runs count; squares are the control."
        )
    if kind == "heatmap":
        return f"Mean score by {first} and {second}; each panel has its own colour scale."
    if name == "score-parameters":
        return "Score against the student's size without embeddings, a line per knowledge."
    return "What each choice adds to its control, run by run on the same task, seed and settings."
