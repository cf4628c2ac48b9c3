"""Stores what the budget has room for: one pass of a teacher over the data for the whole grid."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kd.data import tokens
from kd.encoders import build
from kd.runtime.files import check_seal, only_one, read_record, remove_leftovers
from kd.runtime.progress import Progress
from kd.study.grid import Grid
from kd.study.paths import Layout
from kd.study.run import Run
from kd.study.stored import WRITER, Key, keys_of
from kd.teacher.arrays import StoredOutputs, open_outputs, write_outputs
from kd.teacher.budget import choose_outputs, unfinished
from kd.teacher.manifests import is_stored, missing_outputs, remove


def store_outputs(
    grid: Grid,
    layout: Layout,
    run: Run,
    split: tokens.Split,
    device: Callable[[], torch.device],
    progress: Progress,
) -> set[Key]:
    """Store what a run reads of its teacher, as far as the budget has room; the keys that are then
    there.

    If some are missing, all that the grid needs of this teacher and these tokens is computed, in
    one pass. One job at a time does that; only that one calls `device`, after it has waited for the
    others, so that no job holds a GPU while it waits.
    """
    runs = {reader.id: reader for reader in [*unfinished(grid, layout), run]}
    chosen = choose_outputs(grid, layout, runs.values()).keys(run)
    keys = set(keys_of(run) & chosen)
    if not keys:
        return keys
    folder, identity = layout.outputs(run.teacher, run.tokens_id), identity_of(run, layout)
    if not missing_outputs(folder, keys, identity):
        return keys
    folder.mkdir(parents=True, exist_ok=True)

    def waiting(owner: str) -> None:
        progress.wait(
            f"waiting for {owner or 'another process'}, which stores outputs of the teacher"
        )

    with only_one(folder / WRITER, waiting):
        remove_leftovers(folder, "*.npy")
        lacking = missing_outputs(folder, chosen, identity)
        if lacking & keys:
            _remove_stale(folder, identity)
            teacher = load_teacher(run, layout)
            write_outputs(folder, lacking, teacher, split, identity, device(), progress)
    return keys


def _remove_stale(folder: Path, identity: dict[str, str]) -> None:
    """Remove arrays of another teacher, other tokens or an older version: no run can read them."""
    for array in folder.glob("[!.]*.npy"):
        if not is_stored(array, identity):
            remove(array)


def open_store(
    grid: Grid,
    layout: Layout,
    run: Run,
    split: tokens.Split,
    device: Callable[[], torch.device],
    progress: Progress,
) -> StoredOutputs:
    """What is stored of the outputs that a run reads, after `store_outputs`."""
    keys = store_outputs(grid, layout, run, split, device, progress)
    if not keys:
        return StoredOutputs({}, split)
    folder = layout.outputs(run.teacher, run.tokens_id)
    return open_outputs(folder, keys, split, identity_of(run, layout))


def identity_of(run: Run, layout: Layout) -> dict[str, str]:
    """What stored outputs are made of: this teacher's weights and these tokens."""
    folder = layout.tokens(run.data_id, run.task, run.tokens_id)
    return {
        "teacher": teacher_fingerprint(run, layout),
        "tokens": tokens_fingerprint(folder),
    }


def teacher_fingerprint(run: Run, layout: Layout) -> str:
    """Of the weights of a run's teacher, from its record."""
    record = read_record(layout.teacher(run.teacher) / "metrics.json", "fingerprint")
    return str(record["fingerprint"])


def tokens_fingerprint(folder: Path) -> str:
    """Of packed tokens, from their manifest."""
    return str(read_record(folder / "manifest.json", "fingerprint")["fingerprint"])


def load_teacher(run: Run, layout: Layout) -> Any:
    """A run's fine-tuned teacher, after checking its files."""
    folder = check_seal(layout.teacher(run.teacher) / "model")
    return build.load_finetuned(folder, getattr(torch, run.teacher.dtype))
