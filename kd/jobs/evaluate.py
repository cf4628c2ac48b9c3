"""Rule `evaluate`: writes the scores of one run's student, metrics.json, and its predictions."""

from pathlib import Path
from typing import Any

import torch

from kd.encoders import build
from kd.jobs.ahead import BASIS, basis, finish
from kd.jobs.inputs import find_run, load_teacher, student_model
from kd.jobs.record import evaluation_record, run_record
from kd.jobs.setup import prepare_device
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_dir, write_json
from kd.runtime.hashes import file_digest
from kd.runtime.locks import only_one
from kd.runtime.progress import Progress, step_state
from kd.runtime.seals import check_seal, mark_emptied, read_record, write_record
from kd.study.grid import Grid
from kd.study.paths import AHEAD, METRICS, MODEL, PREDICTIONS, TRAINING, Layout
from kd.study.run import Run
from kd.training.evaluation import evaluate, slice_scores
from kd.training.fidelity import agreement
from kd.training.predictions import Predictions, read_predictions, write_predictions


def run_evaluate(grid: Grid, layout: Layout, run_id: str, threads: int) -> None:
    """Evaluate one run's exported student and write its metrics.json and predictions.parquet.

    Where the study keeps no students, its weights are removed after that.
    """
    run = find_run(grid, run_id)
    folder = layout.run(run)
    with step_state(folder, "evaluate") as progress:
        mark_emptied(folder / MODEL)
        device = prepare_device(threads, progress)
        record = _evaluated(run, layout, folder, device, threads, progress)
        finish(grid, run, layout, record)


def evaluate_ahead(
    run: Run, layout: Layout, device: torch.device, threads: int, progress: Progress
) -> None:
    """Evaluate a student in the process that trained it, for `take_ahead`.

    An error is only printed: the run's own evaluation meets it again, and reports it.
    """
    try:
        with atomic_dir(layout.run(run) / AHEAD) as made:
            write_json(made / BASIS, basis(run, layout, threads))
            record = _evaluated(run, layout, made, device, threads, progress)
            write_record(made / METRICS, record)
    except Exception as error:
        print(f"not evaluated yet: {type(error).__name__}: {error}", flush=True)


def _evaluated(
    run: Run, layout: Layout, folder: Path, device: torch.device, threads: int, progress: Progress
) -> dict[str, Any]:
    """The contents of metrics.json; the predictions are written to `folder`."""
    training = read_record(layout.run(run) / TRAINING, "model_fingerprint", "threads")
    student = student_model(run, layout)
    source = check_seal(layout.tokens(run.data_id, run.task, run.tokens_id))
    model = build.load_finetuned(student)
    metrics, answers = evaluate(model, source, run.task_row, device, progress)
    metrics |= slice_scores(model, source, run.task_row, run.values, device, progress)
    if run.needs_teacher:
        taught = teacher_predictions(run, layout, device, progress)
        metrics |= agreement(answers, taught, run.task_row)
    metrics |= evaluation_record(device, threads)
    write_predictions(folder / PREDICTIONS, answers)
    metrics["predictions_fingerprint"] = file_digest(folder / PREDICTIONS)
    return run_record(run, layout, training, metrics)


def teacher_predictions(
    run: Run, layout: Layout, device: torch.device, progress: Progress
) -> dict[str, Predictions]:
    """The predictions of a run's teacher on the dev splits.

    The teacher's job has written them. For a teacher of an older version they are computed once.
    """
    folder = layout.teacher(run.teacher)
    path = folder / PREDICTIONS
    if found := _readable(path):
        return found
    with only_one(folder / "log" / "predictions.lock", progress.wait):
        if (found := _readable(path)) is None:
            teacher = run.teacher
            source = check_seal(layout.tokens(teacher.data_id, teacher.task, teacher.tokens_id))
            model = load_teacher(run, layout)
            _, found = evaluate(model, source, teacher.task_row, device, progress)
            write_predictions(path, found)
    return found


def _readable(path: Path) -> dict[str, Predictions] | None:
    """The predictions of a file; None where it is missing or damaged."""
    try:
        return read_predictions(path)
    except UserError:
        return None
