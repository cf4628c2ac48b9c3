"""Removes stored teacher outputs and packed corpora that nothing unfinished needs: `kd free`.

Finished runs do not read them. A later run that needs them computes and stores them again. The
small file `Layout.need` stays, because it is an input of finished runs: Snakemake would train them
again if it had to make that file again, even though the rule calls it ancient.
"""

import shutil
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from kd.data.corpus import TOKENS
from kd.monitor.status import run_status
from kd.runtime.errors import UserError
from kd.runtime.locks import only_one
from kd.runtime.snakemake_processes import workflows
from kd.study.grid import Grid
from kd.study.paths import TRAINING, Layout
from kd.study.teacher_outputs import WRITER, keys_of, name_of
from kd.teacher.manifests import remove


def idle_outputs(grids: Iterable[Grid], layout: Layout) -> dict[Path, int]:
    """{array: bytes} stored for the teachers of these studies that no unfinished run of them needs.

    A run is finished if its metrics are whole. For all others, what they can read is kept. The
    grids come one by one, because the tables have the rows of one study's plugins at a time.
    """
    kept: dict[Path, set[str]] = {}
    for run in (run for grid in grids for run in grid.trained.values()):
        names = kept.setdefault(layout.outputs(run.teacher, run.tokens_id), set())
        if (keys := keys_of(run)) and run_status(run, layout)[0] != "done":
            names.update(map(name_of, keys))
    return {
        array: array.stat().st_size
        for folder, names in sorted(kept.items())
        for array in sorted(folder.glob("[!.]*.npy"))
        if array.stem not in names
    }


def idle_corpora(grids: Iterable[Grid], layout: Layout) -> dict[Path, int]:
    """{folder of packed tokens: bytes} of these studies that no unfinished stage of them reads.

    A later stage packs its corpus again. The manifest beside the folder stays, because it is an
    input of finished stages.
    """
    places: dict[Path, bool] = {}
    for stage in (stage for grid in grids for stage in grid.stages.values()):
        done = (layout.stage(stage) / TRAINING).is_file()
        place = layout.corpus(stage) / TOKENS
        places[place] = places.get(place, True) and done
    return {
        place: sum(file.stat().st_size for file in place.iterdir())
        for place, idle in sorted(places.items())
        if idle and place.is_dir()
    }


def free(idle: Iterable[Path], layout: Layout) -> None:
    """Remove idle outputs, in the order of `idle_outputs`, and idle corpora.

    Raises:
        UserError: a workflow runs on these results, or a job writes to the store.
    """
    places = layout.started_in
    if heads := sorted(head for here in places for head in workflows(here)):
        raise UserError(
            f"{layout.results}: snakemake runs here (process {', '.join(map(str, heads))}) and "
            f"counts on what is stored; try again when it is done"
        )
    if any(lock for here in places for lock in (here / ".snakemake/locks").glob("*")):
        raise UserError(
            f"{layout.results}: locked by a snakemake on another machine, or by one that is gone: "
            f"`kd recover STUDY` says what to do"
        )
    outputs = list(idle)
    for corpus in [place for place in outputs if place.is_dir()]:
        shutil.rmtree(corpus)
    arrays = [place for place in outputs if place.suffix == ".npy"]
    for folder, there in groupby(arrays, lambda array: array.parent):

        def busy(owner: str, folder: Path = folder) -> None:
            raise UserError(
                f"{folder}: {owner or 'another process'} writes there; try again when it is done"
            )

        with only_one(folder / WRITER, busy):
            for array in there:
                remove(array)
