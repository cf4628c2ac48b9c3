"""Gives back the disk of stored teacher outputs that no unfinished run needs: `kd free`.

A finished run never reads them again. A later run that does has them computed anew.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from kd.errors import UserError
from kd.files import only_one
from kd.grid import Grid
from kd.layout import Layout
from kd.recovery import workflows
from kd.results import run_status
from kd.store import WRITER, keys_of, name_of


def idle_outputs(grids: Sequence[Grid], layout: Layout) -> dict[Path, int]:
    """{file: bytes} stored for the teachers of these studies that no unfinished run of them needs.

    Finished is a run whose metrics are whole; all others keep what they can read.
    """
    kept: dict[Path, set[str]] = {}
    for run in [run for grid in grids for run in grid.runs.values()]:
        names = kept.setdefault(layout.outputs(run.teacher, run.tokens_id), set())
        keys = keys_of(run)
        if keys and run_status(run, layout)[0] != "done":
            names |= {layout.need(run).stem, *map(name_of, keys)}
    return {
        file: file.stat().st_size
        for folder, names in sorted(kept.items())
        # The JSON files first: an array whose manifest is gone counts as missing.
        for file in [*sorted(folder.glob("[!.]*.json")), *sorted(folder.glob("[!.]*.npy"))]
        if file.stem not in names
    }


def free(files: Iterable[Path], layout: Layout) -> None:
    """Remove idle outputs, in the order given.

    Raises:
        UserError: a workflow runs on these results, or a job writes to the store.
    """
    here = layout.results.resolve().parent
    if heads := workflows(here):
        raise UserError(
            f"{layout.results}: snakemake runs here (process {', '.join(map(str, heads))}) and has "
            f"planned with what is stored; try again when it is done"
        )
    if any((here / ".snakemake/locks").glob("*")):
        raise UserError(
            f"{layout.results}: locked by a snakemake on another machine, or by one that is gone: "
            f"`kd recover STUDY` says what to do"
        )
    for folder, there in groupby(files, lambda file: file.parent):

        def busy(owner: str, folder: Path = folder) -> None:
            raise UserError(
                f"{folder}: {owner or 'another process'} writes there; try again when it is done"
            )

        with only_one(folder / WRITER, busy):
            for file in there:
                file.unlink(missing_ok=True)
