"""The tables of claims: verdicts, the contrasts behind them, and how they are judged."""

import re
from collections.abc import Iterable, Sequence

from kd.results.advice.claims import Claim
from kd.results.advice.verdicts import (
    CONFIRMED,
    CONTRADICTED,
    OPEN,
    UNDECIDED,
    Finding,
    Judged,
)
from kd.results.numbers import NOTHING, p_text
from kd.results.report.words import points, signed, span
from kd.runtime.words import count, listed

_SAME = "the same"


def tally(claims: Sequence[Judged]) -> str:
    """How many claims have which verdict, and how many verdicts rest on a choice."""
    verdicts = [one.verdict for one in claims]
    told = [
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in (CONFIRMED, CONTRADICTED, UNDECIDED, OPEN)
        if verdict in verdicts
    ]
    begun = sum(any(f.so_far for f in one.findings) for one in claims)
    rest = f" {count(begun, 'verdict uses', 'verdicts use')} only a part of the planned tasks."
    text = f"Of {count(len(verdicts), 'claim')}: {listed(told)}." + rest * bool(begun)
    return text + _changes(claims)


def _changes(claims: Sequence[Judged]) -> str:
    """How many verdicts rest on a choice that the held-out slice does not make; '' if none can."""
    if not any(one.others for one in claims):
        return ""
    changed = sum(bool(one.other_verdicts) for one in claims)
    return (
        f" {count(changed, 'verdict changes', 'verdicts change')} if cells have other tuned values "
        f"that are as good on the held-out slice (column *with other choices*). "
        f"Several claims share a contrast or cells, so the verdicts are not independent. They are "
        f"not corrected for the number of claims."
    )


CLAIMS_HEADER = ("", "claim", "source", "verdict", "with other choices")


def claims_rows(claims: Sequence[Judged]) -> Iterable[list[str]]:
    """A row for each claim."""
    for i, one in enumerate(claims, 1):
        deciding = [finding for finding in one.findings if finding.verdict == one.verdict]
        part = _on_part(deciding or one.findings)
        told = f"**{one.verdict}**" + part + _alike(one.verdict, deciding, one.margin)
        others = _or(one.other_verdicts) if one.others else NOTHING
        yield [str(i), one.claim.claim, one.claim.source, told, others]


def _or(others: Sequence[str]) -> str:
    """What else a verdict can be: `or undecided`, or `the same`."""
    return f"or {listed(others, 'or')}" if others else _SAME


def _on_part(findings: Sequence[Finding]) -> str:
    """On how many tasks, where these are not all; of several contrasts, the fewest."""
    part = [(len(f.tasks), f.planned) for f in findings if f.so_far]
    return " on {} of {} tasks".format(*min(part)) if part else ""


def _alike(verdict: str, findings: Sequence[Finding], margin: float) -> str:
    """What to add to a claim that is contradicted only because no difference matters, with the
    tasks on which a mean difference would."""
    if verdict != CONTRADICTED or not all(finding.equal for finding in findings):
        return ""
    tasks = max(len(finding.tasks) for finding in findings)
    by_task = [one for finding in findings for one in finding.by_task]
    far = list(dict.fromkeys(task for task, gap in by_task if abs(gap) > margin))
    larger = f" (larger on {listed(far)})" if far else ""
    return f": no difference of {points(margin)}" + (" on average" + larger) * (tasks > 1)


RULES_HEADER = ("the claim says", "confirmed if", "contradicted if")
RULES = (
    ("a value is better", "it is significantly better", "it is significantly worse, or equal"),
    ("a value is not better", "its interval is below the margin", "it is significantly better"),
    ("values are equal", "they are equal", "they are significantly different"),
    ("values are different", "they are significantly different", "they are equal"),
)


def explained(margins: Iterable[float]) -> list[str]:
    """How verdicts are made, after the table of `RULES`: paragraphs."""
    return [
        f"Two values are *equal* if the whole 95 % interval of their difference lies within the "
        f"margin of the study ({listed(map(points, sorted(set(margins))), 'or')}). A difference is "
        f"*significant* if they are not equal, and p is below 0.05 after Holm's correction over "
        f"all planned pairs of values. A contrast that is neither confirmed nor contradicted is "
        f"undecided.",
        "A claim with several contrasts is confirmed if all are confirmed, and contradicted if one "
        "is contradicted. For a claim that values are different, one confirmed contrast is enough, "
        "and all must be contradicted.",
        "A contrast uses the tasks on which all runs of its cells are finished (n). The sections "
        "on the studies are stricter: there, values are equal only if all planned tasks are "
        "finished. Intervals are over seeds, for these dev splits and one teacher.",
        "The column *with other choices* shows what happens if cells have other tuned values that "
        "are as good on the held-out slice, in all combinations. If there are more than 256, only "
        "the cells of one contrast change at a time. The column has the lowest and the highest "
        "difference, and the other verdicts.",
        "The column *seeds needed* has the number of seeds that find a true difference of the "
        "margin in 80 % of studies, and how many more runs they need on these tasks. They may not "
        "be enough to show that values are equal.",
    ]


EVIDENCE_HEADER = (
    *("claim", "contrast", "points", "95 % interval", "p", "n", "verdict"),
    *("with other choices", "seeds needed"),
)


def evidence_rows(claims: Sequence[Judged]) -> Iterable[list[str]]:
    """A row for each contrast of each claim."""
    for i, one in enumerate(claims, 1):
        for k, finding in enumerate(one.findings):
            told, seeds = _decided(finding, one.margin)
            chosen = [other[k] for other in one.others if other[k].tasks]
            head = [str(i), contrast_text(one.claim, finding), *_numbers(finding), told]
            yield [*head, _with_others(finding, chosen), seeds]


def _with_others(finding: Finding, others: Sequence[Finding]) -> str:
    """The range of the difference with other choices, and other verdicts."""
    if not others or not finding.tasks:
        return NOTHING
    differences = [finding.difference, *(other.difference for other in others)]
    least, most = min(differences), max(differences)
    between = _SAME if most - least < 0.05 else span(least, most)
    changed = dict.fromkeys(o.verdict for o in others if o.verdict != finding.verdict)
    return f"{between}, {_or(list(changed))}" if changed else between


def contrast_text(claim: Claim, finding: Finding) -> str:
    """The difference that a contrast tests, in Markdown."""
    value, other = (re.sub(r"(\dL-\d+)-\d+h-\d+$", r"\1", text) for text in finding.contrast)
    text = f"`{value}` − `{other}`"
    for first, second in claim.gain.values():
        text = f"gain of `{second}` over `{first}`: {text}"
    settings = ", ".join(f"`{setting}`" for setting in claim.at.values())
    return f"{text} (at {settings})" if settings else text


def _numbers(finding: Finding) -> list[str]:
    """Difference, interval, p, n."""
    if not finding.tasks and finding.floor and not finding.planned:
        return [NOTHING, NOTHING, NOTHING, f"{listed(finding.floor)}: at the constant answer"]
    if not finding.tasks:
        runs = f"{finding.done} of {finding.runs} runs" if finding.done else NOTHING
        return [NOTHING, NOTHING, NOTHING, runs]
    low_high = NOTHING if finding.low != finding.low else span(finding.low, finding.high)
    floor = f"; not {listed(finding.floor)}: at the constant answer" if finding.floor else ""
    part = f" ({len(finding.tasks)} of {finding.planned} tasks)" * finding.so_far
    n = f"{finding.seeds} seeds on {listed(finding.tasks)}{part}: {count(finding.pairs, 'pair')}"
    if len(finding.by_task) > 1:
        n += " (" + ", ".join(f"{task} {signed(gap)}" for task, gap in finding.by_task) + ")"
    n += floor
    return [signed(finding.difference), low_high, p_text(finding.p), n]


def _decided(finding: Finding, margin: float) -> list[str]:
    """The verdict, and how many seeds find a difference of the margin."""
    verdict = finding.verdict + _alike(finding.verdict, [finding], margin)
    if finding.verdict != UNDECIDED:
        return [verdict, NOTHING]
    if not finding.tasks:
        return [verdict, "its runs" if finding.planned else "students above the constant answer"]
    if finding.needed is None:
        return [verdict, "above 1,000 seeds, or not known"]
    if finding.more:
        more = f"{count(finding.more, 'run')} more"
    else:
        more = "as many as there are" if finding.needed == finding.seeds else "fewer than there are"
    return [verdict, f"{finding.needed} seeds, {more}"]
