"""What each way finds against the share of runs that it takes, as a figure."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from kd.results.figures.style import COLOURS, GREY, MARKS, PAGE

MEASURES = {"best": "best values", "signs": "signs of effects"}


def telling(replays: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The replays in which there is a best value or an effect to find."""
    return [facts for facts in replays if any(_found(facts, name) for name in MEASURES)]


def replay_figure(replays: list[dict[str, Any]]) -> Figure:
    """A row for each of the `telling` replays, with a panel for best values and one for signs."""
    replays = telling(replays)
    ways = list(dict.fromkeys(way for facts in replays for way in facts["ways"]))
    fewest = min(s["runs"] for facts in replays for steps in facts["ways"].values() for s in steps)
    worst = min(share for facts in replays for name in MEASURES for share in _found(facts, name))
    figure = Figure(figsize=(PAGE, 1.9 * len(replays) + 0.8), layout="constrained")
    grid = figure.subplots(len(replays), len(MEASURES), squeeze=False, sharex=True, sharey=True)
    handles: dict[str, Any] = {}
    for facts, row in zip(replays, grid, strict=True):
        for (measure, label), ax in zip(MEASURES.items(), row, strict=True):
            for way, steps in facts["ways"].items():
                place = ways.index(way)
                known = [step for step in steps if step[measure] is not None]
                if not known:  # an empty line that is not clipped breaks the layout
                    continue
                handles[way] = ax.errorbar(
                    [100 * step["runs"] for step in known],
                    [100 * step[measure] for step in known],
                    [100 * (step[f"{measure}_error"] or 0) for step in known],
                    color=COLOURS[place % len(COLOURS)],
                    marker=MARKS[place % len(MARKS)],
                    linewidth=1.0,
                    elinewidth=0.6,
                    markersize=3.5,
                    clip_on=False,
                    label=way,
                )
            if not ax.lines:
                ax.text(0.5, 0.5, f"no {label} to find", transform=ax.transAxes, ha="center")
            ax.axhline(95, color=GREY, linewidth=0.6, linestyle=":")
            ax.set_title(f"{facts['name']}: {facts['runs']} runs", loc="left")
            ax.set_ylabel(f"{label} found, %")
            ax.set_xscale("log")
            ax.set_xlim(100 * fewest / 1.2, 100 * 1.1)
            ax.set_ylim(10 * int(10 * worst - 0.5), 103)
            ax.xaxis.set_major_locator(FixedLocator([2, 5, 10, 20, 50, 100]))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter("{x:g}")
    for ax in grid[-1]:
        ax.set_xlabel("runs, in % of the whole study")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _found(facts: dict[str, Any], measure: str) -> list[float]:
    steps = [step for steps in facts["ways"].values() for step in steps]
    return [step[measure] for step in steps if step[measure] is not None]
