"""Rule `stage`: the student of one stage before the task, general distillation on a corpus."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from kd.axes.initialisations import needs_teacher
from kd.axes.kinds import CLASSES
from kd.axes.stages import as_stage_part
from kd.axes.terms import taught_keys
from kd.data.corpus_tokens import HELD_OUT, TRAIN, check_whole, load_corpus, manifest_of
from kd.data.masking import PREDICTED, mask_tokens
from kd.encoders import build
from kd.encoders.initialise import initialise
from kd.encoders.masked_lm import (
    build_masked_lm,
    load_masked_lm,
    predict_masked_alone,
)
from kd.encoders.save import save_model
from kd.encoders.tokenizer import check_same_words
from kd.jobs.circumstances import circumstances
from kd.jobs.corpus import packed_corpus
from kd.jobs.record import environment, now
from kd.jobs.setup import made_meanwhile, prepare_device
from kd.losses.objective import Objective
from kd.runtime.device import choose_precision
from kd.runtime.errors import UserError, unknown
from kd.runtime.files import write_json
from kd.runtime.hashes import model_fingerprint
from kd.runtime.progress import Progress, step_state
from kd.runtime.provenance import model_commit, weights_dtype
from kd.runtime.seals import write_record
from kd.study.grid import Grid
from kd.study.paths import CHECKPOINT, HISTORY, INIT, MODEL, SPEC, TRAINING, Layout
from kd.study.stage import Stage
from kd.teacher.features import TeacherFeatures
from kd.training.batches import Prepare
from kd.training.checkpoint import Checkpoint
from kd.training.history import HELD_OUT as HELD_OUT_COLUMN
from kd.training.history import write_history
from kd.training.loop import Job, TrainingResult, fit

_MEASURED = 10  # times that the held-out losses are measured, beside the first
_MOST = 512  # held-out sequences that they are measured on


def run_stage(grid: Grid, layout: Layout, stage_id: str, threads: int) -> None:
    """Train the student of one stage and export it."""
    stages = grid.stages
    if stage_id not in stages:
        raise unknown(f"{grid.study.path}: stage", stage_id, stages)
    stage = stages[stage_id]
    folder = layout.stage(stage)
    with step_state(folder, "stage") as progress:
        if not (progress.waited and made_meanwhile(folder, TRAINING)):
            _stage(stage, layout, folder, threads, progress)


def _stage(stage: Stage, layout: Layout, folder: Path, threads: int, progress: Progress) -> None:
    source, settings = packed_corpus(layout, stage), stage.values
    check_whole(source)
    device = prepare_device(threads, progress)
    manifest, sequences = manifest_of(source), load_corpus(source, TRAIN)
    size, length = settings["batch_size"], settings["max_length"]
    if len(sequences) < size:
        raise UserError(
            f"stages.{stage.name}: its corpus has {len(sequences)} sequences of {length} tokens, "
            f"fewer than batch_size ({size})"
        )
    config = build.saved_config(source)
    teacher, student, origins = _models(stage, config, source)
    objective = Objective(
        stage.terms,
        CLASSES,
        stage.shape,
        stage.encoder.shape,
        settings,
        labelled=_has_mlm(stage),
    )
    if stage.reads_words:
        predict_masked_alone(student)
    taught = taught_keys(stage.terms)
    # Outputs on a corpus are never stored, so the teacher need not compute as a store does.
    precision = choose_precision(settings["precision"], device)
    features = (
        TeacherFeatures(taught, None, teacher, device, precision=precision) if taught else None
    )
    if teacher is not None and ("logits", 0) in taught:
        predict_masked_alone(teacher)
    checkpoint = Checkpoint(
        folder / CHECKPOINT,
        {
            "spec": stage.spec,
            "corpus": manifest["fingerprint"],
            **circumstances(device, threads),
        },
    )
    held_out = load_corpus(source, HELD_OUT, _MOST)
    every = -(-settings["steps"] // _MEASURED)
    job = Job(
        device,
        progress,
        "general distillation",
        checkpoint,
        evaluate_every=every,
        held_out=held_out,
        tokens=size * length,
    )
    masks = _masks(stage, manifest) if settings["masked"] else None
    result = fit(student, objective, sequences, settings, job, features, prepare=masks)

    history = [{as_stage_part(k): v for k, v in row.items()} for row in result.history]
    write_json(folder / SPEC, stage.spec)
    write_json(folder / INIT, origins)
    write_history(folder / HISTORY, history)
    whole = student if stage.reads_words else student.base_model  # its head is not trained
    save_model(whole, source, folder / MODEL)
    write_record(
        folder / TRAINING,
        {
            "stage": stage.id,
            "name": stage.name,
            **_trained(result, manifest, history),
            "weights_used": as_stage_part(objective.weights_text()),
            **{f"student_{k}": v for k, v in build.sizes(student).items()},
            "student_dtype": weights_dtype(student),
            "teacher": dict(stage.encoder.identity),
            "teacher_revision": model_commit(stage.encoder.location, stage.encoder.revision),
            "corpus_fingerprint": manifest["fingerprint"],
            **environment(device, threads),
            "created": now(),
            "model_fingerprint": model_fingerprint(folder / MODEL),
        },
    )
    checkpoint.remove()


def _has_mlm(stage: Stage) -> bool:
    """Whether the masked language model loss is a part of the stage's loss."""
    return stage.values["hard_weight"] != 0


def _models(stage: Stage, config: Any, source: Path) -> tuple[Any, Any, dict[str, str]]:
    """The teacher (None where nothing is read of it), the student as it starts, and where each of
    its tensors comes from."""
    seed, teacher = stage.values["seed"], None
    if stage.terms or (stage.donor is None and needs_teacher(stage.init)):
        torch.manual_seed(seed)
        with_head = any(term.knowledge == "mlm-logits" for term in stage.terms)
        teacher = load_masked_lm(stage.encoder, config, stage.dtype, with_head)
    if stage.donor is not None and (stage.donor.revision or stage.encoder.revision):
        check_same_words(stage.donor, source)
    torch.manual_seed(seed)
    student = build_masked_lm(build.shaped_config(config, stage.shape))
    return teacher, student, initialise(student, stage.init, teacher, stage.donor)


def _masks(stage: Stage, manifest: dict[str, Any]) -> Prepare:
    """Masks a batch, the same at every try of a step."""
    masked = partial(
        mask_tokens,
        share=stage.values["masked"],
        mask=manifest["mask"],
        special=manifest["special"],
        vocabulary=manifest["vocabulary"],
    )

    def prepare(batch: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
        found = masked(batch, seed=seed)
        if not stage.reads_words:
            del found[PREDICTED]
        return found

    return prepare


def _trained(
    result: TrainingResult, manifest: dict[str, Any], history: list[dict[str, float]]
) -> dict[str, Any]:
    """How the training went: steps, tokens, speed, and the losses on both sides of the corpus."""
    tokens = result.examples * manifest["max_length"]
    last = {name: value for row in history for name, value in row.items()}
    losses = {n: v for n, v in last.items() if n not in ("step", "learning_rate")}
    return {
        "steps": result.steps,
        "tokens": tokens,
        "corpus_tokens": manifest["tokens"],
        "passes": round(tokens / manifest["tokens"], 4),
        "train_seconds": round(result.seconds, 3),
        "tokens_per_second": round(tokens / result.seconds, 1),
        "precision_used": result.precision,
        "peak_memory_bytes": result.peak_memory_bytes,
        "micro_batch": result.micro_batch,
        "final_loss": losses["loss"],
        "losses": {n: v for n, v in losses.items() if not n.startswith(HELD_OUT_COLUMN)},
        "held_out_before": _held_out(history[0]),
        "held_out_losses": _held_out(last),
    }


def _held_out(row: dict[str, float]) -> dict[str, float]:
    start = HELD_OUT_COLUMN
    return {n.removeprefix(start): v for n, v in row.items() if n.startswith(start)}
