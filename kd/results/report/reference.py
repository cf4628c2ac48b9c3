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
from kd.results.advice.other_choices import other_findings
from kd.results.advice.verdicts import OPEN, Judged, findings_of
from kd.results.numbers import NOTHING
from kd.results.record import Record, load_record
from kd.results.report.cautions import cautions
from kd.results.report.claims_tables import (
    CLAIMS_HEADER,
    EVIDENCE_HEADER,
    RULES,
    RULES_HEADER,
    claims_rows,
    evidence_rows,
    explained,
    tally,
)
from kd.results.report.guideline import (
    answers,
    answers_table,
    bullets,
    how_judged,
    rests_on,
    section,
)
from kd.results.statistics.pairing import prepare
from kd.results.statistics.views import axis_view
from kd.runtime.files import read_json
from kd.runtime.hashes import short_hash
from kd.runtime.words import listed
from kd.study.check import Study, load_study
from kd.study.paths import MADE, RECORD, RECORDED

CLAIMS = "claims.yaml"
CLAIMS_FIGURE = "claims"
Table = Iterable[Sequence[str]]


@dataclass(frozen=True)
class Collection:
    """Studies, their records as far as there are some, and the judged claims. Studies are named by
    their folders."""

    folder: Path
    studies: dict[str, Study]
    records: dict[str, Record]
    made: dict[str, dict[str, Any]]
    claims: list[Judged]

    def axis(self, name: str) -> str:
        """The axis that a study is about: that of its first claim."""
        return next((c.claim.axis for c in self.claims if c.claim.study == name), "knowledge")

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
    judged = [
        _judge(claim, records.get(claim.study), studies[claim.study].margin) for claim in claims
    ]
    return Collection(folder, {name: studies[name] for name in order}, records, made, judged)


def _judge(claim: Claim, record: Record | None, margin: float) -> Judged:
    findings = findings_of(claim, record, margin)
    return Judged(claim, findings, margin, other_findings(claim, record, margin))


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
        tally(collection.claims),
        markdown_table(CLAIMS_HEADER, claims_rows(collection.claims)),
        *_notes(collection.claims),
        f"![Difference of each contrast with its 95 % interval]({figure_name(CLAIMS_FIGURE)})",
        "### Evidence",
        "Each contrast is judged by what the claim says of its values:",
        markdown_table(RULES_HEADER, RULES),
        *explained(study.margin for study in collection.studies.values()),
        markdown_table(EVIDENCE_HEADER, evidence_rows(collection.claims)),
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


def _notes(claims: Sequence[Judged]) -> Iterable[str]:
    """The notes on claims, each with the numbers of its claims."""
    numbers: dict[str, list[str]] = {}
    for i, one in enumerate(claims, 1):
        numbers.setdefault(one.claim.note, []).append(str(i))
    return (f"{listed(where)}: {note}" for note, where in numbers.items() if note)


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
    axis = collection.axis(name)
    runs = collection.records[name].runs
    _, note = axis_view(prepare(runs[runs["task"].isin(drawn)]), axis)
    told = f" {note[0].upper()}{note[1:]}." if note else ""
    return [
        f"![Effect of {axis_words(axis)} in the study {name}]({figure_name(name)})",
        f"Marks are means with their 95 % t interval over seeds; dots are runs.{told}{absent}",
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
            yield [name, on, ", ".join(versions), commit, f"{made['train_hours']:.2f}", when]


def _values(made: dict[str, Any], key: str) -> str:
    return " or ".join(made[key])
