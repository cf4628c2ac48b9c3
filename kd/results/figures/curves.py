"""Learning curves, from the histories in runs.csv."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kd.axes.figures import axis_words
from kd.axes.terms import HARD
from kd.results.figures.style import COLOURS, Look, faint, finish, panels_of, series_looks
from kd.results.statistics.runs import ALIAS, AVERAGE, CONTROLS, IDLE, studied, values_of

ENDS = 3  # values in colour at each end, where there are more values than colours
OTHER: Look = {"color": "#bbbbbb", "marker": "", "linestyle": "-", "linewidth": 0.6}
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

    The axis is the one with the most values, knowledge before others. Where there are more of them
    than colours, those that end lowest and highest and the control have one, and all others are
    grey. Runs are compared by their hard-label loss, which every training records, because the sum
    of all terms is a different quantity for each knowledge. The sum is drawn only if no run has
    anything else. A mean covers the steps that all runs of its value share.
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
    tasks = list(dict.fromkeys(runs["task"]))
    lines = {
        (task, value): [line.T for line in runs["line"][(runs["task"] == task) & in_it]]
        for value in values[axis]
        for in_it in [runs[axis].map(lambda text, value=value: value in text.split(ALIAS))]
        for task in tasks
    }
    means = {place: mean for place in lines if len(mean := _mean(lines[place]))}
    named = _named(values[axis], means)
    keys = dict.fromkeys(values[axis], OTHER) | series_looks(named)
    others = len(keys) - len(named)
    figure, panels = panels_of(runs, tasks, 1.7, wide=len(keys) > len(COLOURS), scores=False)
    for task, ax, left, bottom in panels:
        thin = faint(int((runs["task"] == task).sum()) // 4)["alpha"] / 2
        for value in sorted(keys, key=named.__contains__):  # grey ones below
            for steps, losses in [] if others else lines[task, value]:
                ax.plot(steps, losses, color=keys[value]["color"], linewidth=0.4, alpha=thin,
                        gid="runs")  # fmt: skip
        drawn = [value for value in keys if (task, value) in means]
        for i, value in enumerate(drawn):  # over the runs, marks apart
            look: Look = {"linewidth": 1, "markersize": 2.5, "zorder": 2 + (value in named)}
            ax.plot(*means[task, value], gid="mean" if value in named else "others",
                    markevery=(i % 5, 5), **look | keys[value])  # fmt: skip
        if bottom:
            ax.set_xlabel("step")
        if left:
            ax.set_ylabel(label)
    words = axis_words(axis)
    if others:
        said = (
            f"Lines are means by {words} over {len(runs)} runs; in colour are the control, the "
            f"{ENDS} values that end lowest and the {ENDS} that end highest"
        ) + " on average over tasks" * (len(tasks) > 1)
    else:
        said = f"Thick lines are means by {words}, thin lines single runs (n = {len(runs)})"
    shown = {f"no {words}" if key == IDLE else key: keys[key] for key in named}
    shown |= {f"{others} other values": OTHER} if others else {}
    return finish(
        figure, [said, remark], {key: {"linestyle": "-"} | look for key, look in shown.items()}
    )


def _mean(lines: list[np.ndarray]) -> np.ndarray:
    """(2, 20) steps and mean over the steps that all lines share; (0,) where they share none."""
    first = max((steps[0] for steps, _ in lines), default=np.inf)
    last = min((steps[-1] for steps, _ in lines), default=-np.inf)
    if not first < last:
        return np.empty(0)
    grid = np.linspace(first, last, 20)
    return np.array([grid, np.mean([np.interp(grid, *line) for line in lines], axis=0)])


def _named(values: list[str], means: dict[tuple[str, str], np.ndarray]) -> list[str]:
    """The values that get a colour: all, where there are enough colours or the values have an order
    (`series_looks`), otherwise the controls and those that end lowest and highest."""
    looks = series_looks(values)
    if len({str(look["color"]) for look in looks.values()}) == len(values):
        return values
    ends = pd.Series({place: mean[1, -1] for place, mean in means.items()}, dtype=float)
    ends -= ends.groupby(level=0).transform("mean")  # tasks differ in height
    order = ends.groupby(level=1).mean().sort_values(kind="stable").index
    room = len(COLOURS) - 2 * ENDS
    chosen = {*order[:ENDS], *order[-ENDS:], *[v for v in CONTROLS if v in values][-room:]}
    return [value for value in values if value in chosen]


def _points(curves: dict[str, list[float]], part: str) -> np.ndarray:
    """(n, 2) step and value, where the series was measured."""
    points = np.array(list(zip(curves.get("step", ()), curves.get(part, ()), strict=False)))
    points = points.reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]
