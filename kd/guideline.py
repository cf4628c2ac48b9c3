"""The advice that follows from a study's numbers, and where they give none: guideline.md.

For each question the study's axis is judged by paired differences between its values, like with
like, over all tasks and settings that were run with both; docs/statistics.md has the rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kd.files import atomic_write
from kd.record import read_runs
from kd.statistics.cells import corrected, describe
from kd.statistics.cost import equal_cost, pareto, with_costs
from kd.statistics.effects import contrasts, pairs, variance
from kd.statistics.pairing import prepare
from kd.statistics.runs import (
    ALIAS,
    AVERAGE,
    AXES,
    CELL,
    IDLE,
    control_of,
    each,
    followers,
    levels,
    studied,
)
from kd.table import interval, p_text, plain

# The questions of Lu et al. 2022 (arXiv:2206.14366), in its order, and the axis that answers each.
QUESTIONS = {
    "knowledge": "Which knowledge should the student imitate?",
    "matching": "How should student and teacher be compared?",
    "mapping": "Which teacher layer should teach which student layer?",
    "student": "Wide or deep, and how small?",
    "init": "How should the student's weights start?",
    "teacher": "Does a larger teacher help?",
    "preset": "Which published method?",
}
_SHARE = 2 / 3  # of the tasks, and of the settings, in which a strong finding must hold
_SHOWN = 6  # exceptions that are named one by one


@dataclass(frozen=True)
class Advice:
    """An answer to one question: `strength` is strong, moderate, weak, none or open."""

    axis: str
    question: str
    recommendation: str
    strength: str
    evidence: list[str]
    limits: list[str]


def advise(frame: pd.DataFrame) -> list[Advice]:
    """The paper's questions in its order, those this study did not ask too, then its other axes."""
    runs = prepare(frame)
    varying = studied(frame)
    shares = variance(frame)
    found = []
    for axis in [*QUESTIONS, *(a for a in varying if a not in QUESTIONS)]:
        question = QUESTIONS.get(axis, f"Which {axis.replace('_', ' ')}?")
        if axis in varying:
            found.append(_judge(runs, axis, question, shares))
        elif axis in CELL and axis != "preset":
            found.append(_unasked(frame, axis, question))
    return found


def _unasked(frame: pd.DataFrame, axis: str, question: str) -> Advice:
    leader = followers(frame).get(axis)
    if leader:
        why = f"This study varies it only together with {_words(leader)}: see there."
    else:
        held = [value for value in levels(frame[axis]) if value != IDLE] or ["of no effect"]
        why = f"This study does not ask: {_words(axis)} is {', '.join(held[:3])} in all its runs."
    return Advice(axis, question, why, "open", [], [])


def _judge(runs: pd.DataFrame, axis: str, question: str, shares: pd.DataFrame) -> Advice:
    # Students of any size would only say that larger ones are better: those of one size are judged.
    alike = equal_cost(_sizes(runs)) if axis == "student" else []
    group = max(alike, key=len) if alike else []
    chosen = runs[runs[axis].isin(group)] if group else runs
    everything = pairs(chosen, axis)
    known = contrasts(chosen, axis).dropna(subset="mean")
    if known.empty:
        text = "The data do not decide: no two values were run, and done, on the same settings."
        return Advice(axis, question, text, "open", [], _gaps(runs, axis))
    best, against = _best(known)
    unsure = [row for row in against if not _certain(row)]
    breadth = _breadth(everything, best)
    recommendation = _recommendation(axis, best, against, unsure, control_of(runs))
    if group:
        size = _sizes(runs)[group].median() / 1e6
        start = f"At {size:.3g} million parameters without embeddings, "
        recommendation = start + recommendation[0].lower() + recommendation[1:]
    evidence = _evidence(best, against, unsure, breadth) + _importance(shares, axis)
    if axis == "knowledge":
        evidence += _over_control(known, best, control_of(runs))
    if axis == "student":
        evidence += _over_sizes(runs, bool(group))
    limits = [*breadth.exceptions, *_gaps(chosen, axis)]
    return Advice(
        axis, question, recommendation, _strength(against, unsure, breadth), evidence, limits
    )


def _sizes(runs: pd.DataFrame) -> "pd.Series[float]":
    return runs.groupby("student", sort=False)["student_nonembedding_parameters"].median()


@dataclass(frozen=True)
class _Gap:
    """The recommended value less another."""

    other: str
    gap: float
    low: float
    high: float
    p: float
    pairs: int
    planned: int
    seeds: int


def _best(table: pd.DataFrame) -> tuple[str, list[_Gap]]:
    """The value with the largest mean advantage over the values it was compared with."""
    values = list(dict.fromkeys([*table["a"], *table["b"]]))
    against = {value: _gaps_of(table, value) for value in values}
    best = max(values, key=lambda v: (len(against[v]), np.mean([g.gap for g in against[v]])))
    # The most compared value leads only where another was not compared with as many.
    most = [v for v in values if len(against[v]) == len(against[best])]
    best = max(most, key=lambda v: float(np.mean([g.gap for g in against[v]])))
    return best, against[best]


def _gaps_of(table: pd.DataFrame, value: str) -> list[_Gap]:
    found = []
    for row in each(table):
        if value not in (row.a, row.b):
            continue
        sign, other = (1, row.a) if row.b == value else (-1, row.b)
        ends = sorted((sign * row.low, sign * row.high))
        counts = (int(row.pairs), int(row.planned), int(row.seeds))
        found.append(_Gap(other, sign * row.mean, ends[0], ends[1], row.p_holm, *counts))
    return found


def _certain(gap: _Gap) -> bool:
    return gap.gap > 0 and gap.p < 0.05


@dataclass(frozen=True)
class _Breadth:
    """On how many tasks and in how many settings of the other axes the best value leads."""

    exceptions: list[str]
    tasks_won: int
    tasks: int
    settings_won: int
    settings: int

    @property
    def broad(self) -> bool:
        """Whether it leads nearly everywhere."""
        return self.tasks_won >= _SHARE * self.tasks and self.settings_won >= _SHARE * self.settings


def _breadth(everything: pd.DataFrame, best: str) -> _Breadth:
    """A task or setting is won where the mean of the differences to all others is positive."""
    signed = everything[(everything["a"] == best) | (everything["b"] == best)].dropna()
    signed = signed.assign(gap=np.where(signed["b"] == best, 1, -1) * signed["difference"])
    by_task = signed.groupby("task", sort=False)["gap"].mean()
    by_setting = signed.groupby("setting", sort=False)["gap"].mean()
    lost = [(f"on {task}", gap) for task, gap in by_task.items() if gap < 0]
    lost += [(f"at {name}", gap) for name, gap in by_setting.items() if name and gap < 0]
    told = [f"{where} ({plain(100 * gap, 1, True)} points)" for where, gap in lost]
    more = f", and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return _Breadth(
        [f"It does not lead {', '.join(told[:_SHOWN])}{more}."] if told else [],
        int((by_task > 0).sum()),
        len(by_task),
        int((by_setting > 0).sum()),
        len(by_setting),
    )


def _strength(against: list[_Gap], unsure: list[_Gap], breadth: _Breadth) -> str:
    """strong: better than every other value after Holm's correction, in most tasks and settings.

    moderate: better than every other, but not that broadly; weak: better than at least one; none:
    nothing is told apart; one seed can tell nothing apart.
    """
    if not unsure:
        return "strong" if breadth.broad else "moderate"
    return "weak" if len(unsure) < len(against) else "none"


def _recommendation(
    axis: str, best: str, against: list[_Gap], unsure: list[_Gap], control: str
) -> str:
    name = f"{_words(axis)} **{best}**"
    if not unsure:
        return f"Take {name}: it beats {_all([gap.other for gap in against])}."
    ties = [gap.other for gap in unsure]
    simplest = ""
    if axis == "knowledge" and control in ties:
        simplest = f" The simplest of them is {control}."
    if len(unsure) < len(against):
        beaten = _all([gap.other for gap in against if gap not in unsure])
        return (
            f"Take {name}, or as well {_all(ties, 'or')}, which the data do not tell from it; "
            f"{best} beats {beaten}.{simplest}"
        )
    if max(gap.seeds for gap in against) < 2:
        return f"The data do not decide: one seed. The highest mean is that of {name}."
    return (
        f"The data do not decide: the highest mean is that of {name}, but it is not told from "
        f"{_all(ties, 'or')}.{simplest}"
    )


def _evidence(best: str, against: list[_Gap], unsure: list[_Gap], breadth: _Breadth) -> list[str]:
    rival = min(unsure or against, key=lambda gap: abs(gap.gap))
    text = f"{best} − {rival.other}: {plain(100 * rival.gap, 1, True)} points"
    if interval(rival.low, rival.high):
        text += f" (95 % interval {interval(rival.low, rival.high)}, p {p_text(rival.p)} after "
        text += f"Holm's correction, {rival.seeds} seeds, {_count(rival)})"
    else:
        text += f" (no interval: {'one seed' if rival.seeds < 2 else 'no spread'}, {_count(rival)})"
    found = [text + (", its closest rival" if len(against) > 1 else "")]
    furthest = max(against, key=lambda gap: gap.gap)
    if furthest is not rival:
        found.append(f"{best} − {furthest.other}: {plain(100 * furthest.gap, 1, True)} points"
                     f"{_in_brackets(interval(furthest.low, furthest.high))}")  # fmt: skip
    lead = (
        f"against the mean of all others it leads on {breadth.tasks_won} of {breadth.tasks} tasks"
    )
    if breadth.settings > 1:
        lead += f" and in {breadth.settings_won} of {breadth.settings} settings of the other axes"
    return [*found, lead]


def _importance(shares: pd.DataFrame, axis: str) -> list[str]:
    """How much of the variance the axis explains, and which other axis it depends on."""
    own = shares[shares["term"] == axis] if len(shares) else shares
    if own.empty:
        return []
    seeds = shares.loc[shares["term"] == "seeds", "share"]
    row = own.iloc[0]
    text = f"{_words(axis)} explains {100 * row.share:.1f} % of the variance within tasks"
    if len(seeds):
        text += f" (p {p_text(row.p_holm)}), the seed {100 * seeds.iloc[0]:.1f} %"
    found = [text]
    both = shares["term"].map(lambda term: axis in term.split(" × ") and " × " in term)
    told = both.to_numpy(bool) & (shares["p_holm"] < 0.05).to_numpy()
    for other in each(shares[told]):
        partner = next(name for name in other.term.split(" × ") if name != axis)
        found.append(
            f"it depends on {_words(partner)}: their interaction explains "
            f"{100 * other.share:.1f} % (p {p_text(other.p_holm)})"
        )
    return found


def _over_control(table: pd.DataFrame, best: str, control: str) -> list[str]:
    """What the teacher's outputs alone give, over hard labels."""
    found = []
    for gap in _gaps_of(table, control) if control == "logits" else ():
        if gap.other == "none":
            found.append(
                f"distillation of the logits alone: {plain(100 * gap.gap, 1, True)} points over "
                f"hard labels{_in_brackets(interval(gap.low, gap.high))}, p {p_text(gap.p)}"
            )
    if control and best == control:
        found.append("no knowledge beyond the control has a higher mean")
    return found


def _over_sizes(runs: pd.DataFrame, alike: bool) -> list[str]:
    """The students that no other matches at less cost, and by how much the smallest falls short."""
    costs = with_costs(runs)
    task = AVERAGE if AVERAGE in set(runs["task"]) else runs["task"].iloc[0]
    cells = describe(costs[costs["task"] == task], studied(runs))
    table = cells.groupby("student", sort=False)["mean"].max().reset_index()
    cost = table["student"].map(costs.groupby("student")["flops"].median())
    front = table[pareto(cost, table["mean"])].assign(cost=cost).sort_values("cost")
    found = [] if alike else ["no two students are of equal size: shape and size go together"]
    if len(front):
        told = [
            f"{row.student} ({row.cost / 1e9:.3g} GFLOPs, {100 * row.mean:.1f})"
            for row in each(front)
        ]
        found.append(
            f"students that no other matches at less cost, each by its best cell (Pareto front): "
            f"{_all(told)}"
        )
    return found


def _gaps(runs: pd.DataFrame, axis: str) -> list[str]:
    """What is missing, by value of the axis; and that one task says little."""
    real = runs[runs["task"] != AVERAGE].drop_duplicates("run")
    parts = real.assign(value=real[axis].str.split(ALIAS)).explode("value")
    lost = parts[parts["score"].isna()].groupby("value", sort=False).size()
    planned = parts.groupby("value", sort=False).size().to_dict()
    told = [f"{value} {n} of {planned[value]}" for value, n in lost.items()]
    limits = [f"Missing runs: {', '.join(told)}."] if told else []
    tasks = real["task"].unique()
    if len(tasks) < 3:
        limits.append(f"Only on {_all(list(tasks))}: other tasks may differ.")
    return limits


def _count(gap: _Gap) -> str:
    if gap.pairs == gap.planned:
        return f"{gap.pairs} pairs of runs"
    return f"{gap.pairs} of {gap.planned} pairs of runs"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _all(names: Iterable[str], last: str = "and") -> str:
    listed = list(names)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {last} {listed[-1]}"


def _words(axis: str) -> str:
    return {"init": "initialisation"}.get(axis, axis.replace("_", " "))


def guideline_text(frame: pd.DataFrame, name: str, question: str = "") -> str:
    """guideline.md of a study."""
    advice = advise(frame)
    done, total = int(frame["score"].notna().sum()), len(frame)
    real = [axis for axis in AXES if axis in ("task", "seed")]
    tasks, seeds = (levels(frame[axis]) for axis in real)
    teachers = levels(frame["teacher"])
    lines = [f"# Guideline from the study {name}", ""]
    lines += [question, ""] * bool(question)
    lines += [
        f"From {done} of {total} runs on {len(tasks)} task{'s' * (len(tasks) > 1)} "
        f"({', '.join(tasks)}), {len(seeds)} seed{'s' * (len(seeds) > 1)}, teacher "
        f"{', '.join(teachers)}. Scores are of the dev split, and so is the choice of what is "
        "best: leads are flattered, the more so the more values were tried. Intervals are over "
        "seeds, not over dev examples or new tasks.",
        "",
        "| question | recommendation | strength |",
        "|---|---|---|",
        *(
            f"| {a.question} | {a.recommendation.replace('|', '/')} | {a.strength} |"
            for a in advice
        ),
        "",
    ]
    for found in advice:
        lines += [f"## {found.question}", "", found.recommendation, ""]
        lines += [f"**Strength: {found.strength}.** {STRENGTH[found.strength]}", ""]
        if found.evidence:
            lines += ["Evidence:", *(f"- {text}" for text in found.evidence), ""]
        if found.limits:
            lines += ["Where it does not hold:", *(f"- {text}" for text in found.limits), ""]
    lines += [*_winners(frame), dev_noise(frame)]
    return "\n".join(lines).rstrip() + "\n"


STRENGTH = {
    "strong": "Better than every other value after correction, in at least two thirds of the tasks "
    "and settings.",
    "moderate": "Better than every other value after correction, but not in two thirds of the "
    "tasks or settings.",
    "weak": "Better than some values after correction, not told from others.",
    "none": "No difference is told from chance.",
    "open": "This study has no data for it.",
}


def _winners(frame: pd.DataFrame) -> list[str]:
    """Cells that beat the control after correction, of how many that were tried."""
    runs = prepare(frame)
    names = studied(runs) or ["knowledge"]
    table = describe(runs, [*names, "task"])
    table = table.assign(p_holm=corrected(table))
    primary = table[table["task"] == (AVERAGE if AVERAGE in set(table["task"]) else table["task"])]
    tested = primary[primary["p_holm"].notna()]
    control = control_of(frame)
    if tested.empty:
        return []
    better = tested[(tested["p_holm"] < 0.05) & (tested["difference"] > 0)]
    worse = tested[(tested["p_holm"] < 0.05) & (tested["difference"] < 0)]
    return [
        "## How sure",
        "",
        f"Of {len(tested)} cells that were compared with their control ({control}), {len(better)} "
        f"are better and {len(worse)} worse after Holm's correction over all of them.",
        "",
    ]


def dev_noise(frame: pd.DataFrame) -> str:
    """The sampling error of the dev splits, which no number of seeds takes away; '' if unknown."""
    known = frame.dropna(subset=["score", "examples_eval"])
    square = known["score"] * (1 - known["score"]) / known["examples_eval"]
    errors = 100 * square.clip(lower=0).pow(0.5).groupby(known["task"], sort=False).median()
    sizes = known.groupby("task", sort=False)["examples_eval"].median().to_dict()
    if errors.empty:
        return ""
    told = [f"{task} {value:.1f} ({sizes[task]:.0f} examples)" for task, value in errors.items()]
    return (
        "The dev splits are samples too: the standard error of an accuracy of this height is, in "
        f"points, {', '.join(told)}. Paired differences on the same examples have less."
    )


def write_guideline(runs_csv: Path, out: Path, name: str, question: str = "") -> None:
    """Write guideline.md; the same runs give the same bytes."""
    atomic_write(out, guideline_text(read_runs(runs_csv), name, question))
