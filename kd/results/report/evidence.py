"""Sentences with the numbers of an answer, and on where it may not hold."""

from collections.abc import Sequence

import pandas as pd

from kd.axes.figures import axis_words
from kd.results.advice import FEW_SEEDS
from kd.results.advice.verdict import Advice, Contrast
from kd.results.report.answers import (
    is_or_are,
    price_sentences,
    short_contrast,
    verdict_sentences,
)
from kd.results.report.words import Names, p_words, points, quoted, signed, span
from kd.runtime.words import count, listed

_FURTHER = 1.5  # students that cost so many times as much are not alike


def evidence(
    advice: Advice, margin: float = 0.5, names: Names | None = None, control: str = ""
) -> list[str]:
    """The numbers behind an answer, a sentence each."""
    names = names or {}

    def q(values: str | Sequence[str]) -> str:
        return quoted(names, advice.axis, values)

    texts = []
    kinds = (
        (f"Equal to {q(advice.best)} within {points(margin)}", advice.equal),
        (f"Significantly better than {q(advice.best)}, with few pairs", advice.ahead),
        (f"Not shown to be worse than {q(advice.best)}", advice.unsure),
        (f"Significantly worse than {q(advice.best)}", advice.worse),
    )
    for title, group in kinds if advice.best else ():
        texts += [f"{title}: {'; '.join(f'{q(c.other)} {_full(c)}' for c in group)}."] * bool(group)
    if advice.elsewhere:
        told = [f"{q(c.value)} over {q(c.other)} {_full(c, 1)}" for c in advice.elsewhere]
        texts.append(f"Significant among the others: {listed(told)}.")
    texts += _lead(advice, q(advice.best))
    texts += _variance(advice)
    for partner in advice.partners:
        texts.append(
            f"It depends on the {axis_words(partner.axis)}: the interaction explains "
            f"{partner.share:.1f} % of the variance ({p_words(partner.p)}). "
            + _where(advice, partner.leads, partner.axis, names)
        )
    if advice.axis == "knowledge" and advice.best and control in advice.values:
        texts += _control(advice, control)
    for other in advice.sizes:
        if other.best:
            texts.append(
                f"Among students of {other.size}: {verdict_sentences(other, margin, names)}"
            )
    far = advice.steps and advice.steps[-1].cost > _FURTHER * advice.steps[0].cost
    if far and advice.strength != "trade-off":
        texts.append(f"The price of size: {price_sentences(advice, names)}")
    return texts


def _full(c: Contrast, sign: int = -1) -> str:
    if not c.pairs:
        return f"({short_contrast(c)})"
    text = signed(sign * c.difference)
    ends = sorted((sign * c.low, sign * c.high))
    inner = ["no interval"] if pd.isna(c.low) else [span(*ends)]
    inner += [p_words(c.p)] if not pd.isna(c.p) else []
    inner += [f"look at {c.look} seeds"] if c.look else []
    pairs = f"{c.pairs}" if c.pairs == c.planned else f"{c.pairs} of {c.planned}"
    return f"{text} ({', '.join(inner)}, {pairs} pair{'s' * (c.planned != 1)})"


def _lead(advice: Advice, best: str) -> list[str]:
    b = advice.breadth
    if b is None or not b.tasks_done or len(advice.values) < 2:
        return []
    done, finished = b.tasks_done, "finished " * (b.tasks > b.tasks_done)
    only = f"the only {finished}task" if b.tasks_led else "no task"
    where = f"{b.tasks_led} of {done} {finished}tasks" if done > 1 else only
    others = "the average of the other values" if len(advice.values) > 2 else "the other value"
    text = f"The mean of {best} is above {others} on {where}"
    if len(advice.values) > 2 and done > 1:
        text += f", and the highest on {b.tasks_alone or 'none'} of them"
    if b.settings > 1:
        text += f"; it does so in {b.settings_led} of {b.settings} settings of the other axes"
        lost = b.settings - b.settings_done
        text += f" ({lost} {is_or_are([''] * lost)} without a finished pair)" if lost else ""
    return [text + "."]


def _variance(advice: Advice) -> list[str]:
    if pd.isna(advice.share):
        return []
    text = f"Variance of the scores within tasks: {advice.share:.1f} % is due to the "
    text += axis_words(advice.axis)
    text += f" ({p_words(advice.share_p)})" if not pd.isna(advice.share_p) else ""
    noise = f", and {advice.noise:.1f} % to seeds and residual noise"
    return [text + noise * bool(advice.noise >= 0) + "."]


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
        return [] if advice.higher else ["No other knowledge has a higher mean than the control."]
    unsure = [c.other for c in (*advice.equal, *advice.not_worse)]
    if control in unsure:
        simplest = "" if "none" in (advice.best, *unsure) else "the simplest knowledge that is "
        return [f"The control, `{control}`, is {simplest}not shown to be worse."]
    return []


def limits(
    advice: Advice, names: Names | None = None, pruned: Sequence[tuple[str, str, str]] = ()
) -> list[str]:
    """Sentences on where an answer may not hold. `pruned` has (axis, value, reason)."""
    names = names or {}
    if advice.strength == "open" and advice.why not in ("undone", "chance", "mixed"):
        return []
    texts = []
    if advice.lost:
        told = [f"{quoted(names, advice.axis, v)} {n} of {total}" for v, n, total in advice.lost]
        texts.append(f"Missing runs: {listed(told, shown=12)}.")
    if advice.mixed and advice.strength not in ("open", "mixed"):
        texts.append(f"Mixed effects: {advice.mixed}.")
    for axis, value, reason in pruned:
        if axis == advice.axis:
            texts.append(f"Never run: {quoted(names, axis, value)} ({reason}).")
    if advice.apart:
        texts.append(
            f"Not compared with {quoted(names, advice.axis, advice.best)}, for lack of a common "
            f"setting: {quoted(names, advice.axis, advice.apart)}."
        )
    if advice.breadth and advice.breadth.lost and advice.strength != "none":
        told = [f"{where} ({signed(gap)} points)" for where, gap in advice.breadth.lost]
        best = quoted(names, advice.axis, advice.best)
        texts.append(f"{best} is below the average of the others {listed(told)}.")
    if advice.best and 0 < advice.seeds < FEW_SEEDS:
        texts.append(f"Only {count(advice.seeds, 'seed')}: recommendations need three or more.")
    if advice.strength in ("strong", "moderate"):
        c = next(contrast for contrast in advice.others if contrast.significant)
        if c.difference < advice.dev_error:
            texts.append(
                f"The lead over {quoted(names, advice.axis, c.other)} ({signed(c.difference)}) is "
                f"smaller than the standard error of a score on these dev splits "
                f"({advice.dev_error:.1f}), so other examples may rank the two differently."
            )
    if 0 < len(advice.tasks) < 3:
        texts.append(
            f"Only {listed(advice.tasks)} {_was(advice.tasks)} tested; other tasks may differ."
        )
    return texts


def _was(items: Sequence[str]) -> str:
    return "was" if len(items) == 1 else "were"
