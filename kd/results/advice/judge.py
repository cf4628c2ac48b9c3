"""Judges the values of one axis by their paired differences.

A value is *worse* than the best if the difference is significant after Holm's correction over all
pairs of values, *equal* if the whole interval lies within the margin, and otherwise *not shown to
be worse*. So few runs never make a value equal, and neither does a task without runs.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from kd.results.advice import FEW_SEEDS
from kd.results.advice.verdict import Advice, Breadth, Contrast
from kd.results.statistics.effects import contrasts, pairs
from kd.results.statistics.fraction import mixed_with, part_of
from kd.results.statistics.runs import IDLE, each, levels
from kd.study.aliasing import Mixed, mixed_sentence

_HALF = 0.5  # share of its planned pairs that a value needs to be called the best


def judge_values(runs: pd.DataFrame, axis: str, question: str, margin: float) -> Advice:
    """The values of `axis` among prepared runs, compared with the best; without context."""
    table = contrasts(runs, axis)
    values = tuple(value for value in levels(runs[axis]) if value != IDLE)
    about = mixed_with(runs, axis) if part_of(runs) else Mixed()
    mixed = mixed_sentence((axis,), about)
    if table.empty or not table["pairs"].sum():
        why = "mixed" if about.axes else "undone"
        return Advice(axis, question, "open", why, values=values, mixed=mixed)
    best = leader_of(table)
    every = contrasts_of(table)
    own = [c if c.value == best else turned(c) for c in every if best in (c.value, c.other)]
    own.sort(key=lambda c: (not c.pairs, c.difference))
    equal = tuple(c for c in own if c.equal(margin))
    worse = tuple(c for c in own if c not in equal and c.significant and c.difference > 0)
    unsure = tuple(c for c in own if c not in equal and c not in worse)
    elsewhere = tuple(
        c if c.difference > 0 else turned(c)
        for c in every
        if best not in (c.value, c.other) and c.significant
    )
    every_pair = pairs(runs, axis)
    seeds = _fewest_seeds(every_pair, best)
    advice = Advice(
        axis, question, "", "", best, equal, unsure, worse, elsewhere,
        higher=_higher(table, best),
        apart=tuple(v for v in values if v != best and v not in {c.other for c in own}),
        mixed=mixed, breadth=_breadth(every_pair, best), values=values,
        comparisons=len(table), seeds=seeds,
    )  # fmt: skip
    strength = _strength(advice)
    if not about.clear and strength in ("strong", "moderate"):
        strength = "mixed"
    return replace(advice, strength=strength)


def _strength(advice: Advice) -> str:
    """How certain the best value is. Lost runs never make it more certain."""
    ahead = [c for c in (*advice.equal, *advice.worse) if c.significant and c.difference > 0]
    against = [c for c in (*advice.equal, *advice.not_worse) if c.significant and c.difference < 0]
    if not (ahead or against or advice.elsewhere):
        return "none"
    whole = all(c.whole for c in (*advice.equal, *advice.worse))
    if advice.not_worse or advice.apart or not (ahead and whole) or advice.seeds < FEW_SEEDS:
        return "weak"
    return "strong" if advice.breadth and advice.breadth.broad else "moderate"


def contrasts_of(table: pd.DataFrame) -> list[Contrast]:
    """The rows of `statistics.effects.contrasts`, in points."""
    return [
        Contrast(
            row.b, row.a, 100 * row.mean, 100 * row.low, 100 * row.high, row.p_holm,
            int(row.pairs), int(row.planned), 0 if pd.isna(row.seeds) else int(row.seeds),
            int(getattr(row, "look", 0)), 100 * row.error, row.free, bool(row.whole),
        )
        for row in each(table)
    ]  # fmt: skip


def turned(c: Contrast) -> Contrast:
    """The contrast with its two values exchanged."""
    return replace(
        c, value=c.other, other=c.value, difference=-c.difference, low=-c.high, high=-c.low
    )


def means_of(table: pd.DataFrame) -> dict[str, float]:
    """The mean of each value with a pair, minus the mean of all values; as fractions.

    The means are fitted to the differences by least squares, weighted by their pairs, because
    values may have been run on different settings. In a complete grid they are the plain means.
    """
    done = table[table["pairs"] > 0]
    values = list(dict.fromkeys([*done["a"], *done["b"]]))
    weight = np.sqrt(done["pairs"].to_numpy(float))
    design = np.array([[(v == b) - (v == a) for v in values] for a, b in _ends(done)], dtype=float)
    gaps = done["mean"].to_numpy(float)
    means = np.linalg.lstsq(design * weight[:, None], gaps * weight, rcond=None)[0]
    return dict(zip(values, means.tolist(), strict=True))


def leader_of(table: pd.DataFrame) -> str:
    """The value with the highest mean; only values with half of their pairs, if there are any."""
    means = means_of(table)

    def whole(value: str) -> bool:
        own = table[(table["a"] == value) | (table["b"] == value)]
        return bool(own["pairs"].sum() >= _HALF * own["planned"].sum())

    complete = [value for value in means if whole(value)] or list(means)
    return max(complete, key=lambda value: round(means[value], 12))


def _higher(table: pd.DataFrame, best: str) -> tuple[str, ...]:
    """The values whose mean is above that of `leader_of`: they have too few pairs to lead."""
    means = means_of(table)
    return tuple(v for v, mean in means.items() if round(mean, 12) > round(means[best], 12))


def _ends(table: pd.DataFrame) -> Iterable[tuple[str, str]]:
    return zip(table["a"], table["b"], strict=True)


def _fewest_seeds(everything: pd.DataFrame, best: str) -> int:
    """The fewest seeds of a comparison of the best value; its task with the most seeds counts."""
    own = everything[(everything["a"] == best) | (everything["b"] == best)]
    done = own.dropna(subset="difference")
    seeds = done.groupby(["a", "b", "task"])["seed"].nunique().groupby(["a", "b"]).max()
    return int(seeds.min()) if len(seeds) else 0


def _breadth(everything: pd.DataFrame, best: str) -> Breadth:
    """The tasks and settings in which the best value leads, of all that were planned. A task
    counts once it has a finished pair with each of the other values."""
    own = everything[(everything["a"] == best) | (everything["b"] == best)]
    sign = np.where(own["b"] == best, 100, -100)
    own = own.assign(
        gap=sign * own["difference"], other=np.where(own["b"] == best, own["a"], own["b"])
    )
    gaps = own.groupby(["task", "other"], sort=False)["gap"].mean()
    whole = gaps.notna().groupby("task", sort=False).transform("all")
    by_task = gaps.where(whole).groupby("task", sort=False)
    by_setting = own.groupby("setting", sort=False)["gap"].mean()
    tasks = by_task.mean()
    lost = [(f"on {task}", gap) for task, gap in tasks.items() if gap <= -0.05]
    lost += [(f"at {name}", gap) for name, gap in by_setting.items() if name and gap <= -0.05]
    return Breadth(
        int((tasks > 0).sum()),
        int((by_task.min() > 0).sum()),
        int(tasks.notna().sum()),
        len(tasks),
        int((by_setting > 0).sum()),
        int(by_setting.notna().sum()),
        len(by_setting),
        tuple((where, float(gap)) for where, gap in lost),
    )
