"""The first answer of the README: what the reference study says on the tasks that are done."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kd.results.advice.verdict import LEVEL
from kd.results.numbers import NOTHING
from kd.results.record import load_record
from kd.results.report.guideline import advice_data
from kd.results.report.reference import figure_name, markdown_table
from kd.results.report.words import points, signed, span
from kd.results.statistics.cells import describe
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, each
from kd.runtime.files import read_json
from kd.runtime.words import listed
from kd.study.paths import MADE, RECORD, RECORDED

# How the README names the tasks; the rest of SST-2's training set is not used.
_TASKS = {
    "trec": "TREC",
    "sst2": "SST-2, a tenth",
    "stsb": "STS-B",
    "mrpc": "MRPC",
    "cola": "CoLA",
}


def first_answer(folder: Path, pictures: str) -> str:
    """What the study `knowledge` says, for the README; '' until all its runs on a task are done.

    Args:
        folder: of the records.
        pictures: link to the folder of the page's figures, from the README.
    """
    place = folder / "knowledge"
    made = read_json(place / MADE) if (place / MADE).is_file() else {"done_by_task": {}}
    whole = {task for task, (done, planned) in made["done_by_task"].items() if done == planned}
    tasks = [task for task in _TASKS if task in whole]
    if not tasks:
        return ""
    record = load_record(place / RECORD, place / RECORDED, planned=False)
    runs = record.runs[record.runs["task"].isin(tasks)]
    answers = advice_data(replace(record, runs=runs))
    table = describe(prepare(runs), ["knowledge", "task"])
    compared = AVERAGE if len(tasks) > 1 else tasks[0]
    cells = {(cell.knowledge, cell.task): cell for cell in each(table)}
    rows = [
        [
            f"`{value}`" + ", hard labels alone" * (value == "none"),
            *(_points(cells[value, task]) for task in tasks),
            NOTHING if value == "logits" else _difference(cells[value, compared]),
        ]
        for value in dict.fromkeys(table["knowledge"])
    ]
    teachers = runs.groupby("task")["teacher_score"].mean()
    rows.append(["the teacher itself", *(f"{100 * teachers[task]:.1f}" for task in tasks), NOTHING])
    where = f"mean of {len(tasks)} tasks" if len(tasks) > 1 else _TASKS[tasks[0]]
    header = ["a student learns from", *map(_TASKS.get, tasks), f"minus `logits`, {where}"]
    return "\n\n".join(
        [
            "## A first answer",
            f"![Score by what the student learns from]({pictures}/{figure_name('knowledge')})",
            f"A teacher of 6 layers and students of 3 layers, on public data. Scores are points "
            f"(score × 100) on the dev split (the validation set): means over "
            f"{runs['seed'].nunique()} seeds with 95 % intervals. Each row has, on each task, the "
            f"learning rate that is best for it on held-out training examples. "
            f"[docs/axes.md](docs/axes.md#knowledge) explains the kinds of knowledge.",
            markdown_table([str(name) for name in header], rows),
            _in_words(next(answer for answer in answers if answer["axis"] == "knowledge")),
            "[The results of the reference study](docs/reference-results.md) answer more "
            "questions, and compare the answers with what papers claim.",
        ]
    )


def _in_words(answer: dict[str, Any]) -> str:
    """The answer in short: the numbers are in the table."""
    if not answer["best"]:
        return str(answer["answer"])
    beaten = [
        c
        for c in answer["contrasts"]
        if c["difference"] > 0 and c["p"] is not None and c["p"] < LEVEL
    ]
    others = [f"`{c['value']}`" for c in answer["contrasts"] if c not in beaten]
    parts = [f"`{answer['best']}` has the highest mean"]
    if beaten:
        told = [f"`{c['value']}`{_if_small(c, answer['margin'])}" for c in beaten]
        parts.append(f"It is significantly better than {listed(told)}")
    if others:
        parts.append(f"It is not significantly better than {listed(others, 'or')}")
    if answer["depends_on"]:
        parts.append(f"The differences depend on the {listed(answer['depends_on'])}")
    return ". ".join(parts) + "."


def _if_small(contrast: dict[str, Any], margin: float) -> str:
    """That a significant difference does not matter: its whole interval is within the margin."""
    low, high = contrast["interval"]
    return f" (by less than {points(margin)})" * (-margin <= low and high <= margin)


def _points(cell: Any) -> str:
    return f"{100 * cell.mean:.1f} ({100 * cell.low:.1f} to {100 * cell.high:.1f})"


def _difference(cell: Any) -> str:
    between = span(100 * cell.difference_low, 100 * cell.difference_high)
    return f"{signed(100 * cell.difference)} ({between})"
