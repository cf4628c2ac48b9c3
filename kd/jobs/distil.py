"""Rule `distil`: the trained student of one run, exported, with the record of its training."""

import math
from collections.abc import Collection
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.axes.errata import PADDED
from kd.axes.extra import EXAMPLES
from kd.axes.initialisations import needs_teacher
from kd.axes.shapes import parse_shape
from kd.axes.terms import taught_keys
from kd.data import tokens
from kd.data.extra import ORIGINAL
from kd.data.subset import examples_of, with_extras
from kd.encoders import build
from kd.encoders.initialise import initialise
from kd.encoders.save import save_model
from kd.encoders.tokenizer import check_same_words
from kd.jobs.circumstances import circumstances
from kd.jobs.evaluate import evaluate_ahead
from kd.jobs.inputs import (
    find_run,
    load_teacher,
    stage_fingerprint,
    stage_student,
    teacher_fingerprint,
    text_fingerprint,
    tokens_fingerprint,
)
from kd.jobs.record import READ, environment, training_record
from kd.jobs.setup import made_meanwhile, prepare_device
from kd.jobs.stored import open_again, open_store
from kd.losses.objective import Objective, reads_classifier
from kd.runtime.files import write_json
from kd.runtime.hashes import model_fingerprint
from kd.runtime.progress import Progress, step_state
from kd.runtime.provenance import weights_dtype
from kd.runtime.seals import check_seal, write_record
from kd.study.grid import Grid
from kd.study.paths import CHECKPOINT, HISTORY, INIT, MODEL, SPEC, TRAINING, Layout
from kd.study.plugins import keep_copies
from kd.study.run import Run
from kd.study.teacher_outputs import name_of
from kd.study.terms import relation_heads
from kd.teacher.features import TeacherFeatures
from kd.training.checkpoint import Checkpoint
from kd.training.evaluation import DevScore
from kd.training.history import write_history
from kd.training.loop import Job, fit


def run_distil(grid: Grid, layout: Layout, run_id: str, threads: int) -> None:
    """Train the student of one run and export it."""
    run = find_run(grid, run_id)
    folder = layout.run(run)
    with step_state(folder, "distil") as progress:
        if not (progress.waited and made_meanwhile(folder, TRAINING)):
            checkpoint, device = distil(grid, run, layout, folder, threads, progress)
            evaluate_ahead(run, layout, device, threads, progress)
            checkpoint.remove()  # until then, a job that is killed need not train all of it again


def distil(
    grid: Grid,
    run: Run,
    layout: Layout,
    folder: Path,
    threads: int,
    progress: Progress,
    again: Collection[str] | None = None,
) -> tuple[Checkpoint, torch.device]:
    """Train the student of a run, and write to `folder` what the folder of a run has.

    `again` are the names of the stored teacher outputs that an earlier training of the run read:
    this one reads the same. Without it, what is stored is decided now.

    Returns:
        The checkpoint, which the caller removes when it no longer needs it, and the device.
    """
    ready = cache(partial(prepare_device, threads, progress))
    source = check_seal(layout.tokens(run.data_id, run.task, run.tokens_id))
    split = tokens.load_split(source, "train")
    own, examples = _training_examples(run, split)
    taught = taught_keys(run.terms)
    if again is None:
        stored = open_store(grid, layout, run, split, ready, progress)
    else:
        stored = open_again(again, layout, run, split, folder, ready, progress)
    device = ready()
    read = taught & set(stored.arrays)
    teacher = load_teacher(run, layout) if _reads_teacher(run, taught - read) else None

    student, origins = _first_student(run, layout, source, split, own, teacher)
    settings = _settings(run, own)
    objective = _objective(run, settings, teacher)
    trains = "teacher-in-training" in objective.errata
    teacher_features = TeacherFeatures(taught, stored, teacher, device, trains) if taught else None
    fingerprints = _fingerprints(run, layout)
    checkpoint = Checkpoint(
        folder / CHECKPOINT,
        {
            "spec": run.spec,
            "tokens": tokens_fingerprint(source),
            "teacher": None,
            "stored": sorted(map(name_of, read)),
            **fingerprints,
            **circumstances(device, threads),
        },
    )
    every = grid.study.evaluate_every
    dev = DevScore(source, run.task_row, device) if every else None
    job = Job(device, progress, "distilling", checkpoint, dev, every)
    pad_to = settings["max_length"] if objective.errata & PADDED else None
    result = fit(
        student, objective, split, settings, job, teacher_features, examples, pad_to=pad_to
    )

    write_json(folder / SPEC, run.spec)
    write_json(folder / INIT, origins)
    keep_copies(run.plugins, folder)
    write_history(folder / HISTORY, result.history)
    save_model(student, source, folder / MODEL)
    write_record(
        folder / TRAINING,
        {
            **training_record(result, split if examples is None else examples),
            **_extra_counts(split, examples),
            "weights_used": objective.weights_text(),
            "teacher_outputs_stored": len(read),
            "teacher_outputs_computed": len(taught - read),
            READ: sorted(map(name_of, read)),
            **{f"student_{k}": v for k, v in build.sizes(student).items()},
            "student_dtype": weights_dtype(student),
            **environment(device, threads),
            "data_fingerprint": text_fingerprint(source),
            **{f"{name}_fingerprint": value for name, value in fingerprints.items()},
            "model_fingerprint": model_fingerprint(folder / MODEL),
        },
    )
    return checkpoint, device


def _training_examples(run: Run, split: tokens.Split) -> tuple[Tensor | None, Tensor | None]:
    """The numbers of the run's own examples, and of all that it trains on; None for all examples.

    They differ by the extra examples of a run that has some.
    """
    own = examples_of(split, run.values, run.task_row.kind)
    if not run.extras:
        return own, own
    assert own is not None
    return own, with_extras(split, own, run.alone)


def _settings(run: Run, own: Tensor | None) -> dict[str, Any]:
    """The run's values, with those that depend on its examples or shapes as numbers."""
    settings = dict(run.values)
    if run.extras and own is not None and settings["compare_at"] == EXAMPLES:
        settings["steps_per_epoch"] = math.ceil(len(own) / settings["batch_size"])
    if settings["relation_heads"] == "auto":
        shapes = parse_shape(run.spec["student"]), run.teacher.encoder.shape
        settings["relation_heads"] = relation_heads(*shapes)
    return settings


def _reads_teacher(run: Run, computed: Collection[Any]) -> bool:
    """Whether the training needs the teacher's weights: for outputs that are not stored, for its
    classifier, or for the student's first weights."""
    initialises = not (run.donor or run.stage) and needs_teacher(run.spec.get("init", "random"))
    return bool(computed) or reads_classifier(run.terms) or initialises


def _first_student(
    run: Run,
    layout: Layout,
    source: Path,
    split: tokens.Split,
    own: Tensor | None,
    teacher: PreTrainedModel | None,
) -> tuple[PreTrainedModel, dict[str, str]]:
    """The student before its first step, and where each of its tensors comes from."""
    if run.donor is not None and (run.donor.revision or run.teacher.encoder.revision):
        check_same_words(run.donor, source)
    torch.manual_seed(run.values["seed"])
    config = build.shaped_config(build.saved_config(source), parse_shape(run.spec["student"]))
    student = build.build_random(config)
    if not run.alone:  # which reads no label
        known = split.originals if own is None else own
        build.start_at_mean(student, run.task_row, split.labels[known])
    start = stage_student(run.stage, layout) if run.stage else run.donor
    return student, initialise(student, run.spec.get("init", "random"), teacher, start)


def _objective(run: Run, settings: dict[str, Any], teacher: PreTrainedModel | None) -> Objective:
    classifier = None
    if teacher is not None and reads_classifier(run.terms):
        classifier = build.classifier_of(teacher)
    return Objective(
        run.terms,
        run.task_row.kind,
        parse_shape(run.spec["student"]),
        run.teacher.encoder.shape,
        settings,
        not run.alone,
        classifier,
    )


def _fingerprints(run: Run, layout: Layout) -> dict[str, str]:
    """Of the models that the training reads: `teacher`, where it needs one, and `stage`."""
    found: dict[str, str] = {}
    if run.needs_teacher:
        found["teacher"] = teacher_fingerprint(run, layout)
    if run.stage:
        found["stage"] = stage_fingerprint(run.stage, layout)
    return found


def _extra_counts(split: tokens.Split, examples: Tensor | None) -> dict[str, int]:
    """How many of the examples have labels and how many have none; {} without extra examples."""
    if split.made_of is None or examples is None:
        return {}
    labelled = int((split.made_of[examples] == ORIGINAL).sum())
    return {"examples_train": labelled, "examples_extra": len(examples) - labelled}
