"""guideline.md: the answers that follow from a study's numbers; and the same as data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kd.results.advice.advice import advise
from kd.results.advice.likeness import Likeness, likeness
from kd.results.advice.soundness import above_floor
from kd.results.advice.verdict import Advice, Contrast
from kd.results.record import Record, load_record, warned
from kd.results.report.answers import answer
from kd.results.report.cautions import cautions, dev_noise
from kd.results.report.evidence import evidence, limits
from kd.results.report.findings import winners
from kd.results.report.likeness import likeness_answer
from kd.results.report.words import Names, names_of, points
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import control_of, levels
from kd.results.statistics.selection import chosen_note
from kd.runtime.files import atomic_write
from kd.runtime.words import count
from kd.study.check import MARGIN
from kd.study.pruned import PrunedValue, pruned_values

STRENGTH = {
    "strong": "Every other value is significantly worse or equal within the margin, and the best "
    "one is above the average of the others on at least two thirds of the tasks and settings.",
    "moderate": "Every other value is significantly worse or equal within the margin, but the best "
    "one is above the average of the others on fewer than two thirds of the tasks or settings.",
    "weak": "Some differences are significant, but no single value is shown to be the best.",
    "none": "No difference between two values is significant.",
    "mixed": "The values differ, but the study ran a part of its grid, in which interactions "
    "of other axes may be part of the difference, or all of it.",
    "trade-off": "No two students are of equal size, so the price of size is shown, not judged.",
    "open": "This study does not answer it.",
}


def as_data(
    advice: Advice,
    margin: float = 0.5,
    names: Names | None = None,
    pruned: Sequence[PrunedValue] = (),
) -> dict[str, Any]:
    """One answer for programs: values in the study's words, differences in points.

    `difference`, `interval` and `p` are those of `best` less the next best value; `contrasts` has
    them for every other value.
    """
    words = (names or {}).get(advice.axis, {})

    def told(contrasts: Sequence[Contrast]) -> list[str]:
        return [words.get(c.other, c.other) for c in contrasts]

    def number(value: float) -> float | None:
        return None if pd.isna(value) else round(float(value), 4)

    def interval(c: Contrast) -> list[float | None] | None:
        return None if pd.isna(c.low) else [number(c.low), number(c.high)]

    rival = advice.others[0] if advice.others else None
    every = (*advice.equal, *advice.not_worse, *advice.worse)
    return {
        "axis": advice.axis,
        "question": advice.question,
        "answer": answer(advice, margin, names),
        "best": words.get(advice.best, advice.best) or None,
        "equal": told(advice.equal),
        "not_worse": told(advice.not_worse),
        "worse": told(advice.worse),
        "strength": advice.strength,
        "difference": number(rival.difference) if rival else None,
        "interval": interval(rival) if rival else None,
        "p": number(rival.p) if rival else None,
        "measure": "score",
        "margin": margin,
        "limits": limits(advice, names, pruned),
        "contrasts": [
            {
                "value": words.get(c.other, c.other),
                "difference": number(c.difference),
                "interval": interval(c),
                "p": number(c.p),
                "pairs": c.pairs,
                "planned": c.planned,
                **({"look": c.look} if c.look else {}),
            }
            for c in every
        ],
        "depends_on": [partner.axis for partner in advice.partners],
    }


def advice_data(record: Record) -> list[dict[str, Any]]:
    """The answers to all questions, for programs."""
    margin, names, pruned = _settings(record)
    rows = [as_data(a, margin, names, pruned) for a in advise(record.runs, margin)]
    if alike := likeness(prepare(record.runs), margin):
        told = as_data(alike.agreement, margin, names, pruned)
        score = {
            "best_score": alike.best_score,
            "score_difference": round(alike.gap.difference, 4) if alike.gap else None,
            "score_p": round(float(alike.gap.p), 4)
            if alike.gap and alike.gap.p == alike.gap.p
            else None,
        }
        rows.append(
            {**told, "measure": "agreement", "answer": likeness_answer(alike, names), **score}
        )
    return rows


def _settings(record: Record) -> tuple[float, Names, list[PrunedValue]]:
    margin = record.study.margin if record.study else MARGIN
    return margin, names_of(record.study), pruned_values(record.grid)


@dataclass(frozen=True)
class Answer:
    """One question with all its sentences; `asked` is false where the study does not vary it."""

    axis: str
    question: str
    asked: bool
    text: str
    strength: str
    scale: str  # how the numbers of the evidence are to be read
    evidence: list[str]
    limits: list[str]


def evidence_scale(comparisons: int) -> str:
    """How the differences, intervals and p values of the evidence are to be read."""
    text = "Evidence, with differences in points and 95 % intervals"
    if comparisons > 1:
        text += f"; p values are corrected for {comparisons} comparisons, intervals are not"
    return f"{text}:"


def answers(record: Record) -> list[Answer]:
    """The answers to all questions: those that the study asks first."""
    margin, names, pruned = _settings(record)
    control = control_of(record.runs)
    every = [
        Answer(
            a.axis,
            a.question,
            a.strength != "open" or a.why in ("undone", "chance", "mixed"),
            answer(a, margin, names),
            a.strength,
            evidence_scale(a.comparisons),
            evidence(a, margin, names, control),
            limits(a, names, pruned),
        )
        for a in advise(record.runs, margin)
    ]
    if alike := likeness(prepare(record.runs), margin):
        every.insert(1, _likeness(alike, margin, names, pruned))
    return sorted(every, key=lambda a: not a.asked)


def _likeness(
    alike: Likeness, margin: float, names: Names, pruned: Sequence[PrunedValue]
) -> Answer:
    """The answer on likeness to the teacher, beside that on knowledge."""
    judged = alike.agreement
    scale = evidence_scale(judged.comparisons).replace("in points", "in points of agreement")
    return Answer(
        judged.axis,
        judged.question,
        True,
        likeness_answer(alike, names),
        judged.strength,
        scale,
        evidence(judged, margin, names),
        limits(judged, names, pruned),
    )


def guideline_text(record: Record, name: str) -> str:
    """guideline.md of a study; `name` is its title where there is no study file."""
    question = record.study.question if record.study else ""
    every = answers(record)
    asked = [a for a in every if a.asked]
    parts = [
        f"# Guideline from the study {record.study.name if record.study else name}",
        question,
        bullets(cautions(record)),
        f"{rests_on(record)} {how_judged(record)}",
        answers_table(asked),
        *(part for a in asked for part in section(a)),
    ]
    if rest := [a for a in every if not a.asked]:
        parts += ["## Not answered by this study", bullets(f"{a.question} {a.text}" for a in rest)]
    told = (*winners(above_floor(record.runs)), dev_noise(record.runs))
    if sure := [text for text in told if text]:
        parts += ["## How sure", *sure]
    return "\n\n".join(part for part in parts if part) + "\n"


def rests_on(record: Record) -> str:
    """How many runs, tasks, seeds and teachers the answers rest on."""
    finished = above_floor(record.runs)
    finished = finished[finished["score"].notna()]
    tasks, seeds = levels(finished["task"]), levels(finished["seed"])
    tuned = f" at the chosen {' and '.join(record.selection.axes)}" if record.selection else ""
    return (
        f"These answers rest on {len(finished):,} of {count(len(record.runs), 'run')}{tuned}: "
        f"{count(len(tasks), 'task')} ({', '.join(tasks)}), {count(len(seeds), 'seed')}, teacher "
        f"{', '.join(levels(finished['teacher']))}."
    )


def how_judged(record: Record) -> str:
    """What all answers of a study have in common."""
    margin, *_ = _settings(record)
    return (
        "The value that is called best has the highest mean on dev, so its lead is optimistic, "
        "and more so if many values were tried. Two values count as equal where the whole 95 % "
        f"interval of their difference lies within {points(margin)} (the study's key `margin`). "
        "Intervals are over seeds; they do not cover other dev examples or new tasks."
        + chosen_note(record.selection)
    )


def answers_table(entries: Sequence[Answer]) -> str:
    """A table of questions, answers and strengths; '' without questions."""
    rows = [f"| {a.question} | {_cell(a.text)} | {a.strength} |" for a in entries]
    return "\n".join(["| question | answer | strength |", "|---|---|---|", *rows] if rows else [])


def section(entry: Answer) -> list[str]:
    """The paragraphs on one question."""
    return [
        f"## {entry.question}",
        entry.text,
        f"**Strength: {entry.strength}.** {STRENGTH[entry.strength]}",
        *([entry.scale, bullets(entry.evidence)] if entry.evidence else []),
        *(["Limits:", bullets(entry.limits)] if entry.limits else []),
    ]


def bullets(texts: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {text}" for text in texts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write_guideline(runs_csv: Path, out: Path, study: Path | None = None) -> None:
    """Write guideline.md; the same runs give the same bytes."""
    record = warned(load_record(runs_csv, study))
    atomic_write(out, guideline_text(record, out.resolve().parent.name))
