"""Score against cost, with the Pareto front."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd.figures.style import (
    REFERENCES,
    Look,
    count_text,
    finish,
    panels_of,
    references,
    series_look,
    short_names,
)
from kd.statistics.cells import describe
from kd.statistics.cost import COSTS, pareto, with_costs
from kd.statistics.runs import ALIAS, levels
from kd.statistics.views import at_base

FRONT: Look = {"color": "black", "linewidth": 0.6, "drawstyle": "steps-post"}


def tradeoff_figure(runs: pd.DataFrame, measure: str) -> Figure:
    """Score against a measure of cost, a line per knowledge, a panel per task."""
    unit, factor = COSTS[measure]
    runs = with_costs(runs)
    cost = factor * runs.groupby("student", sort=False)[measure].median()
    view = at_base(runs, ("student", "knowledge"))
    view = view.assign(knowledge=view["knowledge"].str.split(ALIAS)).explode("knowledge")
    table = describe(view, ["student", "knowledge", "task"])
    table["cost"] = table["student"].map(cost)
    figure, panels = panels_of(list(dict.fromkeys(runs["task"])), 1.7)
    keys = {name: series_look(i) for i, name in enumerate(levels(runs["knowledge"]))}
    ticks: list[float] = []
    for value in cost.dropna().sort_values():  # a label for each that leaves room
        if not ticks or value > 1.35 * ticks[-1]:
            ticks.append(value)
    for task, ax, left, bottom in panels:
        here = table[table["task"] == task]
        ax.set_xscale("log")
        _lines(ax, here, keys)
        front = here[pareto(here["cost"], here["mean"])].sort_values("cost")
        ax.plot(front["cost"], 100 * front["mean"], gid="front", zorder=1, **FRONT)
        references(ax, runs[runs["task"] == task], False)
        ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks] if bottom else [])
        ax.minorticks_off()
        if bottom:
            ax.set_xlabel(unit)
        if left:
            ax.set_ylabel("points")
    text = f"Score against {unit}. "
    text += count_text(table["n"], table, "hollow; x at the foot where none is done") + ". "
    names = dict(zip(runs["student"], short_names(runs["student"]), strict=True))
    text += ", ".join(f"{names[student]}: {value:.3g}" for student, value in cost.items())
    keys["Pareto front"] = FRONT | {"linestyle": "-"}
    return finish(figure, text, {**keys, **REFERENCES})


def _lines(ax: Axes, table: pd.DataFrame, keys: dict[str, Look]) -> None:
    """Mean and interval by cost, a line per knowledge; hollow where runs are missing."""
    for i, (name, look) in enumerate(keys.items()):
        here = table[table["knowledge"] == name].sort_values("cost")
        x = here["cost"] * 1.02 ** (i - (len(keys) - 1) / 2)  # beside, not upon, each other
        half = 100 * (here["mean"] - here["low"]).fillna(0)
        ax.errorbar(x, 100 * here["mean"], yerr=half, capsize=1.5, linewidth=0.7,
                    elinewidth=0.5, **look)  # fmt: skip
        part = (here["n"] > 0) & (here["n"] < here["n_expected"])
        ax.plot(x[part], 100 * here.loc[part, "mean"], linestyle="none", zorder=4,
                **look | {"markerfacecolor": "white"})  # fmt: skip
        for at in x[(here["n"] == 0) & np.isfinite(x)]:
            ax.plot(at, 0.03, transform=ax.get_xaxis_transform(), gid="missing",
                    **look | {"marker": "x"})  # fmt: skip
