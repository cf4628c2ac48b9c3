"""The sentences of an answer: what to use, or that the runs do not decide.

The judgement is `kd.results.advice.advice`; nothing is decided here.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from kd.axes.figures import axis_words
from kd.results.advice import FEW_SEEDS
from kd.results.advice.judge import turned
from kd.results.advice.verdict import Advice, Contrast
from kd.results.numbers import plain
from kd.results.report.words import Names, points, quoted, signed, significance, span
from kd.runtime.words import count, listed

_TIED = 1e-9  # points; differences of means that are equal, but for rounding
_STEPS = 3  # up the Pareto front that are told one by one


def answer(advice: Advice, margin: float = 0.5, names: Names | None = None) -> str:
    """The answer to a question, in one to three sentences with its most important numbers."""
    names = names or {}
    if advice.strength == "open":
        return _unanswered(advice, names)
    if advice.strength == "trade-off":
        apart = "No two students are of equal size, so shape cannot be judged apart from size."
        return f"{apart} {price_sentences(advice, names)}"
    text = verdict_sentences(advice, margin, names) + _dependence(advice)
    return f"{text} This compares students of {advice.size}." if advice.size else text


def _dependence(advice: Advice) -> str:
    """The axes of significant interactions, where another value leads at some of their values."""
    axes = [
        axis_words(partner.axis)
        for partner in advice.partners
        if any(c.value != advice.best for _, c in partner.leads)
    ]
    return f" The differences depend on the {listed(axes)}." if axes else ""


def _unanswered(advice: Advice, names: Names) -> str:
    axis = axis_words(advice.axis)
    if advice.why == "chance":
        return "This study cannot answer: no student is clearly above the constant answer."
    if advice.why == "follows":
        leader = axis_words(advice.values[0])
        return f"Not tested on its own: it changes only together with the {leader}."
    if advice.why == "mixed":
        return f"Not answered: {advice.mixed}."
    if advice.why == "undone":
        return "Not answered: no two values have finished runs on the same settings."
    if not advice.values:
        return f"Not tested: {axis} does not apply to these runs."
    return f"Not tested: all runs use {quoted(names, advice.axis, advice.values)}."


def verdict_sentences(advice: Advice, margin: float, names: Names) -> str:
    """Sentences on which value is best, and how certain that is."""

    def q(values: str | Sequence[str]) -> str:
        return quoted(names, advice.axis, values)

    best, others = q(advice.best), advice.others
    beaten = [c.other for c in advice.worse]
    unsure = [f"{q(c.other)} ({short_contrast(c)})" for c in advice.unsure]
    leads = highest_mean(advice, names)
    if advice.strength in ("strong", "moderate"):
        return _decided(advice, margin, names)
    if advice.strength == "mixed":
        over = f", and is significantly better than {q(beaten)}" if beaten else ""
        return f"Mixed: {best} {leads}{over}. But {advice.mixed}."
    if advice.strength == "weak":
        parts = [f"Undecided: {best} {leads}"]
        if unsure:
            parts[0] += f", but is not significantly better than {listed(unsure, 'or')}"
        elif advice.seeds < FEW_SEEDS:
            parts[0] += (
                f", but {count(advice.seeds, 'seed')} {is_or_are([''] * advice.seeds)} too few"
            )
        elif advice.apart:
            parts[0] += f", but no setting compares it with {q(advice.apart)}"
        elif partial := [c.other for c in advice.worse if not c.whole]:
            parts[0] += f", but some tasks have no finished runs that compare it with {q(partial)}"
        if advice.ahead:
            told = [f"{q(c.other)} ({short_contrast(turned(c))})" for c in advice.ahead]
            parts.append(f"Significantly better, but with fewer pairs: {listed(told)}")
        if advice.equal:
            alike = f"{q([c.other for c in advice.equal])} {is_or_are(advice.equal)} equal to it"
            parts.append(f"{alike} within {points(margin)}")
        if beaten:
            parts.append(f"Significantly worse: {q(beaten)}")
        elif advice.elsewhere:
            c = min(advice.elsewhere, key=lambda c: c.equal(margin))
            small = f"One difference is significant, but within {points(margin)}"
            parts.append(
                f"{small if c.equal(margin) else 'The choice matters'}: {q(c.value)} is better "
                f"than {q(c.other)} by {plain(c.difference, 1)} points"
            )
        return ". ".join(parts) + "."
    if advice.seeds < 2:
        return f"Undecided: one seed gives no measure of chance. {best} {leads}."
    if advice.equal and not advice.not_worse:
        widest = max(others, key=lambda c: abs(c.difference))
        if len(others) == 1 and not advice.apart:
            return (
                f"No difference: {q(widest.other)} is within {points(margin)} of {best}, with its "
                f"whole interval ({short_contrast(widest)})."
            )
        return (
            f"No difference: all {'compared ' * bool(advice.apart)}values are within "
            f"{points(margin)} of {best}, with their intervals. The furthest is "
            f"{q(widest.other)} ({short_contrast(widest)})."
        )
    unsure += [f"{q(c.other)} ({short_contrast(c)})" for c in advice.equal]
    return (
        f"Undecided: {best} {leads}, but is not significantly better than {listed(unsure, 'or')}."
    )


def _decided(advice: Advice, margin: float, names: Names) -> str:
    """Sentences for a best value to which all others are worse or equal."""

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
        text += f" or {listed((q(c.other) for c in alike), 'or')}, equal within {points(margin)} "
        text += f"({', and '.join(f'over {q(c.other)} {short_contrast(c)}' for c in alike[:3])})"
    text += "."
    if small:
        c = small[0]
        text += (
            f" Clear but small: {q(advice.best)} is better than {q(c.other)} by "
            f"{plain(c.difference, 1)} points ({span(c.low, c.high)}), "
            f"within the margin of {margin:g}"
        )
        text += f". The same holds for {q([c.other for c in small[1:]])}." if small[1:] else "."
    if advice.worse:
        c, *rest = advice.worse
        slight = "only " if c.difference < margin else ""
        text += (
            f" {q(advice.best) if alike else 'It'} is better than {q(c.other)} by {slight}"
            f"{plain(c.difference, 1)} points ({span(c.low, c.high)}; "
            f"{significance(c.p, advice.comparisons)})"
        )
        text += f". It is also better than {q([c.other for c in rest])}." if rest else "."
    return text


def highest_mean(advice: Advice, names: Names, of: str = "") -> str:
    """'has the highest mean', or 'shares' it and with which values. If other values have a higher
    mean but few pairs, it says of which values the mean is the highest."""
    tied = [c.other for c in advice.others if c.pairs and abs(c.difference) < _TIED]
    but = " of the values that have half of their pairs or more" * bool(advice.higher)
    shared = f" with {quoted(names, advice.axis, tied)}" if tied else ""
    return f"{'shares' if tied else 'has'} the highest mean{of}{but}{shared}"


def is_or_are(items: Sequence[Any]) -> str:
    """'is' or 'are', for a number of items."""
    return "is" if len(items) == 1 else "are"


def short_contrast(c: Contrast) -> str:
    """How far the best value leads: 'a lead of 0.3 points; −0.4 to +1.0; 19 of 24 pairs'.

    Where values were run on different settings, the best mean may lose a comparison.
    """
    if not c.pairs:
        return f"none of {count(c.planned, 'pair')} has finished"
    lead = plain(abs(c.difference), 1)
    parts = [f"{lead} points behind" if c.difference < 0 else f"a lead of {lead} points"]
    if not pd.isna(c.low):
        parts.append(span(c.low, c.high))
        if not c.significant and not c.low <= 0 <= c.high:
            parts.append(f"p = {c.p:.3f} after correction")
    if c.pairs < c.planned:
        parts.append(f"{c.pairs} of {count(c.planned, 'pair')}")
    return "; ".join(parts)


def price_sentences(advice: Advice, names: Names) -> str:
    """Sentences on the Pareto front, with cost and gain of each step."""
    first, *rest = advice.steps
    if not rest:
        who = quoted(names, "student", first.student)
        return (
            f"The cheapest student, {who}, also has the highest mean score over the settings that "
            f"all students share ({first.score:.1f})."
        )
    parts = [f"The cheapest, {quoted(names, 'student', first.student)}, scores {first.score:.1f} "
             f"at {first.cost:.3g} GFLOPs"]  # fmt: skip
    shown = rest if len(rest) <= _STEPS + 1 else rest[:_STEPS]
    before = first
    for step in shown:
        gain = f"{signed(step.score - before.score)} points"
        if step.lead:
            gain = f"{signed(step.lead.difference)} points"
            if not pd.isna(step.lead.low):
                gain += f" ({span(step.lead.low, step.lead.high)}"
                gain += ")" if step.lead.significant else "; not significant)"
        parts.append(
            f"{quoted(names, 'student', step.student)} gives {gain} for "
            f"{step.cost / before.cost:.1f} times the FLOPs"
        )
        before = step
    if more := rest[len(shown) :]:
        last = more[-1]
        parts.append(
            f"{len(more)} further steps lead to {quoted(names, 'student', last.student)}, which "
            f"gives {signed(last.score - before.score)} points over "
            f"{quoted(names, 'student', before.student)} for {last.cost / before.cost:.1f} times "
            f"its FLOPs"
        )
    return (
        f"{'. '.join(parts)}. Each of these scores higher than every other student of equal or "
        f"lower cost."
    )
