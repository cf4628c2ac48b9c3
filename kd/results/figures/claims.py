"""The figure of claims: the difference of each contrast with its interval, and the verdict."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kd.results.advice.verdicts import CONFIRMED, CONTRADICTED, OPEN, UNDECIDED, Finding, Judged
from kd.results.figures.style import COLOURS, GREY, PAGE, Look, finish
from kd.results.report.claims_tables import contrast_text
from kd.results.report.words import signed, span

LINE = 0.15  # inches
REACH = 3.0  # where the scale ends, in margins
VERDICTS: dict[str, Look] = {
    CONFIRMED: {"color": COLOURS[2], "marker": "o"},
    CONTRADICTED: {"color": COLOURS[1], "marker": "s"},
    UNDECIDED: {"color": COLOURS[0], "marker": "D", "markerfacecolor": "white"},
}


def claims_figure(claims: Sequence[Judged]) -> Figure:
    """A line for each contrast, below its claim: its name, difference and interval."""
    lines = sum(1 + len(one.findings) for one in claims)
    figure = Figure(figsize=(PAGE, LINE * lines + 0.8), layout="constrained")
    names, scale, numbers = figure.subplots(1, 3, sharey=True, width_ratios=[2.5, 3, 1.3])
    edge = REACH * max(one.margin for one in claims)
    at = 0
    for number, one in enumerate(claims, 1):
        _write(names, 0, at, f"{number}  {one.claim.claim}", weight="bold")
        _write(numbers, 1, at, one.verdict, weight="bold")
        ends = [at + 0.5, at + len(one.findings) + 0.5]
        scale.fill_betweenx(ends, -one.margin, one.margin, color="#e8e8e8", linewidth=0, zorder=0)
        scale.vlines(0, *ends, color="black", linewidth=0.7, zorder=0)
        for finding in one.findings:
            at += 1
            _write(names, 1, at, contrast_text(one.claim, finding).replace("`", ""))
            if finding.tasks:
                _draw(scale, at, finding, edge)
                _write(numbers, 1, at, _numbers(finding))
            else:
                told = OPEN if finding.verdict == OPEN else "not enough runs yet"
                _write(numbers, 1, at, told, color=GREY)
        at += 1
    for ax in (names, numbers):
        ax.set_axis_off()
    scale.set_ylim(at - 0.4, -0.6)
    scale.set_xlim(-edge, edge)
    scale.yaxis.set_visible(False)
    scale.patch.set_visible(False)  # claims are wider than their column
    scale.spines["left"].set_visible(False)
    scale.set_xlabel("difference in points")
    band = "the grey band is the margin, within which a difference does not matter"
    ends = [end for one in claims for f in one.findings for end in (f.difference, f.low, f.high)]
    far = any(abs(end) > edge for end in ends)
    return finish(figure, [band, "arrows point beyond the scale" * far], VERDICTS)


def _write(ax: Axes, x: float, at: float, text: str, **look: Any) -> None:
    """Write text from the left end of a column (x = 0), or up to its right end (x = 1). The layout
    ignores it."""
    side = "right" if x else "left"
    frame = ax.get_yaxis_transform()
    ax.text(x, at, text, ha=side, va="center", transform=frame, in_layout=False, **look)


def _numbers(finding: Finding) -> str:
    interval = f" ({span(finding.low, finding.high)})" if finding.low == finding.low else ""
    return signed(finding.difference) + interval


def _draw(ax: Axes, at: float, finding: Finding, edge: float) -> None:
    """Draw a difference and its interval, or an arrow where it is off the scale."""
    look = VERDICTS[finding.verdict]
    if abs(finding.difference) > edge:
        side = np.sign(finding.difference)
        arrow = {"arrowstyle": "->", "color": look["color"]}
        ax.annotate("", (side * edge, at), (side * 0.8 * edge, at), arrowprops=arrow)
        return
    ends = np.clip([finding.low, finding.high], -edge, edge)
    ax.plot(ends, [at, at], color=look["color"], linewidth=1.2)
    for end, mark in ((finding.low, "<"), (finding.high, ">")):
        if abs(end) > edge:
            ax.plot(np.sign(end) * edge, at, mark, color=look["color"], markersize=3, clip_on=False)
    ax.plot(finding.difference, at, gid="difference", **{**look, "markersize": 3.5})
