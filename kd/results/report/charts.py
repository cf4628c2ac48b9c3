"""The report's charts, as Vega-Lite specifications without rows: the page gives those.

Each chart reads the data set `rows`. Colours are not set here: marks have style names, and the
page gives each style its colours, light or dark. An axis title `$title` is the signal `title`.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import altair as alt
import vl_convert

TITLE = "$title"
_HAND: Final = "pointer"  # over what a click acts on
_SCORE = alt.Scale(zero=False, nice=False, padding=10)
_NUMBER: Final = ",.6~r"  # Vega itself writes 2 where 1.5 is the only value
_POINTS = alt.Tooltip("score:Q", format=".1f", title="score in points")
_COLOUR = alt.Color("colour:N", scale=None)  # the page says which


def specifications(axes: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The charts by name; `axes` are those of the study, with name and words."""
    run = [
        alt.Tooltip("run:N"),
        *(alt.Tooltip(f"axes.{axis['name']}:N", title=axis["words"]) for axis in axes),
        _POINTS,
    ]
    charts = {"effect": _effect(run), "cost": _cost(), "lines": _lines(run), "curve": _curve(run)}
    return {name: chart.to_dict(validate=True) for name, chart in charts.items()}


@cache
def runtime() -> str:
    """The script that draws the charts: vega, vega-lite and vega-embed, for a script element.

    It is a function, so that its short names are not those of the page.
    """
    script = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its types want a snippet
    return "(() => {" + script.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "})();"


def _rows(kind: str = "", name: str = "rows") -> alt.Chart:
    chart = alt.Chart(alt.NamedData(name))
    return chart.transform_filter(alt.datum.kind == kind) if kind else chart


def _whole(*layers: alt.Chart, height: int) -> alt.LayerChart:
    title = alt.param(name="title", value="")
    chart = alt.LayerChart(layer=layers, width="container", height=height)
    return chart.add_params(title)


def _effect(run: list[alt.Tooltip]) -> alt.LayerChart:
    """Means with intervals and, behind them, the runs: a row of the chart for each value."""
    order = alt.EncodingSortField("rank", op="min")
    y = alt.Y("value:N", sort=order, title=None).axis(ticks=False, domain=False, labelLimit=190)
    offset = alt.YOffset("spread:Q", scale=alt.Scale(domain=[-1.7, 1.7]))
    x = alt.X("score:Q", scale=_SCORE, title=TITLE).axis(format=_NUMBER)
    mean = [
        alt.Tooltip("value:N", title="value"),
        alt.Tooltip("kind:N", title="mark"),
        _POINTS,
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("runs:N"),
    ]
    shape = alt.Shape("kind:N", legend=None).scale(
        domain=["mean", "control"], range=["circle", "square"]
    )
    shown = alt.when("datum.shown").then(alt.value(0.65)).otherwise(alt.value(0.08))
    runs = _rows("run").mark_circle(size=45, cursor=_HAND)
    runs = runs.encode(
        x, y, yOffset=offset, color=_COLOUR, opacity=shown, tooltip=run, description="run:N"
    )
    means = _rows().transform_filter(alt.datum.kind != "run").encode(y, yOffset=offset)
    intervals = means.mark_rule(style="interval").encode(x=alt.X("low:Q", title=TITLE), x2="high:Q")
    means = means.mark_point(size=110, cursor=_HAND, style="mean").encode(
        x, shape=shape, tooltip=mean
    )
    return _whole(runs, intervals, means, height=200)  # the page gives each value the same room


def _cost() -> alt.LayerChart:
    """Cells by cost and score, and the front of those that no cell beats in both."""
    x = alt.X("cost:Q", title=TITLE).scale(type="log", nice=False, padding=15)
    y = alt.Y("score:Q", scale=_SCORE, title="score in points").axis(format=_NUMBER)
    tip = [
        alt.Tooltip("cell:N"),
        _POINTS,
        alt.Tooltip("cost:Q", format=",.4~r"),
        alt.Tooltip("runs:Q"),
    ]
    front = _rows().transform_filter("datum.front")
    front = front.mark_line(style="front", interpolate="step-after")
    cells = _rows().mark_circle(size=90, opacity=0.85, cursor=_HAND)
    cells = cells.encode(x, y, color=_COLOUR, tooltip=tip, description="cell:N")
    return _whole(front.encode(x, y, order="cost:Q"), cells, height=330)


def _lines(run: list[alt.Tooltip]) -> alt.LayerChart:
    """Parallel coordinates: a line for each run, through its values to its score at the right.

    `step` counts the axes, `at` is the height in points of score. The data set `values` has the
    axes' names and values.
    """
    x = alt.X("step:Q", axis=None).scale(nice=False, zero=False)
    y = alt.Y("at:Q", title="score in points", scale=_SCORE)
    y = y.axis(orient="right", grid=False, format=_NUMBER)
    near = _near()
    score = alt.Color("score:Q", legend=None)
    colour = alt.when("datum.shown").then(score).otherwise(alt.value("#888"))
    strength, faint, room = map(alt.ExprRef, ("strength", "faint", "width / steps - 12"))
    opacity = alt.when(near).then(alt.value(1)).when("datum.shown").then(alt.value(strength))
    lines = _line(near, 1.3, run).encode(
        x, y, color=colour, opacity=opacity.otherwise(alt.value(faint))
    )
    values = _rows("value", "values").encode(x, y, text="label:N")
    halos = values.mark_text(align="left", dx=5, limit=room, style="halo")
    values = values.mark_text(align="left", dx=5, limit=room, style="value", cursor=_HAND)
    axes = _rows("axis", "values").encode(x)
    names = axes.mark_text(dy=-8, baseline="bottom", limit=room, style="name")
    names = names.encode(y=alt.value(0), text="label:N")
    chart = _whole(axes.mark_rule(style="axis"), lines, halos, values, names, height=340)
    signals = {"steps": 1, "strength": 0.8, "faint": 0.1}
    return chart.add_params(*(alt.param(name=name, value=value) for name, value in signals.items()))


def _curve(run: list[alt.Tooltip]) -> alt.LayerChart:
    """Learning curves: a line for each run, or a dot where it has one point (`alone`)."""
    x = alt.X("step:Q", title="step").scale(nice=False, zero=False)
    y = alt.Y("value:Q", title=None, scale=_SCORE).axis(format=_NUMBER)
    dots = _rows().transform_filter("datum.alone").mark_circle(size=45, cursor=_HAND)
    dots = dots.encode(tooltip=run, description="run:N")
    layers = (layer.encode(x, y, color=_COLOUR) for layer in (_line(_near(), 1.5, run), dots))
    return _whole(*layers, height=280)


def _near() -> alt.Parameter:
    """The run whose line is under the pointer."""
    return alt.selection_point(
        name="near", on="pointerover", clear="pointerout", fields=["i"], empty=False
    )


def _line(near: alt.Parameter, width: float, run: list[alt.Tooltip]) -> alt.Chart:
    """A line for each run, along `step`; that under the pointer is thicker."""
    thick = alt.when(near).then(alt.value(3)).otherwise(alt.value(width))
    line = _rows().mark_line(cursor=_HAND).add_params(near)
    return line.encode(
        detail="i:N", order="step:Q", strokeWidth=thick, tooltip=run, description="run:N"
    )
