"""Score against agreement with the teacher."""

import pandas as pd
from matplotlib.figure import Figure

from kd.results.figures.style import REFERENCES, faint, finish, panels_of, references, series_looks
from kd.results.statistics.runs import AVERAGE, values_of
from kd.results.statistics.views import grid_view


def agreement_figure(runs: pd.DataFrame) -> Figure:
    """Dots are runs, large marks the means of each knowledge, a panel per task.

    Needs `score`, `agreement` (fractions) and the columns of `prepare`. Means are over the settings
    that all knowledge types share.
    """
    measured = runs[(runs["task"] != AVERAGE) & runs["agreement"].notna() & runs["score"].notna()]
    view, note = grid_view(runs[runs["task"] != AVERAGE], ["knowledge"])
    view = view[view["agreement"].notna() & view["score"].notna()]
    keys = series_looks(values_of(runs, "knowledge"))
    figure, panels = panels_of(runs, list(dict.fromkeys(measured["task"])), 1.7)
    for task, ax, left, bottom in panels:
        here = measured[measured["task"] == task]
        for name, look in keys.items():
            ours = here[here["knowledge"] == name]
            dots = faint(len(here) // 4) | {"color": look["color"]}
            ax.plot(100 * ours["agreement"], 100 * ours["score"], gid="runs", **dots)
        means = view[view["task"] == task].groupby("knowledge", sort=False)
        for value, row in means[["agreement", "score"]].mean().iterrows():
            if value in keys:
                look = keys[str(value)] | {"linestyle": "none"}
                ax.plot(100 * row["agreement"], 100 * row["score"], gid="mean", zorder=3, **look)
        references(ax, runs[runs["task"] == task], False)
        if bottom:
            ax.set_xlabel("agreement with\nthe teacher, %")
        if left:
            ax.set_ylabel("points")
    count = f"Dots are runs (n = {measured['run'].nunique()})"
    return finish(figure, [note, count], {**keys, **REFERENCES})
