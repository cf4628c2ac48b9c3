"""The sentences on likeness to the teacher, and on whether the most alike also scores best."""

from kd.results.advice.likeness import Likeness
from kd.results.advice.verdict import Contrast
from kd.results.report.answers import highest_mean, short_contrast
from kd.results.report.words import Names, quoted, signed, significance, span
from kd.runtime.words import count, listed


def likeness_answer(result: Likeness, names: Names | None = None) -> str:
    """The answer in two or three sentences, each with its difference, interval and pairs."""
    return f"{_most_alike(result, names or {})} {_score(result, names or {})}"


def _most_alike(result: Likeness, names: Names) -> str:
    alike = result.agreement
    best = quoted(names, "knowledge", alike.best)
    unsure = [c for c in (*alike.equal, *alike.not_worse) if not c.significant]
    if unsure or alike.higher:
        text = f"{best} {highest_mean(alike, names, ' agreement')}"
        told = [f"{quoted(names, 'knowledge', c.other)} ({short_contrast(c)})" for c in unsure[:3]]
        told += [f"{len(unsure) - 3} more"] * (len(unsure) > 3)
        text += f", but is not significantly different from {listed(told, 'or')}" * bool(told)
        ahead = [quoted(names, "knowledge", c.other) for c in alike.ahead]
        return f"{text}." + f" {listed(ahead)} agrees more, with fewer pairs." * bool(ahead)
    c = alike.others[0]
    return (
        f"{best} agrees most with the teacher: its agreement is above that of "
        f"{quoted(names, 'knowledge', c.other)}, the next, by {_numbers(c)} "
        f"({significance(c.p, alike.comparisons)})."
    )


def _score(result: Likeness, names: Names) -> str:
    c, best = result.gap, quoted(names, "knowledge", result.best_score)
    alike = quoted(names, "knowledge", result.most_alike)
    if result.most_alike == result.best_score:
        text = f"{alike} also has the highest mean score"
        if c is None:
            return f"{text}."
        other = quoted(names, "knowledge", c.other)
        if c.significant and c.difference > 0:
            return f"{text}: it is better than {other}, the next, by {_numbers(c)}."
        near = f"{other} in score ({short_contrast(c)})"
        return f"{text}, but is not significantly different from {near}."
    text = f"{best} has the highest mean score"
    if c is None:
        return f"{text}; no two finished runs compare it with {alike}."
    if c.significant and c.difference < 0:
        return (
            f"{text}: {alike} scores {_numbers(c)} against it, so the student most like its "
            f"teacher is not the best one."
        )
    return f"{text}, but {alike} is not significantly different from it in score ({_numbers(c)})."


def _numbers(c: Contrast) -> str:
    """'+1.2 points; 0.3 to 2.1; 12 pairs': of the value, less the other one."""
    if not c.pairs:
        return f"none of {count(c.planned, 'pair')} has finished"
    parts = [f"{signed(c.difference)} points"]
    parts.append(span(c.low, c.high) if c.low == c.low else "no interval")
    of = f" of {c.planned}" if c.pairs < c.planned else ""
    parts.append(f"{c.pairs}{of} pair{'s' * (c.planned != 1)}")
    return "; ".join(parts)
