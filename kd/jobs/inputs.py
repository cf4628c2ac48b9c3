"""Finds and checks what a job reads: its run in the study, and the results of earlier jobs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kd.encoders.facts import Encoder
from kd.runtime.errors import UserError, listing, unknown
from kd.runtime.hashes import model_fingerprint
from kd.runtime.seals import check_seal, read_record
from kd.study.grid import Grid
from kd.study.paths import METRICS, MODEL, TRAINING, Layout
from kd.study.run import Run
from kd.study.stage import Stage


def find_run(grid: Grid, run_id: str) -> Run:
    """The run of that id in the study."""
    runs = grid.trained
    if run_id not in runs:
        names = listing(plugin.path.name for plugin in grid.study.plugins)
        changed = (
            f"; if {names} changed while snakemake ran, the runs that use it have new ids: start "
            f"snakemake again"
        )
        raise UserError(
            f"{grid.study.path}: no run {run_id!r}; `kd runs` lists them{changed if names else ''}"
        )
    return runs[run_id]


def student_model(run: Run, layout: Layout) -> Path:
    """The folder of a run's exported student, after checking that it is the one that was trained.

    Raises:
        UserError: it is missing, damaged, or another model.
    """
    folder = layout.run(run)
    training = read_record(folder / TRAINING, "model_fingerprint")
    if model_fingerprint(check_seal(folder / MODEL)) != training["model_fingerprint"]:
        raise UserError(f"{folder / MODEL}: not the model that was trained; delete {folder}")
    return folder / MODEL


def run_on(grid: Grid, task: str) -> Run:
    """A run on a task, given by its name in ids or in the study."""
    runs = {name: run for run in grid.runs.values() for name in (run.labels["task"], run.task)}
    if task not in runs:
        raise unknown(f"{grid.study.path}: task", task, runs)
    return runs[task]


def text_fingerprint(folder: Path) -> str:
    """Fingerprint of the text that packed tokens were made from, from their manifest."""
    return str(read_record(folder / "manifest.json", "text_fingerprint")["text_fingerprint"])


def tokens_fingerprint(folder: Path) -> str:
    """Fingerprint of packed tokens, from their manifest."""
    return str(read_record(folder / "manifest.json", "fingerprint")["fingerprint"])


def teacher_fingerprint(run: Run, layout: Layout) -> str:
    """Fingerprint of the weights of a run's teacher, from its record."""
    record = read_record(layout.teacher(run.teacher) / METRICS, "fingerprint")
    return str(record["fingerprint"])


def stage_fingerprint(stage: Stage, layout: Layout) -> str:
    """Fingerprint of the weights of a stage's student, from its record."""
    record = read_record(layout.stage(stage) / TRAINING, "model_fingerprint")
    return str(record["model_fingerprint"])


def stage_student(stage: Stage, layout: Layout) -> Encoder:
    """The student of a stage as an encoder of a folder, after checking its files.

    Raises:
        UserError: it is missing, damaged, or another model.
    """
    folder = layout.stage(stage) / MODEL
    if model_fingerprint(check_seal(folder)) != stage_fingerprint(stage, layout):
        raise UserError(f"{folder}: not the model that was trained; delete {layout.stage(stage)}")
    return replace(stage.encoder, location=str(folder), revision=None, shape=stage.shape)


def load_teacher(run: Run, layout: Layout) -> Any:
    """A run's fine-tuned teacher, after checking its files."""
    import torch  # here, because not every job needs it

    from kd.encoders import build

    folder = check_seal(layout.teacher(run.teacher) / MODEL)
    return build.load_finetuned(folder, getattr(torch, run.teacher.dtype))
