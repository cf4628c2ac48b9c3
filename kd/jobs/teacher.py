"""Rule `teacher`: one fine-tuned teacher, its scores and its exported model."""

import sys
from pathlib import Path
from typing import Any

from kd.axes.constant_answer import is_unusable, teacher_warning
from kd.data import tokens
from kd.data.subset import examples_of
from kd.encoders import build
from kd.encoders.save import save_model
from kd.jobs.assistant import make_assistant
from kd.jobs.circumstances import circumstances
from kd.jobs.inputs import text_fingerprint, tokens_fingerprint
from kd.jobs.record import environment, now, training_record
from kd.jobs.select_teacher import select_teacher
from kd.jobs.setup import made_meanwhile, prepare_device
from kd.losses.objective import Objective
from kd.runtime.errors import UserError, unknown
from kd.runtime.hashes import model_fingerprint
from kd.runtime.progress import Progress, step_state
from kd.runtime.provenance import model_commit, weights_dtype
from kd.runtime.seals import check_seal, write_record
from kd.study.grid import Grid
from kd.study.paths import CHECKPOINT, HISTORY, METRICS, MODEL, PREDICTIONS, Layout
from kd.study.teacher import Teacher
from kd.training.checkpoint import Checkpoint
from kd.training.evaluation import evaluate, slice_scores
from kd.training.history import write_history
from kd.training.loop import Job, fit
from kd.training.predictions import write_predictions


def run_teacher(grid: Grid, layout: Layout, teacher_id: str, threads: int) -> None:
    """Fine-tune a teacher (unless it is fine-tuned already), evaluate it, and export it."""
    teachers = grid.teachers
    if teacher_id not in teachers:
        raise unknown(f"{grid.study.path}: teacher", teacher_id, teachers)
    teacher = teachers[teacher_id]
    folder = layout.teacher(teacher)
    with step_state(folder, "teacher") as progress:
        if progress.waited and made_meanwhile(folder, METRICS):
            return
        if teacher.candidates:
            select_teacher(teacher, layout)
        elif teacher.student_of:
            make_assistant(teacher, teacher.student_of, layout)
        else:
            _teacher(teacher, layout, folder, threads, progress)


def _teacher(
    teacher: Teacher, layout: Layout, folder: Path, threads: int, progress: Progress
) -> None:
    device = prepare_device(threads, progress)
    task, recipe = teacher.task_row, teacher.recipe
    source = check_seal(layout.tokens(teacher.data_id, teacher.task, teacher.tokens_id))
    config = build.saved_config(source)
    own_labels = build.encoder_config(teacher.encoder).id2label
    model = build.load_encoder(
        teacher.encoder, config, teacher.dtype, recipe["seed"], teacher.finetuned
    )
    record: dict[str, Any] = {}
    checkpoint = Checkpoint(
        folder / CHECKPOINT,
        {
            "teacher": teacher.id,
            "tokens": tokens_fingerprint(source),
            **circumstances(device, threads),
        },
    )
    if teacher.finetuned:
        build.align_labels(model, task, own_labels, teacher.order)
        write_history(folder / HISTORY, [])  # an output of the rule, if jobs share no disk
    else:
        shape = teacher.encoder.shape
        objective = Objective((), task.kind, shape, shape, {})
        split = tokens.load_split(source, "train")
        examples = examples_of(split, recipe, task.kind)
        known = split.labels if examples is None else split.labels[examples]
        build.start_at_mean(model, task, known)
        job = Job(device, progress, "fine-tuning", checkpoint)
        result = fit(model, objective, split, recipe, job, examples=examples)
        record |= training_record(result, split if examples is None else examples)
        write_history(folder / HISTORY, result.history)
    metrics, answers = evaluate(model, source, task, device, progress)
    if not teacher.finetuned:
        metrics |= slice_scores(model, source, task, recipe, device, progress)
    if warning := teacher_warning(task, {**metrics, "finetuned": teacher.finetuned}):
        if teacher.finetuned and is_unusable(metrics):
            raise UserError(f"teachers.{teacher.name}: {teacher.encoder.location}: {warning}")
        print(f"warning: teacher {teacher.name}: {warning}", file=sys.stderr)
    write_predictions(folder / PREDICTIONS, answers)
    save_model(model, source, folder / MODEL)
    write_record(
        folder / METRICS,
        {
            "teacher": teacher.name,
            "teacher_id": teacher.id,
            "task": teacher.task,
            "model": dict(teacher.encoder.identity),
            "shape": str(teacher.encoder.shape),
            "finetuned": teacher.finetuned,
            **recipe,
            **metrics,
            **build.sizes(model),
            **({"teacher_warning": warning} if warning else {}),
            "dtype": weights_dtype(model),
            "model_revision": model_commit(teacher.encoder.location, teacher.encoder.revision),
            **record,
            **environment(device, threads),
            "created": now(),
            "data_fingerprint": text_fingerprint(source),
            "fingerprint": model_fingerprint(folder / MODEL),
        },
    )
    checkpoint.remove()
