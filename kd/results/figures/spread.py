"""Figures of the variance, of the seeds, and of the distance to the teacher."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kd.results.figures.style import (
    COLOURS,
    COLUMN,
    HATCH,
    MAIN,
    RUN,
    TEACHER,
    Look,
    count_text,
    faint,
    finish,
    panels_of,
    wrapped,
)
from kd.results.statistics.cells import describe
from kd.results.statistics.effects import variance
from kd.results.statistics.intervals import pooled_sd
from kd.results.statistics.runs import AVERAGE, each, studied, values_of
from kd.results.statistics.views import grid_view

_MOST = 24  # terms that are still bars of their own
_NOISE = "#bbbbbb"
_UNBIASED: Look = {"color": "black", "marker": "|", "markersize": 6, "linestyle": "none"}
_KINDS = {  # of `variance`: name in the legend, colour
    "axis": ("one axis", COLOURS[0]),
    "pair": ("two axes", COLOURS[5]),
    "task": ("axis and task", COLOURS[4]),
    "higher": ("three axes and more", COLOURS[2]),
    "seeds": ("noise and rest", _NOISE),
    "rest": ("noise and rest", _NOISE),
}


def variance_figure(frame: pd.DataFrame) -> Figure:
    """Bars of the share of the variance by term, the largest first, then seeds and the rest."""
    table = variance(frame)
    noise = table["kind"].isin(["higher", "seeds", "rest"])
    own = table[~noise].sort_values("share", ascending=False, kind="stable")
    shown = pd.concat([own[:_MOST], table[noise]])
    figure = Figure(figsize=(COLUMN, 1.0 + 0.17 * len(shown)), layout="constrained")
    ax = figure.subplots()
    for place, row in enumerate(each(shown)):
        _, colour = _KINDS[row.kind]
        ax.barh(place, 100 * row.share, color=colour, gid="share")
        if row.unbiased == row.unbiased:
            ax.plot(100 * max(0.0, row.unbiased), place, **_UNBIASED)
        star = "*" if row.p_holm < 0.05 else ""
        ax.text(100 * row.share, place, f" {100 * row.share:.1f}{star}", va="center", fontsize=6)
    names = [str(term).replace("_", " ") for term in shown["term"]]
    ax.set_yticks(range(len(shown)), names)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0, 115 * max(shown["share"].max(), 0.01))
    ax.set_xlabel("% of the variance within tasks")
    text = [
        f"n = {frame['score'].count()} runs",
        f"{len(own) - _MOST} smaller terms are in the table" * (len(own) > _MOST),
        "nothing is tested, because there is one seed only" * (frame["seed"].nunique() < 2),
    ]
    used = [_KINDS[kind] for kind in _KINDS if kind in set(shown["kind"])]
    bars: dict[str, Look] = {
        name: {"color": colour, "marker": "s"} for name, colour in dict(used).items()
    }
    bars["without chance (ω²)"] = _UNBIASED
    return finish(figure, text, bars)


def seeds_figure(runs: pd.DataFrame) -> Figure:
    """Distance of each run to its cell's mean by task, the pooled sd, and the cells' range."""
    tasks = list(dict.fromkeys(runs["task"]))
    figure = Figure(figsize=(COLUMN, 1.1 + 0.3 * len(tasks)), layout="constrained")
    ax = figure.subplots()
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set_ylim(len(tasks) - 0.5, -0.5)
    ax.set_xlabel("points")
    ax.axvline(0, color="black", linewidth=0.7, zorder=0)
    names = studied(runs) or ["knowledge"]
    table = describe(runs, [*names, "task"])
    sd_bar: Look = {"color": COLOURS[1], "linewidth": 2.5, "solid_capstyle": "butt"}
    range_bar: Look = {"color": COLOURS[5], "linewidth": 6, "alpha": 0.5, "solid_capstyle": "butt"}
    count = 0
    for place, task in enumerate(tasks):
        here = runs[(runs["task"] == task) & runs["score"].notna()].drop_duplicates("run")
        cells = here.groupby(names)["score"]
        rest = 100 * (here["score"] - cells.transform("mean"))[cells.transform("count") > 1]
        count += len(rest) * (task != AVERAGE)
        means = 100 * table[table["task"] == task]["mean"]
        if means.notna().any():
            middle = means.median()
            ends = (means.min() - middle, means.max() - middle)
            ax.plot(ends, [place] * 2, zorder=1, gid="range", **range_bar)
        spread = place + np.linspace(-0.2, 0.2, len(rest)) if len(rest) > 1 else [place] * len(rest)
        ax.plot(rest, spread, gid="runs", **faint(len(rest)) | {"color": "black"})
        cell = table[table["task"] == task]
        sd, freedom = pooled_sd(cell["sd"], cell["n"])
        if freedom:
            ax.plot([-100 * sd, 100 * sd], [place + 0.32] * 2, gid="sd", zorder=3, **sd_bar)
        note = f"sd {100 * sd:.2f}" if freedom else "one seed" if len(here) else "no run"
        ax.text(1.02, place, note, transform=ax.get_yaxis_transform(), va="center", fontsize=6)
    text = [f"Each dot is the distance of a run from the mean of its cell (n = {count} runs)"]
    keys = {
        "one run": RUN | {"color": "black"},
        "± sd over seeds": sd_bar | {"linestyle": "-"},
        "range of the cells": range_bar | {"linestyle": "-"},
    }
    return finish(figure, text, keys)


def teacher_gap_figure(runs: pd.DataFrame) -> Figure:
    """Score minus the teacher's by task: a dot per cell, a mark for the mean of each knowledge."""
    names = studied(runs) or ["knowledge"]
    view, note = grid_view(runs, ["knowledge"])
    knowledge = values_of(runs, "knowledge")
    table = describe(view, list(dict.fromkeys([*names, "knowledge", "task"])))
    # A run without a teacher is compared with that of the others on the same task.
    teacher = table.groupby("task")["teacher_score"].transform("mean")
    table["gap"] = 100 * (table["mean"] - table["teacher_score"].fillna(teacher))
    lines = max(len(wrapped(name).split("\n")) for name in knowledge)
    tall = max(1.0, 0.45 + len(knowledge) * (0.03 + 0.11 * lines))
    figure, panels = panels_of(runs, list(dict.fromkeys(runs["task"])), tall)
    least, most = min(0.0, table["gap"].min()), max(0.0, table["gap"].max())
    room = 0.08 * (most - least) or 0.5  # all students may have their teacher's score
    ends = (least - room, most + room)
    for task, ax, left, bottom in panels:
        ax.axvline(0, zorder=0, gid="teacher", **TEACHER)
        for place, name in enumerate(knowledge):
            here = table[(table["task"] == task) & (table["knowledge"] == name)]
            gaps = here["gap"].dropna()
            if len(gaps):
                spread = np.linspace(-0.15, 0.15, len(gaps)) if len(gaps) > 1 else np.zeros(1)
                ax.plot(gaps, place + spread, gid="cells", **faint(len(gaps)))
                ax.plot(gaps.mean(), place, gid="mean", zorder=3, linestyle="none", **MAIN)
            elif len(here):
                ax.axhspan(place - 0.17, place + 0.17, gid="missing", **HATCH)
        ax.set_yticks(range(len(knowledge)), [wrapped(n) for n in knowledge] if left else [])
        ax.set_ylim(len(knowledge) - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=4)
        ax.set_xlim(*ends)
        if bottom:
            ax.set_xlabel("points")
    text = [note, count_text(table["n"], table, "hatched: no run is done", "dot")]
    keys = {"one cell": RUN, "mean of the cells": MAIN, "teacher": TEACHER | {"linestyle": "--"}}
    return finish(figure, text, keys)
