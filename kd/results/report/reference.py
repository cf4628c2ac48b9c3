"""The page of several records with claims: how far they are, verdicts, guidelines, how it was made.

All of it is computed from a folder with claims.yaml and a record in each folder below it. A study
without runs.csv is one that has not been run.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd.axes.figures import axis_words
from kd.results.advice.claims import Claim, read_claims
from kd.results.advice.verdicts import (
    CONFIRMED,
    CONTRADICTED,
    OPEN,
    UNDECIDED,
    Finding,
    judged,
    overall,
)
from kd.results.numbers import NOTHING, p_text
from kd.results.record import Record, load_record
from kd.results.report.cautions import cautions
from kd.results.report.guideline import (
    answers,
    answers_table,
    bullets,
    how_judged,
    rests_on,
    section,
)
from kd.results.report.words import points, signed, span
from kd.runtime.files import read_json
from kd.runtime.hashes import short_hash
from kd.runtime.words import count, listed
from kd.study.check import Study, load_study
from kd.study.paths import MADE, RECORD, RECORDED

CLAIMS = "claims.yaml"
CLAIMS_FIGURE = "claims"
Table = Iterable[Sequence[str]]


@dataclass(frozen=True)
class Collection:
    """Studies, their records as far as there are some, and the claims with their findings. Studies
    are named by their folders."""

    folder: Path
    studies: dict[str, Study]
    records: dict[str, Record]
    made: dict[str, dict[str, Any]]
    findings: list[tuple[Claim, list[Finding]]]

    def axis(self, name: str) -> str:
        """The axis that a study is about: that of its first claim."""
        return next((c.axis for c, _ in self.findings if c.study == name), "knowledge")

    def margins(self) -> list[float]:
        """The margin of each claim's study, in points."""
        return [self.studies[claim.study].margin for claim, _ in self.findings]

    def drawn(self, name: str) -> list[str]:
        """The tasks in the figure of a study: those with a complete cell."""
        if name not in self.records:
            return []
        runs = self.records[name].runs
        return list(dict.fromkeys(runs.loc[runs["score"].notna(), "task"]))


def read_collection(folder: Path) -> Collection:
    """Read claims and records, and judge the claims.

    Studies come in the order of the claims; those without a claim come last.

    Raises:
        UserError: a file is missing or wrong.
    """
    studies = {path.parent.name: load_study(path) for path in sorted(folder.glob(f"*/{RECORDED}"))}
    claims = read_claims(folder / CLAIMS, studies)
    order = list(dict.fromkeys([*(claim.study for claim in claims), *studies]))
    records = {
        name: load_record(folder / name / RECORD, folder / name / RECORDED, planned=False)
        for name in order
        if (folder / name / RECORD).is_file()
    }
    made = {name: read_json(folder / name / MADE) for name in records}
    findings = [(c, judged(c, records.get(c.study), studies[c.study].margin)) for c in claims]
    return Collection(folder, {name: studies[name] for name in order}, records, made, findings)


def page_text(collection: Collection, design: str, place: str) -> str:
    """The page.

    Args:
        collection: what it is made of.
        design: link to the page on the design, from this page.
        place: link to the folder of the records, from this page.
    """
    shown = place.removeprefix("../")
    example = next(iter(collection.records or collection.studies))
    parts = [
        "# Results of the reference study",
        f"<!-- Made by `make reference` of {shown}, digest {digest(collection.folder)}. -->",
        f"[The reference study]({design}) has the design and the hypotheses, which were written "
        f"before the runs. This page, including the verdicts, is computed from the records in "
        f"[{shown}]({place}).",
        "## How far it is",
        markdown_table(["study", "question", "runs done", "by task"], _progress(collection)),
        "## What papers claim, and what this says",
        tally(collection),
        markdown_table(["", "claim", "source", "verdict"], _claims(collection)),
        *[
            f"{i}: {claim.note}"
            for i, (claim, _) in enumerate(collection.findings, 1)
            if claim.note
        ],
        f"![Difference of each contrast with its 95 % interval]({figure_name(CLAIMS_FIGURE)})",
        "### Evidence",
        _explained(collection),
        markdown_table(
            ["claim", "contrast", "points", "95 % interval", "p", "n", "verdict", "seeds needed"],
            _evidence(collection),
        ),
        *_how_judged(collection),
        *(text for name in collection.studies for text in _study(collection, name)),
        "## How it was made",
        markdown_table(
            ["study", "on", "with", "commit", "training hours", "when"], _made(collection)
        ),
        f"`make record` draws all tables, figures and reports of these records. To repeat a study, "
        f"put its data where [the design]({design}) says, and start `snakemake --configfile "
        f"{shown}/{example}/study.yaml`. Then `python -m kd compare {shown}/{example} "
        f"{collection.studies[example].name}` compares your runs with these. `python -m kd runs "
        f"STUDY --not-in {shown} --files` lists what is left to run.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def tally(collection: Collection) -> str:
    """How many claims have which verdict, in a sentence."""
    verdicts = [overall(claim, findings) for claim, findings in collection.findings]
    told = [
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in (CONFIRMED, CONTRADICTED, UNDECIDED, OPEN)
        if verdict in verdicts
    ]
    begun = sum(any(f.so_far for f in findings) for _, findings in collection.findings)
    rest = (
        f" {count(begun, 'verdict uses', 'verdicts use')} only a part of the planned tasks so far."
    )
    return f"Of {count(len(verdicts), 'claim')}: {listed(told)}." + rest * bool(begun)


def digest(folder: Path) -> str:
    """Of all files that the page is made of."""
    names = (CLAIMS, f"*/{RECORDED}", f"*/{RECORD}", f"*/{MADE}")
    files = [path for name in names for path in sorted(folder.glob(name))]
    return short_hash([[str(p.relative_to(folder)), p.read_text(encoding="utf-8")] for p in files])


def figure_name(name: str) -> str:
    """The file of a study's figure, next to the page."""
    return f"reference-{name}.png"


def markdown_table(header: Sequence[str], rows: Table) -> str:
    """A table in Markdown; its header has one line."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )


def _how_judged(collection: Collection) -> list[str]:
    """What the sections of the studies have in common; nothing if there is no record."""
    texts = list(dict.fromkeys(how_judged(record) for record in collection.records.values()))
    return ["## How the answers are found", *texts] if texts else []


def _progress(collection: Collection) -> Iterable[list[str]]:
    for name, study in collection.studies.items():
        every = collection.records[name].every if name in collection.records else None
        if every is None or not (every["status"] == "done").any():
            yield [name, study.question, OPEN, NOTHING]
            continue
        done = (every["status"] == "done").groupby(every["task"], sort=False)
        tasks = ", ".join(f"{task} {group.sum()} of {len(group)}" for task, group in done)
        yield [name, study.question, f"{(every['status'] == 'done').sum()} of {len(every)}", tasks]


def _claims(collection: Collection) -> Iterable[list[str]]:
    for i, (claim, findings) in enumerate(collection.findings, 1):
        verdict = overall(claim, findings)
        deciding = [finding for finding in findings if finding.verdict == verdict]
        alike = _alike(verdict, deciding)
        verdict = f"**{verdict}**" + _so_far(*findings) + alike
        yield [str(i), claim.claim, claim.source, verdict]


def _so_far(*findings: Finding) -> str:
    return " so far" * any(finding.so_far for finding in findings)


def _alike(verdict: str, findings: Iterable[Finding]) -> str:
    """What to add to a claim that is contradicted only because no difference matters."""
    equal = verdict == CONTRADICTED and all(finding.equal for finding in findings)
    return ": no difference that matters" * equal


def _explained(collection: Collection) -> str:
    margins = sorted({study.margin for study in collection.studies.values()})
    margin = f"the margin of its study ({listed(map(points, margins), 'or')})"
    return (
        f"A claim is confirmed if all its contrasts confirm it, and contradicted if one contrast "
        f"contradicts it. A claim that a value is better is contradicted if it is worse, and also "
        f"if there is no difference that matters. For a claim that something matters, one contrast "
        f"is enough to confirm it, and all are needed to contradict it. Differences are judged as "
        f"in the guidelines: one does not matter if its whole interval lies within {margin}. "
        f"Otherwise there is a difference if p is below 0.05 after Holm's correction over all "
        f"planned pairs of values. That a value is *not better* is confirmed if the whole interval "
        f"is below the margin. A contrast uses the tasks on which all runs of its cells are "
        f"finished (n). Intervals are over seeds, for these dev splits and one teacher. The column "
        f"*seeds needed* has the number of seeds that find a true difference of this margin with "
        f"probability 0.8, and how many more runs they need on these tasks. Showing that there "
        f"is no such difference can take more seeds."
    )


def _evidence(collection: Collection) -> Iterable[list[str]]:
    for i, (claim, findings) in enumerate(collection.findings, 1):
        for finding in findings:
            yield [str(i), contrast_text(claim, finding), *_numbers(finding), *_decided(finding)]


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


def _decided(finding: Finding) -> list[str]:
    """The verdict, and how many seeds find a difference of the margin."""
    verdict = finding.verdict + _so_far(finding) + _alike(finding.verdict, [finding])
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


def _study(collection: Collection, name: str) -> list[str]:
    """The section of a study: its figure, and its answers, that on its own axis in full."""
    title = f"## {axis_words(name).replace('-', ' ').capitalize()}"
    if name not in collection.records:
        return [title, f"{collection.studies[name].question} Not run yet."]
    record, axis = collection.records[name], collection.axis(name)
    asked = [a for a in answers(record) if a.asked]
    own = [a for a in asked if a.axis == axis]
    others = [a for a in asked if a.axis != axis]
    return [
        title,
        *_figure(collection, name),
        collection.studies[name].question,
        bullets(cautions(record)),
        rests_on(record),
        *(re.sub("^## ", "### ", part) for a in own for part in section(a)),
        *(["### Other questions", answers_table(others)] if others else []),
    ]


def _figure(collection: Collection, name: str) -> list[str]:
    """The figure of a study and its caption; nothing until a cell is complete."""
    if not (drawn := collection.drawn(name)):
        return []
    rest = [t for t in dict.fromkeys(collection.records[name].runs["task"]) if t not in drawn]
    absent = f" No cell is complete on {listed(rest)}." if rest else ""
    text = f"Effect of {axis_words(collection.axis(name))} in the study {name}"
    return [
        f"![{text}]({figure_name(name)})",
        "Marks are means with their 95 % t interval over seeds; dots are runs." + absent,
    ]


def _made(collection: Collection) -> Iterable[list[str]]:
    for name, made in collection.made.items():
        if made["done"]:
            on = f"{_values(made, 'device')}; threads: {_values(made, 'threads')}"
            versions = [
                f"{key.split('_')[0]} {_values(made, key)}" for key in made if "_ver" in key
            ]
            when = f"{made['first'][:10]} to {made['last'][:10]}"
            commit = made["commit"] or "not recorded"
            yield [name, on, ", ".join(versions), commit, f"{made['train_hours']:.1f}", when]


def _values(made: dict[str, Any], key: str) -> str:
    return " or ".join(made[key])
