"""Learning curves, from the histories in runs.csv."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kd.axes.figures import axis_words
from kd.axes.terms import HARD
from kd.results.figures.style import COLOURS, faint, finish, panels_of, series_looks
from kd.results.statistics.runs import ALIAS, AVERAGE, IDLE, studied, values_of

DEV_SCORE = "dev_score"  # a series of those runs whose study has evaluate_every


def curves_of(text: str) -> dict[str, list[float]]:
    """The series of a `history` cell by name, with NaN for values that were not measured."""
    curves: dict[str, list[float]] = {}
    for part in text.split(";") if text else ():
        name, _, values = part.rpartition("=")
        curves[name] = [float(value) for value in values.split()]
    return curves


def can_be_drawn(text: str, part: str = "") -> bool:
    """Whether a `history` cell has a curve (of `part`): two points or more."""
    curves = curves_of(text)
    return len(_points(curves, part or "step")) > 1 if "step" in curves else False


def dev_curves_figure(runs: pd.DataFrame) -> Figure:
    """Dev score in points by training step, drawn like `curves_figure`."""
    return _figure_of(runs, DEV_SCORE, "dev score", 100)


def curves_figure(runs: pd.DataFrame) -> Figure:
    """Loss by training step, a colour per value of one axis, a panel per task.

    The axis is the one with the most values, knowledge before others. Runs are compared by their
    hard-label loss, which every training records, because the sum of all terms is a different
    quantity for each knowledge. The sum is drawn only if no run has anything else. A mean covers
    the steps that all runs of its value share.
    """
    if runs["history"].map(lambda text: can_be_drawn(text, HARD)).any():
        return _figure_of(runs, HARD, "hard-label loss")
    differ = "the terms of the loss differ, so levels do not compare"
    return _figure_of(runs, "loss", "loss", remark=differ)


def _figure_of(
    runs: pd.DataFrame, part: str, label: str, scale: float = 1, remark: str = ""
) -> Figure:
    """The curves of one series of the histories, times `scale`."""
    runs = runs[runs["task"] != AVERAGE].drop_duplicates("run")
    runs = runs.assign(
        line=runs["history"].map(lambda text: _points(curves_of(text), part) * [1, scale])
    )
    runs = runs[runs["line"].map(len) > 1]
    values = {name: values_of(runs, name) for name in studied(runs) or ["knowledge"]}
    axis = max(values, key=lambda name: (len(values[name]), name == "knowledge"))
    keys = series_looks(values[axis])
    many = len(keys) > len(COLOURS)
    figure, panels = panels_of(
        runs, list(dict.fromkeys(runs["task"])), 1.7, wide=many, scores=False
    )
    for task, ax, left, bottom in panels:
        here = runs[runs["task"] == task]
        thin = faint(len(here) // 4)["alpha"] / 2
        means = []
        for value, look in keys.items():
            chosen = here[here[axis].map(lambda text, value=value: value in text.split(ALIAS))]
            lines = [line.T for line in chosen["line"]]
            for steps, losses in lines:
                ax.plot(steps, losses, color=look["color"], linewidth=0.4, alpha=thin, gid="runs")
            first = max((steps[0] for steps, _ in lines), default=np.inf)
            last = min((steps[-1] for steps, _ in lines), default=-np.inf)
            if first < last:
                grid = np.linspace(first, last, 20)
                mean = np.mean([np.interp(grid, *line) for line in lines], axis=0)
                means.append((grid, mean, look))
        for i, (grid, mean, look) in enumerate(means):  # over the runs, marks apart
            ax.plot(grid, mean, gid="mean", linewidth=1, markevery=(i % 5, 5),
                    **look | {"markersize": 2.5})  # fmt: skip
        if bottom:
            ax.set_xlabel("step")
        if left:
            ax.set_ylabel(label)
    text = [
        f"Thick lines are means by {axis_words(axis)}, thin lines single runs (n = {len(runs)})",
        remark,
    ]
    named = {f"no {axis_words(axis)}" if key == IDLE else key: look for key, look in keys.items()}
    return finish(figure, text, {key: look | {"linestyle": "-"} for key, look in named.items()})


def _points(curves: dict[str, list[float]], part: str) -> np.ndarray:
    """(n, 2) step and value, where the series was measured."""
    points = np.array(list(zip(curves.get("step", ()), curves.get(part, ()), strict=False)))
    points = points.reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]
