"""The page on what parts of a record would have found, from the facts of replays alone."""

from typing import Any

from kd.results.replay.ways import NEXT

GOOD = 0.95  # share of signs, and of best values, that counts as found
Row = dict[str, Any]
_HEAD = """\
# What a part of the runs finds

This page replays whole studies with fewer of their runs. Each way of saving runs is compared with
the whole study: does it find the same best value of each axis, and the same sign of each effect?
`make replay` writes this page.

- **Best value**: the share of axes whose best value is that of the whole study. An axis counts only
  if its best value differs significantly from every other value in the whole study.
- **Sign**: the share of effects whose sign is that of the whole study. Effects are the differences
  of two values that the whole study shows to be significant. In a simulated study, best values and
  effects are those that it was made with.
- **All cells, fewer seeds**: the whole grid with some of its seeds.
- **One axis at a time**: a base that is drawn at random, and the cells that differ from it in one
  axis.
- **Fraction, random**: `design: {fraction: 1/2}`, `design: {random: 1/2}` and the like. The axes
  are fitted together ([statistics](statistics.md#a-part-of-the-grid)).
- **kd next**: all cells with the seeds of the first look. Then it adds up to 20 % of the runs of
  the whole study at a time, for contrasts that are still open
  ([statistics](statistics.md#looks-and-further-seeds)).

Each number is a mean over draws, with its standard error after ±. A draw orders the seeds, and
draws the cells and the base. Signs are those of the estimates, significant or not. So this page
says how good a first guess is, not what a part of the runs can prove. In a record, a part is
compared with all runs, which include the part itself. New runs would agree less often.
"""


def page_text(replays: list[Row], left_out: dict[str, str], figure: str) -> str:
    """The page.

    Args:
        replays: facts of `replay.replayed`.
        left_out: records that could not be replayed, and why.
        figure: name of the figure beside the page; '' if no figure is drawn.
    """
    lines = [_HEAD]
    if figure:
        lines += [f"![Best values and signs that are found, by the share of runs]({figure})", ""]
    if replays:
        lines += [*_shares(replays), ""]
    for facts in replays:
        lines += [*_section(facts), ""]
    if left_out:
        lines += ["## Not replayed", ""]
        lines += [f"- `{name}`: {why}." for name, why in left_out.items()]
    return "\n".join(lines).rstrip() + "\n"


def _shares(replays: list[Row]) -> list[str]:
    """The smallest share of runs with which each way finds nearly everything."""
    ways = dict.fromkeys(way for facts in replays for way in facts["ways"])
    lines = [
        f"## The share of runs that each way needs to find {GOOD:.0%} of signs",
        "",
        "In percent of the runs of the whole study: the smallest share that was tried, if all "
        f"larger ones find them too. In brackets the same for {GOOD:.0%} of signs and of best "
        "values. “–”: not even with all runs of this way. “·”: the study has no such part, or "
        "nothing of this kind to find.",
        "",
        f"| way | {' | '.join(facts['name'] for facts in replays)} |",
        f"|---|{'---|' * len(replays)}",
    ]
    for way in ways:
        lines.append(f"| {way} | {' | '.join(_needed(facts, way) for facts in replays)} |")
    return lines


def _needed(facts: Row, way: str) -> str:
    if way not in facts["ways"]:
        return "·"
    return f"{_smallest(facts, way, ['signs'])} ({_smallest(facts, way, ['signs', 'best'])})"


def _smallest(facts: Row, way: str, what: list[str]) -> str:
    steps = facts["ways"][way]
    if any(all(step[name] is None for step in steps) for name in what):
        return "·"
    enough = "–"
    for step in reversed(steps):
        if not all(step[name] is None or step[name] >= GOOD for name in what):
            break  # with fewer runs it was luck
        enough = f"{100 * step['runs']:.0f}"
    return enough


def _section(facts: Row) -> list[str]:
    tasks = f"{len(facts['tasks'])} task{'s' * (len(facts['tasks']) != 1)}"
    lines = [
        f"## {facts['name'][0].upper()}{facts['name'][1:]}",
        "",
        f"{facts['runs']} runs: {facts['cells']} cells, {tasks} ({', '.join(facts['tasks'])}), "
        f"{facts['seeds']} seeds. Axes: {', '.join(facts['axes'])}. To be found: "
        f"best values {facts['best']:g}, effects {facts['effects']:g}. Looks of `{NEXT}`: "
        f"{', '.join(map(str, facts['looks']))} seeds. "
        f"Draws: {facts['draws']}.",
    ]
    lines += _notes(facts)
    lines += ["", "| way | runs, % | best value, % | sign, % |", "|---|---|---|---|"]
    for way, steps in facts["ways"].items():
        for step in steps:
            found = [_percent(step[n], step[f"{n}_error"]) for n in ("best", "signs")]
            cells = [_percent(step["runs"]), *found]
            lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def _notes(facts: Row) -> list[str]:
    """What makes a replay say little."""
    notes = []
    if len(facts["axes"]) < 2:
        notes.append(
            "It varies one axis only, so no part of its cells can stand for the others: only seeds "
            "can be saved."
        )
    if facts["cells"] < 16 and len(facts["axes"]) > 1:
        notes.append("It has few cells, so a fraction of them has hardly more cells than effects.")
    if facts["seeds"] < 5:
        notes.append("It has few seeds, so there is little that further seeds could decide.")
    if facts["effects"] < 3:
        notes.append("It shows few effects, so its shares of signs are coarse.")
    return notes


def _percent(share: float | None, error: float | None = None) -> str:
    if share is None:
        return "–"
    return f"{100 * share:.0f}" + ("" if error is None else f" ± {100 * error:.0f}")
