"""Opens the stored teacher outputs that a training reads, after storing those that are missing."""

from collections.abc import Callable, Collection
from pathlib import Path

import torch

from kd.data.tokens import Split
from kd.jobs.inputs import load_teacher
from kd.jobs.outputs import identity_of, store_outputs
from kd.runtime.progress import Progress
from kd.study.grid import Grid
from kd.study.paths import Layout
from kd.study.run import Run
from kd.study.teacher_outputs import Key, keys_of, name_of
from kd.teacher.manifests import missing_outputs
from kd.teacher.store import StoredOutputs, open_outputs, write_outputs


def open_store(
    grid: Grid,
    layout: Layout,
    run: Run,
    split: Split,
    device: Callable[[], torch.device],
    progress: Progress,
) -> StoredOutputs:
    """Store the outputs that a run reads (see `store_outputs`), and open those that are stored."""

    def compute(folder: Path, keys: set[Key], identity: dict[str, str]) -> None:
        compute_outputs(folder, keys, identity, run, layout, split, device(), progress)

    keys = store_outputs(grid, layout, run, compute, progress)
    if not keys:
        return StoredOutputs({}, split)
    folder = layout.outputs(run.teacher, run.tokens_id)
    return open_outputs(folder, keys, split, identity_of(run, layout))


def open_again(
    names: Collection[str],
    layout: Layout,
    run: Run,
    split: Split,
    folder: Path,
    device: Callable[[], torch.device],
    progress: Progress,
) -> StoredOutputs:
    """Open the outputs that an earlier training of a run read, by their names.

    Those that are no longer stored are computed again and stored in `folder`: outside of the
    study's budget, for this training alone.
    """
    keys = {key for key in keys_of(run) if name_of(key) in names}
    place, identity = layout.outputs(run.teacher, run.tokens_id), identity_of(run, layout)
    if missing_outputs(place, keys, identity):
        place = folder / "outputs"
        place.mkdir(parents=True, exist_ok=True)
        if lacking := missing_outputs(place, keys, identity):
            compute_outputs(place, lacking, identity, run, layout, split, device(), progress)
    return open_outputs(place, keys, split, identity)


def compute_outputs(
    folder: Path,
    keys: set[Key],
    identity: dict[str, str],
    run: Run,
    layout: Layout,
    split: Split,
    device: torch.device,
    progress: Progress,
) -> None:
    """Compute outputs of a run's teacher on `split`, and store them in `folder`.

    Args:
        keys: (feature, layer) of the outputs.
        identity: what they are made from; see `kd.jobs.outputs.identity_of`.
    """
    teacher = load_teacher(run, layout)
    write_outputs(folder, keys, teacher, split, identity, device, progress)
