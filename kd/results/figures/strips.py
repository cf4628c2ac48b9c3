"""Figures of dots and intervals, a strip per value: the effect of an axis, and differences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd.axes.figures import axis_words
from kd.results.figures.style import (
    COLUMN,
    CONTROL,
    FEW,
    GREY,
    HATCH,
    LETTER,
    MAIN,
    PAGE,
    REFERENCES,
    RUN,
    Look,
    across_of,
    count_text,
    faint,
    finish,
    panels_of,
    references,
    wrapped,
)
from kd.results.statistics.cells import corrected, describe
from kd.results.statistics.runs import ALIAS, IDLE, control_of, each, studied, values_of
from kd.results.statistics.views import ADJUSTED, at_base, axis_view


def effect_figure(runs: pd.DataFrame, axis: str, panels_for: Sequence[str] = ()) -> Figure:
    """Score by value of `axis`, a panel per task: mean, t interval over seeds, every run."""
    view, note = axis_view(runs, axis)
    view["row"] = view["value"].replace(IDLE, control_of(runs))
    rows = [
        control_of(runs) if value == IDLE else value
        for value in values_of(runs, axis)
        if value in set(view["value"])
    ]
    # Side by side where the labels leave room for it, else one below the other.
    count = view["task"].nunique()
    room = 0.75 * (COLUMN if count == 1 else PAGE / across_of(count))
    letters = [2 + max(map(len, wrapped(row).split("\n"))) for row in rows]
    pairs = [(a + b) / 2 for a, b in zip(letters, [*letters[1:], letters[0]], strict=True)]
    wide = LETTER * max(pairs) > room / len(rows)
    return Strips("score", view, rows, axis, wide).draw(runs, [note], panels_for)


def difference_figure(runs: pd.DataFrame, panels_for: Sequence[str] = ()) -> Figure:
    """Paired differences to the control: a row per axis value, or per cell where cells are few.

    A panel per task, or for some of them.
    """
    names = studied(runs)
    view = runs[runs["role"] != "control"]
    few = len(view.drop_duplicates(names)) <= FEW and len(at_base(runs, [])) == len(runs)
    if len(names) == 1 or few:
        view = view.assign(row=view[names].agg(" · ".join, axis=1))
        places = [view[name].map(_places(runs, name)) for name in names]
        view = view.assign(place=_tuples(zip(*places, strict=True), view.index))
        note = f"rows are cells: {' · '.join(map(axis_words, names))}" if len(names) > 1 else ""
    else:
        views = [axis_view(runs, axis)[0].assign(axis=axis) for axis in names]
        view = pd.concat(views, ignore_index=True).query("role != 'control'")
        order = {name: (i, _places(runs, name)) for i, name in enumerate(names)}
        view = view.assign(
            row=view["axis"].map(axis_words) + ": " + view["value"],
            place=_tuples(
                (
                    (order[axis][0], order[axis][1].get(value, 0))
                    for axis, value in zip(view["axis"], view["value"], strict=True)
                ),
                view.index,
            ),
        )
        note = "each row averages the cells of one value that compare like with like"
    view = view.assign(series="main")
    rows = list(view.sort_values("place", kind="stable")["row"].unique())
    text = [f"the control is {control_of(runs)}", note]
    paired = view[["score", "difference"]].notna().groupby(view["row"]).any()
    if (paired["score"] & ~paired["difference"]).any():
        text.append("no pair: no control has the same settings")
    return Strips("difference", view, rows, "", True).draw(runs, text, panels_for)


def _tuples(places: Iterable[tuple[int, ...]], index: pd.Index) -> "pd.Series[Any]":
    return pd.Series(list(places), index=index, dtype=object)


def _places(runs: pd.DataFrame, axis: str) -> dict[str, int]:
    """The place of each text of an axis column. A run of several values is next to the first."""
    order = values_of(runs, axis)
    return {text: order.index(text.split(ALIAS)[0]) for text in {*runs[axis], *order}}


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

    def draw(
        self, runs: pd.DataFrame, text: Sequence[str], panels_for: Sequence[str] = ()
    ) -> Figure:
        """The figure of all tasks, or of some; `runs` give the control, `text` is for the
        foot."""
        lines = max(len(wrapped(row).split("\n")) for row in self.rows)
        tall = 0.5 + len(self.rows) * (0.11 * lines + (0.1 if len(self.rows) < 9 else 0.04))
        tasks = list(panels_for or dict.fromkeys(self.view["task"]))
        figure, panels = panels_of(runs, tasks, tall if self.sideways else 1.6)
        table = describe(self.view, ["row", "series", "task"])
        table["p_holm"] = corrected(table)
        cells = {(row.row, row.series, row.task): row for row in each(table)}
        groups = self.view.groupby(["row", "series", "task"], sort=False)[self.column]
        self._values = {key: 100 * values.dropna().to_numpy() for key, values in groups}
        cut = False
        for task, ax, left, bottom in panels:
            for place, row in enumerate(self.rows):
                there = [name for name in ("main", "control") if (row, name, task) in cells]
                for name in there:
                    shift = {"main": -0.18, "control": 0.18}[name] if len(there) > 1 else 0.0
                    self._strip(ax, place + shift, cells[row, name, task])
                if not there:
                    self._say(ax, place, "not planned")
            if self.column == "score":
                # Of the runs that are drawn alone: another teacher's line belongs to other runs.
                references(ax, self.view[self.view["task"] == task], self.sideways)
            else:
                ax.axvline(0, color="black", linewidth=0.7, zorder=0)
            cut |= self._cut(ax, table[table["task"] == task])
            self._label(ax, left, bottom)
            if table.loc[table["task"] == task, "n"].sum() == 0:  # nothing is done: no scale
                (ax.set_xticks if self.sideways else ax.set_yticks)([])
        keys: dict[str, Look] = {
            "mean, 95 % interval": MAIN,
            self._one(adjusted=ADJUSTED in text): RUN,
        }
        if (table["n"] > 0)[table["series"] == "control"].any():
            keys[f"control ({control_of(runs)})"] = CONTROL
        if self.column == "score":
            keys |= REFERENCES
        counts = table["n" if self.column == "score" else "pairs"]
        lacking = count_text(counts, table, "hollow; −k: k are missing")
        return finish(figure, [*text, lacking, "wide intervals are cut" * cut], keys)

    def _cut(self, ax: Axes, table: pd.DataFrame) -> bool:
        """Limit the scale if one interval (for example of two pairs) would squeeze all others."""
        mean, low = ("mean", "low") if self.column == "score" else ("difference", "difference_low")
        means = 100 * table[mean].dropna()
        halves = (means - 100 * table[low]).dropna()
        most = 3 * halves.median()
        if not (halves > most).any():
            return False
        tasks = set(table["task"])
        runs = [values for (*_, task), values in self._values.items() if task in tasks]
        short = halves.clip(upper=most)
        every = np.concatenate(
            [means, means[short.index] - short, means[short.index] + short, *runs]
        )
        ends = np.array([every.min(), every.max()])
        if self.column == "score":
            for line in ax.lines:  # teacher and constant answer
                if line.get_gid() in ("teacher", "constant answer"):
                    at = np.asarray(line.get_xydata(), dtype=float)[0, 0 if self.sideways else 1]
                    ends = np.array([min(ends[0], at), max(ends[1], at)])
        room = 0.05 * (ends[1] - ends[0])
        (ax.set_xlim if self.sideways else ax.set_ylim)(ends[0] - room, ends[1] + room)
        return True

    def _one(self, adjusted: bool) -> str:
        """What a dot is."""
        if self.column != "score":
            return "one pair"
        return "one run, adjusted" if adjusted else "one run"

    def _strip(self, ax: Axes, at: float, cell: Any) -> None:
        """Draw a strip, hatched if no run has finished, hollow if only some have."""
        if self.column == "score":
            n, mean, low, label = cell.n, cell.mean, cell.low, "missing"
        else:
            n, mean, low = cell.pairs, cell.difference, cell.difference_low
            label = "missing" if cell.n == 0 else "no pair"
        if n == 0:
            span = ax.axhspan if self.sideways else ax.axvspan
            span(at - 0.17, at + 0.17, gid="missing", **HATCH)
            self._say(ax, at, label)
            return
        values = self._values[cell.row, cell.series, cell.task]
        spread = at + (np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1))
        dots = faint(len(values))
        ax.plot(*((values, spread) if self.sideways else (spread, values)), gid="runs", **dots)
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
        if self.column == "difference" and cell.p_holm < 0.05:
            ax.annotate("*", spot, (0, 1), textcoords="offset points", fontsize=8, ha="center")

    def _say(self, ax: Axes, at: float, text: str) -> None:
        """Write text in the middle of a strip."""
        x, y, turn = (0.5, at, 0) if self.sideways else (at, 0.5, 90)
        frame = ax.get_yaxis_transform() if self.sideways else ax.get_xaxis_transform()
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        ax.text(x, y, text, rotation=turn, transform=frame, ha="center", va="center",
                color=GREY, fontsize=6, bbox=box)  # fmt: skip

    def _label(self, ax: Axes, left: bool, bottom: bool) -> None:
        """Name the rows only at the outer panels. Scores have a scale in each panel."""
        ticks, labels = range(len(self.rows)), [wrapped(row) for row in self.rows]
        if self.sideways:
            ax.set_ylim(len(self.rows) - 0.5, -0.5)
            ax.set_yticks(ticks, labels if left else [])
            ax.locator_params(axis="x", nbins=4)
        else:
            ax.set_xlim(-0.5, len(self.rows) - 0.5)
            ax.set_xticks(ticks, labels if bottom else [])
        if bottom:
            ax.set_xlabel("points" if self.sideways else axis_words(self.axis))
        if left and not self.sideways:
            ax.set_ylabel("points")
