"""The sentences of an answer: what to use, the numbers behind it, and where it may not hold.

The judgement is `kd.results.advice.advice`; nothing is decided here.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from kd.axes.figures import axis_words
from kd.results.advice.verdict import Advice, Contrast
from kd.results.numbers import plain
from kd.results.report.words import (
    Names,
    count,
    listed,
    p_words,
    quoted,
    signed,
    significance,
    span,
)
from kd.study.check import FEW_SEEDS

_FURTHER = 1.5  # students that cost so many times as much are no more alike


def answer(advice: Advice, margin: float = 0.5, names: Names | None = None) -> str:
    """The answer to a question, in one to three sentences with its most important numbers."""
    names = names or {}
    if advice.strength == "open":
        return _unanswered(advice, names)
    if advice.strength == "trade-off":
        apart = "No two students are of equal size, so shape cannot be judged apart from size."
        return f"{apart} {_prices(advice, names)}"
    text = _verdict(advice, margin, names) + _dependence(advice)
    return f"{text} This compares students of {advice.size}." if advice.size else text


def _dependence(advice: Advice) -> str:
    """The axes of significant interactions, where another value leads at some of their values."""
    axes = [
        axis_words(partner.axis)
        for partner in advice.partners
        if any(c.value != advice.best for _, c in partner.leads)
    ]
    return f" Which value leads depends on the {listed(axes)}." if axes else ""


def _unanswered(advice: Advice, names: Names) -> str:
    axis = axis_words(advice.axis)
    if advice.why == "chance":
        return "This study cannot answer: no student is clearly above the constant answer."
    if advice.why == "follows":
        leader = axis_words(advice.values[0])
        return f"Not tested on its own: it changes only together with the {leader}."
    if advice.why == "undone":
        return "Not answered: no two values have finished runs on the same settings."
    if not advice.values:
        return f"Not tested: {axis} does not apply to these runs."
    return f"Not tested: all runs use {quoted(names, advice.axis, advice.values)}."


def _verdict(advice: Advice, margin: float, names: Names) -> str:
    def q(values: str | Sequence[str]) -> str:
        return quoted(names, advice.axis, values)

    best, others = q(advice.best), advice.others
    beaten = [c.other for c in advice.worse]
    unsure = [f"{q(c.other)} ({_short(c)})" for c in advice.not_worse]
    if advice.strength in ("strong", "moderate"):
        return _decided(advice, margin, names)
    if advice.strength == "weak":
        parts = [f"Undecided: {best} has the highest mean"]
        if unsure:
            parts[0] += f", but {listed(unsure)} {_is(unsure)} not shown to be worse"
        elif advice.seeds < FEW_SEEDS:
            parts[0] += f", but {count(advice.seeds, 'seed')} {_is([''] * advice.seeds)} too few"
        if advice.equal:
            parts.append(f"{q([c.other for c in advice.equal])} {_is(advice.equal)} equal to it "
                         f"within {margin:g} points")  # fmt: skip
        if beaten:
            parts.append(f"Significantly worse: {q(beaten)}")
        elif advice.elsewhere:
            c = advice.elsewhere[0]
            parts.append(
                f"The choice matters: {q(c.value)} is better than {q(c.other)} by "
                f"{plain(c.difference, 1)} points"
            )
        return ". ".join(parts) + "."
    if advice.seeds < 2:
        return f"Undecided: one seed gives no measure of chance. {best} has the highest mean."
    if advice.equal and not advice.not_worse:
        widest = max(others, key=lambda c: abs(c.difference))
        return (
            f"No difference: all values are within {margin:g} points of {best}, with their "
            f"intervals; the furthest is {q(widest.other)} ({_short(widest)})."
        )
    return (
        f"Undecided: {best} has the highest mean, but is not significantly better than "
        f"{listed([*unsure, *(f'{q(c.other)} ({_short(c)})' for c in advice.equal)], 'or')}."
    )


def _decided(advice: Advice, margin: float, names: Names) -> str:
    """The sentences of a value that is better than all others, or equal to them."""

    def q(values: str | Sequence[str]) -> str:
        return quoted(names, advice.axis, values)

    small = [c for c in advice.equal if c.significant]
    alike = [c for c in advice.equal if not c.significant]
    start = ""
    if advice.largest:
        start = "Yes: use" if advice.best == advice.largest else "No: use"
        if alike:
            start = "It does not matter: use"
    text = f"{start or 'Use'} {q(advice.best)}"
    if alike:
        text += f" or {listed((q(c.other) for c in alike), 'or')}, equal within {margin:g} points "
        text += f"({'; '.join(f'{q(c.other)} {_short(c)}' for c in alike[:3])})"
    text += "."
    if small:
        c = small[0]
        text += (
            f" Clear but small: {q(advice.best)} is better than {q(c.other)} by "
            f"{plain(c.difference, 1)} points ({span(c.low, c.high)}), "
            f"within the margin of {margin:g}"
        )
        text += f", and likewise than {q([c.other for c in small[1:]])}." if small[1:] else "."
    if advice.worse:
        c, *rest = advice.worse
        slight = "only " if c.difference < margin else ""
        text += (
            f" {q(advice.best)} is better than {q(c.other)} by {slight}"
            f"{plain(c.difference, 1)} points ({span(c.low, c.high)}; "
            f"{significance(c.p, advice.comparisons)})"
        )
        text += f", and than {q([c.other for c in rest])}." if rest else "."
    return text


def _is(items: Sequence[Any]) -> str:
    return "is" if len(items) == 1 else "are"


def _short(c: Contrast) -> str:
    """The other value against the best: '−0.3; −1.0 to +0.4; 19 of 24 pairs'."""
    if not c.pairs:
        return f"none of {count(c.planned, 'pair')} has finished"
    parts = [signed(-c.difference)]
    if not pd.isna(c.low):
        parts.append(span(-c.high, -c.low))
    if c.pairs < c.planned:
        parts.append(f"{c.pairs} of {count(c.planned, 'pair')}")
    return "; ".join(parts)


def _prices(advice: Advice, names: Names) -> str:
    """The Pareto front, and what each step up costs and gives."""
    first, *rest = advice.steps
    if not rest:
        who = quoted(names, "student", first.student)
        return (
            f"The cheapest student, {who}, also has the highest mean score over the settings that "
            f"all students share ({first.score:.1f})."
        )
    parts = [f"{quoted(names, 'student', first.student)} scores {first.score:.1f} at "
             f"{first.cost:.3g} GFLOPs"]  # fmt: skip
    before = first
    for step in rest:
        gain = signed(step.score - before.score)
        if step.lead:
            gain = signed(step.lead.difference)
            if not pd.isna(step.lead.low):
                gain += f" ({span(step.lead.low, step.lead.high)}"
                gain += ")" if step.lead.significant else "; not significant)"
        parts.append(
            f"{quoted(names, 'student', step.student)} gives {gain} points for "
            f"{step.cost / before.cost:.1f} times the FLOPs"
        )
        before = step
    return f"{'; '.join(parts)}. No cheaper student scores as high as one of these."


def evidence(
    advice: Advice, margin: float = 0.5, names: Names | None = None, control: str = ""
) -> list[str]:
    """The numbers behind an answer, a sentence each."""
    names = names or {}

    def q(values: str | Sequence[str]) -> str:
        return quoted(names, advice.axis, values)

    found = []
    kinds = (
        (f"Equal to {q(advice.best)} within {margin:g} points", advice.equal),
        (f"Not shown to be worse than {q(advice.best)}", advice.not_worse),
        (f"Significantly worse than {q(advice.best)}", advice.worse),
    )
    for title, group in kinds if advice.best else ():
        found += [f"{title}: {'; '.join(f'{q(c.other)} {_full(c)}' for c in group)}."] * bool(group)
    if advice.elsewhere:
        told = [f"{q(c.value)} over {q(c.other)} {_full(c, 1)}" for c in advice.elsewhere]
        found.append(f"Significant among the others: {listed(told)}.")
    found += _lead(advice, q(advice.best))
    found += _variance(advice)
    for partner in advice.partners:
        found.append(
            f"It depends on the {axis_words(partner.axis)}: the interaction explains "
            f"{partner.share:.1f} % of the variance ({p_words(partner.p)}). "
            + _where(advice, partner.leads, partner.axis, names)
        )
    if advice.axis == "knowledge" and advice.best and control in advice.values:
        found += _control(advice, control)
    for other in advice.sizes:
        if other.best:
            found.append(f"Among students of {other.size}: {_verdict(other, margin, names)}")
    far = advice.steps and advice.steps[-1].cost > _FURTHER * advice.steps[0].cost
    if far and advice.strength != "trade-off":
        found.append(f"The price of size: {_prices(advice, names)}")
    return found


def _full(c: Contrast, sign: int = -1) -> str:
    if not c.pairs:
        return f"({_short(c)})"
    text = signed(sign * c.difference)
    ends = sorted((sign * c.low, sign * c.high))
    inner = ["no interval"] if pd.isna(c.low) else [span(*ends)]
    inner += [p_words(c.p)] if not pd.isna(c.p) else []
    pairs = f"{c.pairs}" if c.pairs == c.planned else f"{c.pairs} of {c.planned}"
    return f"{text} ({', '.join(inner)}, {pairs} pair{'s' * (c.planned != 1)})"


def _lead(advice: Advice, best: str) -> list[str]:
    b = advice.breadth
    if b is None or len(advice.values) < 2:
        return []
    where = f"{b.tasks_led} of {b.tasks} tasks" if b.tasks > 1 else (
        "the only task" if b.tasks_led else "no task")  # fmt: skip
    beats = "the average of the other values" if len(advice.values) > 2 else "the other value"
    text = f"{best} beats {beats} on {where}"
    if len(advice.values) > 2 and b.tasks > 1:
        text += f" and is the single best on {b.tasks_alone}"
    if b.settings > 1:
        text += f"; it does so in {b.settings_led} of {b.settings} settings of the other axes"
        lost = b.settings - b.settings_done
        text += f" ({lost} {_is([''] * lost)} without a finished pair)" if lost else ""
    return [text + "."]


def _variance(advice: Advice) -> list[str]:
    if pd.isna(advice.share):
        return []
    text = f"The {axis_words(advice.axis)} explains {advice.share:.1f} % of the variance in scores"
    text += f" within tasks ({p_words(advice.share_p)})" if not pd.isna(advice.share_p) else ""
    return [text + (f"; seeds account for {advice.noise:.1f} %." if advice.noise >= 0 else ".")]


def _where(advice: Advice, leads: Sequence[tuple[str, Contrast]], axis: str, names: Names) -> str:
    """Which value has the highest mean at which value of the other axis."""
    by_value: dict[str, list[str]] = {}
    for level, c in leads:
        here = f"{quoted(names, axis, level)} ({signed(c.difference)} over "
        by_value.setdefault(c.value, []).append(f"{here}{quoted(names, advice.axis, c.other)})")
    told = [f"{quoted(names, advice.axis, v)} at {listed(w)}" for v, w in by_value.items()]
    return f"Highest means: {'; '.join(told)}." if told else ""


def _control(advice: Advice, control: str) -> list[str]:
    if advice.best == control:
        return ["No knowledge beyond the control has a higher mean."]
    unsure = [c.other for c in (*advice.equal, *advice.not_worse)]
    if control in unsure:
        return [f"The simplest of those not shown to be worse is the control, `{control}`."]
    return []


def limits(
    advice: Advice, names: Names | None = None, pruned: Sequence[tuple[str, str, str]] = ()
) -> list[str]:
    """Where an answer may not hold, a sentence each. `pruned`: (axis, value, reason)."""
    names = names or {}
    if advice.strength == "open" and advice.why not in ("undone", "chance"):
        return []
    found = []
    if advice.lost:
        told = [f"{quoted(names, advice.axis, v)} {n} of {total}" for v, n, total in advice.lost]
        found.append(f"Missing runs: {listed(told, shown=12)}.")
    for axis, value, reason in pruned:
        if axis == advice.axis:
            found.append(f"Never run: {quoted(names, axis, value)} ({reason}).")
    if advice.apart:
        found.append(
            f"Planned on no setting in common with {quoted(names, advice.axis, advice.best)}: "
            f"{quoted(names, advice.axis, advice.apart)}."
        )
    if advice.breadth and advice.breadth.lost and advice.strength != "none":
        told = [f"{where} ({signed(gap)} points)" for where, gap in advice.breadth.lost]
        found.append(f"{quoted(names, advice.axis, advice.best)} does not lead {listed(told)}.")
    if advice.best and 0 < advice.seeds < FEW_SEEDS:
        found.append(f"Only {count(advice.seeds, 'seed')}: no value is recommended below three.")
    if advice.strength in ("strong", "moderate"):
        c = next(contrast for contrast in advice.others if contrast.significant)
        if c.difference < advice.dev_error:
            found.append(
                f"The lead over {quoted(names, advice.axis, c.other)} ({signed(c.difference)}) is "
                f"below the standard error of a score on these dev splits "
                f"({advice.dev_error:.1f}): other examples may rank them otherwise."
            )
    if 0 < len(advice.tasks) < 3:
        found.append(f"Only on {listed(advice.tasks)}: other tasks may differ.")
    return found
