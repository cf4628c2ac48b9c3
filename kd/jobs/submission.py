"""Rule `submission`: what a study's best students answer to the test sets of the GLUE leaderboard.

Test sets have no labels, so nothing is scored here.
"""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from kd.axes.leaderboard import SHEETS, Sheet
from kd.axes.tasks import TASKS
from kd.data.submission import Answers, answer, write_zip
from kd.data.tokens import Split, unlabelled_split
from kd.data.unlabelled import unlabelled_rows
from kd.encoders import build
from kd.encoders.exact_tokenizer import exact_tokenizer
from kd.encoders.tokenizer_files import TOKENIZER
from kd.jobs.inputs import find_run, student_model
from kd.jobs.setup import prepare_device
from kd.runtime.errors import UserError
from kd.runtime.files import write_json
from kd.runtime.progress import Progress, step_state
from kd.study.grid import Grid
from kd.study.paths import Layout
from kd.training.evaluation import predict

Entries = dict[str, dict[str, Any]]


def write_submission(
    grid: Grid, layout: Layout, chosen: Mapping[str, Mapping[str, Any]], out: Path, threads: int
) -> Entries:
    """Write the zip `out`, and beside it a .json that says of each of its files where it is from.

    Args:
        grid: the runs of a study whose data source is tsv or hub.
        layout: where its results lie.
        chosen: by task, under `run` the id of the student to ask; all else goes to the .json.
        out: the zip.
        threads: CPU threads.

    Returns:
        what the .json says, by file: `chosen` of its task, or `constant` and `why`; `examples`.

    Raises:
        UserError: a student is missing or damaged, or a test set is not of the official layout.
    """
    check_source(grid)
    data, files, entries = grid.study.data, dict[str, Answers](), Entries()
    with step_state(layout.submitting(grid.study.name), "submission") as progress:
        device = prepare_device(threads, progress)
        load = cache(partial(_student, grid, layout))
        for name, sheet in SHEETS.items():
            best = chosen.get(sheet.task)
            rows = unlabelled_rows(data, sheet) if best or data["source"] == "tsv" else None
            if best and rows:
                model, tokenizer = load(best["run"])
                length = grid.runs[best["run"]].values["max_length"]
                split = unlabelled_split(rows, TASKS[sheet.task], tokenizer, model.config, length)
                files[name] = _answers(model, sheet, split, device, progress)
                entries[name] = dict(best)
            else:
                numbers = [row["id"] for row in rows] if rows else range(sheet.examples)
                files[name] = [(number, sheet.constant) for number in numbers]
                entries[name] = {"constant": sheet.constant, "why": _why(sheet, best is not None)}
            entries[name]["examples"] = len(files[name])
        write_zip(out, files)
        write_json(out.with_suffix(".json"), {"study": grid.study.name, "files": entries})
    return entries


def check_source(grid: Grid) -> None:
    """Raises a UserError where a study's tasks are generated ones."""
    if grid.study.data["source"] == "synthetic":
        raise UserError(
            f"{grid.study.path}: data.source is synthetic, allowed for a submission: tsv, hub, "
            f"since the GLUE leaderboard has no generated tasks"
        )


def remarks(entries: Entries) -> Iterator[str]:
    """A sentence for each file that no student answered, or whose test set is not the official."""
    for name, facts in entries.items():
        if "constant" in facts:
            yield f"{name}: {facts['why']}; every answer is {facts['constant']}"
        if facts["examples"] != (official := SHEETS[name].examples):
            yield (
                f"{name}: {facts['examples']} examples, but the official test set has {official}; "
                f"the leaderboard will refuse it"
            )


def _why(sheet: Sheet, answerable: bool) -> str:
    """Why a file is filled with one answer."""
    if answerable:
        return f"data.path has no {' or '.join(sheet.tsv)}"
    return f"the study has no finished run on {TASKS[sheet.task].title}"


def _student(grid: Grid, layout: Layout, run_id: str) -> tuple[Any, Any]:
    """The exported student of a run, and its tokenizer."""
    folder = student_model(find_run(grid, run_id), layout)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    return build.load_finetuned(folder), exact_tokenizer(tokenizer, folder / TOKENIZER)


def _answers(model: Any, sheet: Sheet, split: Split, device: Any, progress: Progress) -> Answers:
    """The student's answer to each example, in the order of the split."""
    logits = predict(model, split, device, progress)
    values = logits.argmax(-1) if sheet.answers else logits.squeeze(-1)
    pairs = zip(split.ids.tolist(), values.tolist(), strict=True)
    return [(number, answer(value, sheet)) for number, value in pairs]
