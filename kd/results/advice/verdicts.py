"""Whether a record confirms or contradicts a claim: computed from its contrasts, never typed.

A contrast counts on the tasks on which both of its cells are finished, so that a verdict does not
come and go while runs are made. Values are equal if the whole interval lies within the margin; else
they are different if p is below 0.05 after Holm's correction over all pairs of values of the axis.
The guideline is stricter: it calls values equal only if all planned tasks are finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from kd.axes.labels import parts as values_in
from kd.results.advice.claims import BETTER, DIFFERENT, EQUAL, NOT_BETTER, Claim
from kd.results.advice.soundness import students_at_floor
from kd.results.advice.verdict import LEVEL
from kd.results.power.detect import Design, needed
from kd.results.record import Record
from kd.results.statistics.effects import pairs
from kd.results.statistics.intervals import holm, seed_means
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import IDLE, each, levels

CONFIRMED, CONTRADICTED, UNDECIDED, OPEN = "confirmed", "contradicted", "undecided", "not run yet"


@dataclass(frozen=True)
class Finding:
    """One contrast of a claim, in points; NaN: unknown.

    `low` and `high` are the 95 % interval over seeds, not corrected; `p` is corrected. The contrast
    has `pairs` of runs and `seeds` on each of the finished `tasks`, of `planned` ones, and the mean
    differences `by_task`. It is `equal` if its whole interval lies within the margin. `done` and
    `runs` count all runs of the two cells, with every value that was tried for them. `floor` are
    tasks that are left out because no student is clearly above the constant answer. If the contrast
    is undecided, `needed` seeds find a true difference of the margin with probability 0.8 (None:
    above 1,000, or not known). They take `more` runs than were planned.
    """

    contrast: tuple[str, str]
    verdict: str
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p: float = np.nan
    pairs: int = 0
    seeds: int = 0
    tasks: tuple[str, ...] = ()
    by_task: tuple[tuple[str, float], ...] = ()
    equal: bool = False
    planned: int = 0
    floor: tuple[str, ...] = ()
    done: int = 0
    runs: int = 0
    needed: int | None = None
    more: int | None = None

    @property
    def so_far(self) -> bool:
        """Whether there are numbers, and not of all tasks."""
        return 0 < len(self.tasks) < self.planned


def findings_of(claim: Claim, record: Record | None, margin: float) -> list[Finding]:
    """A finding for each contrast of a claim; `record` is that of its study, None if there is none.

    Args:
        claim: one of `read_claims`.
        record: as `load_record` gives it.
        margin: largest difference, in points, of values that count as equal.
    """
    if record is None:
        return [Finding(contrast, OPEN) for contrast in claim.contrasts]
    runs, every = (_at(frame, claim.at) for frame in (record.runs, record.every))
    floor = tuple(f.task for f in students_at_floor(runs))
    runs = runs[~runs["task"].isin(floor)]
    if runs.empty:
        return [Finding(contrast, UNDECIDED, floor=floor) for contrast in claim.contrasts]
    runs = prepare(runs)
    table = _gains(runs, claim) if claim.gain else pairs(runs, claim.axis)
    family = table.groupby(["a", "b"]).size()
    table = table[_finished(table, every, claim)]
    means = seed_means(table, ["a", "b"], "difference")
    # Contrasts that are not finished count in the family from the start.
    p_holm = pd.Series(holm(means["p"].reindex(family.index).fillna(1.0)), family.index)
    p_holm = p_holm.reindex(means.index).where(means["p"].notna())
    rows = {row.Index: row for row in each(means.assign(p_holm=p_holm))}
    findings = []
    for contrast in claim.contrasts:
        ours = _runs_of(every, claim, contrast)
        done = int((ours["status"] == "done").sum())
        start = Finding(contrast, UNDECIDED if done else OPEN, done=done, runs=len(ours))
        start = replace(start, floor=floor, planned=ours["task"].nunique() - len(floor))
        key, sign = (contrast, -1) if contrast in rows else (contrast[::-1], 1)
        if key not in rows:  # no task is finished, or no pair of runs
            findings.append(start)
            continue
        own = table[(table["a"] == key[0]) & (table["b"] == key[1])]
        finding = _measured(start, rows[key], own, sign)
        verdict = verdict_of(claim.expected, finding, margin)
        finding = replace(finding, verdict=verdict, equal=_equal(finding, margin))
        if verdict == UNDECIDED and (enough := _enough(own, len(family), margin)):
            a_seed = ours["task"].isin(own["stratum"]).sum() / own["seed"].nunique()
            more = round(a_seed * max(0, enough - own["seed"].nunique()))
            finding = replace(finding, needed=enough, more=more)
        findings.append(finding)
    return findings


def _measured(start: Finding, row: Any, own: pd.DataFrame, sign: int) -> Finding:
    """The finding with its numbers: a row of `seed_means`, and the pairs behind it."""
    low, high = sorted((100 * sign * row.low, 100 * sign * row.high))
    done = own.dropna(subset="difference")
    by_task = done.groupby("stratum", sort=False)["difference"].mean()
    return replace(
        start,
        difference=100 * sign * row.mean,
        low=low,
        high=high,
        p=float(row.p_holm),
        pairs=len(done),
        seeds=int(done.groupby("stratum")["seed"].nunique().min()),
        tasks=tuple(map(str, by_task.index)),
        by_task=tuple((str(task), 100 * sign * gap) for task, gap in by_task.items()),
    )


def verdict_of(expected: str, finding: Finding, margin: float) -> str:
    """Whether the difference of a finding is as a claim expects it. NaN decides nothing."""
    difference, high, p = finding.difference, finding.high, finding.p
    equal = _equal(finding, margin)
    sure = bool(p < LEVEL) and not equal
    if expected == BETTER:
        holds, fails = sure and difference > 0, equal or (sure and difference < 0)
    elif expected == NOT_BETTER:
        holds, fails = high <= margin, sure and difference > 0
    else:
        holds, fails = (equal, sure) if expected == EQUAL else (sure, equal)
    return CONFIRMED if holds else CONTRADICTED if fails else UNDECIDED


def _equal(finding: Finding, margin: float) -> bool:
    return -margin <= finding.low and finding.high <= margin


def overall(claim: Claim, findings: Sequence[Finding]) -> str:
    """The verdict of a claim: confirmed by all of its contrasts, contradicted by any of them.

    A claim that values are different is confirmed by any, and contradicted by all.
    """
    verdicts = [finding.verdict for finding in findings]
    decisive = CONFIRMED if claim.expected == DIFFERENT else CONTRADICTED
    if decisive in verdicts:
        return decisive
    return verdicts[0] if len(set(verdicts)) == 1 else UNDECIDED


@dataclass(frozen=True)
class Judged:
    """A claim with a finding for each contrast, in points; `margin` is that of its study. `others`
    are its findings with other choices that are as good on the held-out slice."""

    claim: Claim
    findings: Sequence[Finding]
    margin: float
    others: Sequence[Sequence[Finding]] = ()

    @property
    def verdict(self) -> str:
        """What its findings say."""
        return overall(self.claim, self.findings)

    @property
    def other_verdicts(self) -> list[str]:
        """Different verdicts with other choices, each once."""
        found = dict.fromkeys(overall(self.claim, other) for other in self.others)
        return [verdict for verdict in found if verdict != self.verdict]


def _at(frame: pd.DataFrame, at: dict[str, str]) -> pd.DataFrame:
    for axis, value in at.items():
        frame = _with(frame, axis, {value})
    return frame


def _with(frame: pd.DataFrame, axis: str, values: set[str]) -> pd.DataFrame:
    """The rows that stand for one of these values of an axis."""
    rows = [bool(values & set(values_in(text))) for text in frame[axis]]
    return frame[np.array(rows, dtype=bool)]


def _gains(runs: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """As `pairs`: the gain at b minus that at a, of the same task, seed and settings."""
    ((axis, (first, second)),) = claim.gain.items()
    gains = {}
    for value in levels(runs[claim.axis]):
        if value == IDLE:
            continue
        table = pairs(_at(runs, {claim.axis: value}), axis)
        sign = np.select(
            [(table["a"] == first) & (table["b"] == second),
             (table["a"] == second) & (table["b"] == first)], [1.0, -1.0], np.nan,
        )  # fmt: skip
        gains[value] = table.assign(difference=sign * table["difference"])[~np.isnan(sign)]
    keys, tables = ["task", "seed", "setting"], []
    for a, b in combinations(gains, 2):
        both = gains[a].merge(gains[b], on=keys, suffixes=("_a", "_b"))
        both = both.assign(a=a, b=b, difference=both["difference_b"] - both["difference_a"])
        both = both.assign(stratum=both["task"], block=both["task"])
        tables.append(both[["a", "b", *keys, "stratum", "block", "difference"]])
    return pd.concat(tables, ignore_index=True)


def _runs_of(every: pd.DataFrame, claim: Claim, values: tuple[str, str]) -> pd.DataFrame:
    """The runs of the cells of a contrast."""
    wanted = {claim.axis: set(values), **{axis: set(pair) for axis, pair in claim.gain.items()}}
    for axis, known in wanted.items():
        every = _with(every, axis, known)
    return every


def _finished(table: pd.DataFrame, every: pd.DataFrame, claim: Claim) -> "pd.Series[bool]":
    """For each pair, whether no run of its two cells on its task is still to be made."""
    waiting = every[~every["status"].isin(["done", "failed"])]
    open_ = {
        (a, b, task)
        for a, b in table[["a", "b"]].drop_duplicates().itertuples(index=False)
        for task in _runs_of(waiting, claim, (a, b))["task"]
    }
    keys = zip(table["a"], table["b"], table["stratum"], strict=True)
    return pd.Series([key not in open_ for key in keys], index=table.index, dtype=bool)


def _enough(own: pd.DataFrame, family: int, margin: float) -> int | None:
    """The seeds that find a true difference of the margin; None: above 1,000, or not known."""
    means = own.groupby(["stratum", "seed"], sort=False)["difference"].mean()
    spread = 100 * means.groupby("stratum").std()
    if not (spread > 0).all():
        return None
    return needed(Design(tuple(map(float, spread)), LEVEL / family), margin)
