"""Rule `outputs`: stores teacher outputs, within the budget, in one pass over the training data.

A job that finds everything stored does not load torch, which would take most of its time.
"""

import os
from collections.abc import Callable
from pathlib import Path

from kd.jobs.inputs import teacher_fingerprint, tokens_fingerprint
from kd.runtime import startup
from kd.runtime.errors import UserError
from kd.runtime.files import remove_leftovers
from kd.runtime.locks import only_one
from kd.runtime.progress import Progress, step_state
from kd.runtime.seals import check_seal, write_record
from kd.study.grid import Grid
from kd.study.paths import TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher_outputs import WRITER, Key, keys_of, name_of, need_of
from kd.teacher.budget import choose_outputs, unfinished
from kd.teacher.manifests import is_stored, missing_outputs, remove

# Stores outputs in a folder: those keys, made from that teacher and those tokens.
Compute = Callable[[Path, set[Key], dict[str, str]], None]

# Environment variable, set where a job has a folder of its own, in which no other job reads.
ALONE = "KD_NOTHING_SHARED"


def run_outputs(
    grid: Grid, layout: Layout, teacher_id: str, tokens_id: str, need: str, threads: int
) -> None:
    """Store the outputs of a teacher that some runs need, as far as the budget has room.

    The first such job of a teacher and its tokens stores what all runs of the grid need. The others
    find it there. `need`.json records the arrays of that time; later jobs do not go by it.
    """
    runs = [
        run
        for run in grid.trained.values()
        if (run.teacher.id, run.tokens_id, need_of(run)) == (teacher_id, tokens_id, need)
    ]
    if not runs:
        raise UserError(f"{grid.study.path}: no run needs {need!r} of {teacher_id!r}")
    run = min(runs, key=lambda run: (layout.run(run) / TRAINING).is_file())  # to be trained
    with step_state(layout.storing(run), "outputs") as progress:
        remove_leftovers(layout.need(run).parent, layout.need(run).name)
        source = check_seal(layout.tokens(run.data_id, run.task, tokens_id))

        def compute(folder: Path, keys: set[Key], identity: dict[str, str]) -> None:
            startup.prepare()
            from kd.data.tokens import load_split
            from kd.jobs.setup import prepare_device
            from kd.jobs.stored import compute_outputs

            split, device = load_split(source, "train"), prepare_device(threads, progress)
            compute_outputs(folder, keys, identity, run, layout, split, device, progress)

        stored = store_outputs(grid, layout, run, compute, progress)
        write_record(layout.need(run), {"stored": sorted(map(name_of, stored))})


def store_outputs(
    grid: Grid, layout: Layout, run: Run, compute: Compute, progress: Progress
) -> set[Key]:
    """Store the outputs of its teacher that a run reads, as far as the budget has room.

    If some are missing, all outputs of this teacher and these tokens that the grid needs are
    computed in one pass. One job at a time does that. It calls `compute` only after it has waited
    for the others, so that no job holds a GPU while it waits. A job that shares no folder with
    others stores only what its own run reads.

    Returns:
        The keys of the run that are stored now.
    """
    alone = bool(os.environ.get(ALONE))
    readers = [] if alone else unfinished(grid, layout)
    runs = {reader.id: reader for reader in [*readers, run]}
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
        if alone:
            print(
                "no folder is shared with other jobs: this one computes its teacher outputs itself"
            )
        if lacking & keys:
            _remove_stale(folder, identity)
            compute(folder, lacking, identity)
    return keys


def _remove_stale(folder: Path, identity: dict[str, str]) -> None:
    """Remove arrays of another teacher, other tokens or an older version: no run can read them."""
    for array in folder.glob("[!.]*.npy"):
        if not is_stored(array, identity):
            remove(array)


def identity_of(run: Run, layout: Layout) -> dict[str, str]:
    """What stored outputs are made from: fingerprints of teacher and tokens."""
    folder = layout.tokens(run.data_id, run.task, run.tokens_id)
    return {
        "teacher": teacher_fingerprint(run, layout),
        "tokens": tokens_fingerprint(folder),
    }
