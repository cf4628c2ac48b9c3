"""Score against cost, with the Pareto front."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd.results.figures.style import (
    GREY,
    REFERENCES,
    Look,
    count_text,
    finish,
    panels_of,
    references,
    series_looks,
    short_names,
)
from kd.results.statistics.cells import describe
from kd.results.statistics.cost import COSTS, pareto, student_costs, with_costs
from kd.results.statistics.runs import values_of
from kd.results.statistics.views import grid_view

_LINE = 0.09  # inches that a line of text needs
_SAME = 1.001  # students whose costs differ by less are drawn in one place
_NAMED = 9  # students that are named one by one
FRONT: Look = {"color": "black", "linewidth": 0.6, "drawstyle": "steps-post"}


def tradeoff_figure(runs: pd.DataFrame, measure: str) -> Figure:
    """Score against a measure of cost, a line per knowledge, a panel per task."""
    unit, factor = COSTS[measure]
    runs = with_costs(runs)
    cost = factor * student_costs(runs, measure)
    view, note = grid_view(runs, ["student", "knowledge"])
    table = describe(view, ["student", "knowledge", "task"])
    table["cost"] = table["student"].map(cost)
    tasks = list(dict.fromkeys(runs["task"]))
    figure, panels = panels_of(runs, tasks, 1.7, wide=len(cost) > _NAMED)
    keys = series_looks(values_of(runs, "knowledge"))
    names = dict(zip(runs["student"], short_names(runs["student"]), strict=True))
    ticks = _round_ticks(cost.min(), cost.max())
    for task, ax, left, bottom in panels:
        here = table[table["task"] == task]
        ax.set_xscale("log")
        _lines(ax, here, keys, cost)
        on_front = pareto(here["cost"], here["mean"])
        front = here[on_front].sort_values("cost")
        places = front["knowledge"].map({name: i for i, name in enumerate(keys)})
        x = front["cost"] * [_beside(place, len(keys), cost) for place in places]
        ax.plot(x, 100 * front["mean"], gid="front", zorder=1, **FRONT)
        _students(ax, cost if len(cost) <= _NAMED else cost[[*here["student"][on_front]]], names)
        references(ax, runs[runs["task"] == task], False)
        ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks] if bottom else [])
        ax.minorticks_off()
        if bottom:
            ax.set_xlabel(textwrap.fill(unit, 24))
        if left:
            ax.set_ylabel("points")
        if not here["n"].sum():  # nothing is done: no scale
            ax.set_yticks([])
    sizes = ", ".join(f"{names[student]} {value:.3g}" for student, value in cost.items())
    text = [
        note,
        "marks of one student are drawn side by side" * (len(keys) > 1),
        count_text(table["n"], table, "hollow; x at the foot: no run is done"),
        f"{unit}: {sizes}" if len(cost) <= _NAMED else "students of the Pareto front are named",
    ]
    keys["Pareto front"] = FRONT | {"linestyle": "-"}
    return finish(figure, text, {**keys, **REFERENCES})


def _beside(place: int, count: int, cost: "pd.Series[float]") -> float:
    """The factor that moves the marks of a series sideways. All series of a student stand side by
    side, nearer to it than to the next student."""
    known = np.sort(cost.dropna().to_numpy(float))
    gaps = known[1:] / known[:-1]
    gap = min(gaps[gaps > _SAME], default=np.inf)
    step = min(1.02, gap ** (1 / (2 * count)))
    return float(step ** (place - (count - 1) / 2))


def _round_ticks(low: float, high: float) -> list[float]:
    """At most four round numbers within the range of a logarithmic axis."""
    if not (np.isfinite(low) and low > 0):
        return []
    tens = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), np.arange(1, 10, 0.2).round(1)):
        every = [float(step * 10.0**ten) for ten in tens for step in steps]
        ticks = [tick for tick in every if low / 1.03 <= tick <= high * 1.03]
        if len(ticks) >= 2:
            break
    return ticks[:: -(-len(ticks) // 4)] if ticks else [float(low)]


def _students(ax: Axes, cost: "pd.Series[float]", names: dict[str, str]) -> None:
    """Name the students at the foot; names that would overlap share a line."""
    groups: list[tuple[float, list[str]]] = []
    low, high = ax.get_xlim()
    room = (high / low) ** (_LINE * ax.figure.dpi / ax.get_window_extent().width)
    for student, value in cost.dropna().sort_values().items():
        if groups and value < room * groups[-1][0]:
            groups[-1][1].append(names[str(student)])
        else:
            groups.append((float(value), [names[str(student)]]))
    for value, members in groups:
        text = ", ".join(members if len(members) < 4 else [*members[:2], "..."])
        ax.text(value, 0.02, text, rotation=90, fontsize=4.5, color=GREY, ha="center",
                va="bottom", transform=ax.get_xaxis_transform(), zorder=0, gid="name")  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.35 * (high - low), high)


def _lines(ax: Axes, table: pd.DataFrame, keys: dict[str, Look], cost: "pd.Series[float]") -> None:
    """Mean and interval by cost, with a line per knowledge; hollow marks lack runs."""
    for i, (name, look) in enumerate(keys.items()):
        here = table[table["knowledge"] == name].sort_values("cost")
        x = here["cost"] * _beside(i, len(keys), cost)
        half = 100 * (here["mean"] - here["low"]).fillna(0)
        ax.errorbar(x, 100 * here["mean"], yerr=half, capsize=1.5, linewidth=0.7,
                    elinewidth=0.5, **look)  # fmt: skip
        part = (here["n"] > 0) & (here["n"] < here["n_expected"])
        ax.plot(x[part], 100 * here.loc[part, "mean"], linestyle="none", zorder=4,
                **look | {"markerfacecolor": "white"})  # fmt: skip
        for at in x[(here["n"] == 0) & np.isfinite(x)]:
            ax.plot(at, 0.03, transform=ax.get_xaxis_transform(), gid="missing",
                    **look | {"marker": "x"})  # fmt: skip
