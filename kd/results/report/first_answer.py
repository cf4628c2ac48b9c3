"""The first answer of the README: what the reference study says on one task, once it is done."""

from pathlib import Path

from kd.results.numbers import NOTHING
from kd.results.record import load_record
from kd.results.report.reference import figure_name, markdown_table
from kd.results.report.words import signed, span
from kd.results.statistics.cells import describe
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import each
from kd.runtime.files import read_json
from kd.study.paths import MADE, RECORD, RECORDED


def first_answer(folder: Path, pictures: str) -> str:
    """What the study `knowledge` says on TREC, for the README; '' until all its runs are done.

    Args:
        folder: of the records.
        pictures: link to the folder of the page's figures, from the README.
    """
    place = folder / "knowledge"
    made = read_json(place / MADE) if (place / MADE).is_file() else {"done_by_task": {}}
    done, planned = made["done_by_task"].get("trec", (0, 1))
    if done < planned:
        return ""
    record = load_record(place / RECORD, place / RECORDED, planned=False)
    runs = record.runs[record.runs["task"] == "trec"]
    cells = describe(prepare(runs), ["knowledge"])
    seeds, examples = runs["seed"].nunique(), int(runs["examples_eval"].max())
    rows = [
        [
            f"`{cell.knowledge}`" + ", hard labels alone" * (cell.knowledge == "none"),
            f"{100 * cell.mean:.1f} ({100 * cell.low:.1f} to {100 * cell.high:.1f})",
            NOTHING
            if cell.knowledge == "logits"
            else f"{signed(100 * cell.difference)} "
            f"({span(100 * cell.difference_low, 100 * cell.difference_high)})",
        ]
        for cell in each(cells)
    ]
    teacher = runs["teacher_score"].mean()
    limit = (
        "The best students are within 1 point of their teacher or above it, so this task leaves "
        "little room for differences. "
        if cells["mean"].max() > teacher - 0.01
        else ""
    )
    return "\n\n".join(
        [
            "## A first answer",
            f"![Score by what the student learns from]({pictures}/{figure_name('knowledge')})",
            f"On TREC ({examples} dev questions of 6 kinds), a teacher of 6 layers has "
            f"{100 * teacher:.1f} points. Its students have 3 layers. "
            f"These are means over {seeds} seeds with 95 % intervals, each at the learning rate "
            f"that is best for it on held-out training examples:",
            markdown_table(["the student learns from", "points", "less those of `logits`"], rows),
            f"{limit}[The results of the reference study](docs/reference-results.md) have more "
            "tasks and questions, and compare them with what papers claim.",
        ]
    )
