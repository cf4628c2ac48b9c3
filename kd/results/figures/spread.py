"""Figures of what lies behind the means: variance, seeds, distance to the teacher."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kd.results.figures.style import (
    COLOURS,
    COLUMN,
    GREY,
    RUN,
    Look,
    count_text,
    faint,
    finish,
    series_look,
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
    text = f"n = {frame['score'].count()} runs"
    text += f"; {len(own) - _MOST} smaller terms are in the table" * (len(own) > _MOST)
    if own["p"].isna().all():
        text += "; one seed: nothing is tested"
    used = [_KINDS[kind] for kind in _KINDS if kind in set(shown["kind"])]
    bars: dict[str, Look] = {
        name: {"color": colour, "marker": "s"} for name, colour in dict(used).items()
    }
    bars["without chance (ω²)"] = _UNBIASED
    return finish(figure, text + ".", bars)


def _by_task(runs: pd.DataFrame, height: float = 0.24) -> tuple[Figure, Any, list[str]]:
    tasks = list(dict.fromkeys(runs["task"]))
    figure = Figure(figsize=(COLUMN, 1.1 + height * len(tasks)), layout="constrained")
    ax = figure.subplots()
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set_ylim(len(tasks) - 0.5, -0.5)
    ax.set_xlabel("points")
    ax.axvline(0, color="black", linewidth=0.7, zorder=0)
    return figure, ax, tasks


def seeds_figure(runs: pd.DataFrame) -> Figure:
    """Distance of each run to its cell's mean by task, the pooled sd, and the cells' range."""
    figure, ax, tasks = _by_task(runs, 0.3)
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
        note = f"sd {100 * sd:.2f}" if freedom else "one seed"
        ax.text(1.02, place, note, transform=ax.get_yaxis_transform(), va="center", fontsize=6)
    text = (
        f"Distance of a run to its cell's mean (n = {count} runs), pooled standard deviation, and "
        "the range of all cells' means about their median."
    )
    keys = {
        "one run": RUN | {"color": "black"},
        "± sd over seeds": sd_bar | {"linestyle": "-"},
        "range of the cells": range_bar | {"linestyle": "-"},
    }
    return finish(figure, text, keys)


def teacher_gap_figure(runs: pd.DataFrame) -> Figure:
    """Score less the teacher's by task: every cell a dot, the mean of each knowledge a mark."""
    names = studied(runs) or ["knowledge"]
    view, note = grid_view(runs, ["knowledge"])
    knowledge = values_of(runs, "knowledge")
    figure, ax, tasks = _by_task(runs, max(0.24, 0.05 * len(knowledge)))
    table = describe(view, list(dict.fromkeys([*names, "knowledge", "task"])))
    # A run without a teacher is compared with that of the others on the same task.
    teacher = table.groupby("task")["teacher_score"].transform("mean")
    table["gap"] = 100 * (table["mean"] - table["teacher_score"].fillna(teacher))
    keys = {name: series_look(i) for i, name in enumerate(knowledge)}
    step = 0.7 / max(1, len(knowledge))
    for place, task in enumerate(tasks):
        for i, (name, look) in enumerate(keys.items()):
            at = place + step * (i - (len(keys) - 1) / 2)
            here = table[(table["task"] == task) & (table["knowledge"] == name)]
            gaps = here["gap"].dropna()
            ax.plot(gaps, [at] * len(gaps), gid="cells", **RUN)
            if len(gaps):
                small = look | {"markersize": 4, "linestyle": "none"}
                ax.plot(gaps.mean(), at, gid="mean", zorder=3, **small)
            elif len(here):
                lost = look | {"marker": "x", "markersize": 3, "linestyle": "none"}
                ax.plot(0.01, at, transform=ax.get_yaxis_transform(), gid="lost", **lost)
        if table.loc[table["task"] == task, "gap"].isna().all():
            ax.text(0.5, place, "missing", transform=ax.get_yaxis_transform(), ha="center",
                    va="center", fontsize=6, color=GREY, gid="missing")  # fmt: skip
    ax.set_xlabel("points above the teacher (0)")
    ax.locator_params(axis="x", nbins=6)
    text = "Dots: cells; x at the left: no run is done. " + f"{note}; " * bool(note)
    text += count_text(table["n"], table, "they count with the runs that are done") + "."
    return finish(figure, text, {wrapped(name): look for name, look in keys.items()})
