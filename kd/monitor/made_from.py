"""Notes what the files of a study were made from: a digest of the inputs and outputs of each step.

`copies` reads the notes to find whether a copied file still belongs to the files beside it.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kd.runtime.errors import UserError
from kd.runtime.hashes import file_digest, short_hash
from kd.runtime.seals import folder_digests, read_record, write_record
from kd.study.grid import Grid
from kd.study.paths import METRICS, RECORD, Layout

# Of the steps that draw: what they read and write in the study's folder.
DRAWN = {
    "tables": ([RECORD], ["summary.csv", "tables"]),
    "figures": ([RECORD], ["figures"]),
    "report": (["summary.csv", "tables", "figures"], ["report.html"]),
    "guideline": ([RECORD], ["guideline.md"]),
}


def note_collected(grid: Grid, layout: Layout) -> None:
    """Note which metrics the study's runs.csv was made from."""
    folder = layout.study(grid.study.name)
    _write_note(folder, "collect", collected_files(grid, layout))


def note_drawn(folder: Path, step: str) -> None:
    """Note what a step that draws has made its files from, in the study's folder."""
    _write_note(folder, step, drawn_files(folder, step))


def collected_files(grid: Grid, layout: Layout) -> list[Path]:
    """All metrics of a study, and its runs.csv."""
    metrics = [layout.run(run) / METRICS for run in grid.runs.values()]
    return [*metrics, layout.study(grid.study.name) / RECORD]


def drawn_files(folder: Path, step: str) -> list[Path]:
    """What a step that draws reads and writes, in the study's folder."""
    return [folder / name for names in DRAWN[step] for name in names]


def _note(folder: Path, step: str) -> Path:
    return folder / "log" / f"{step}.made.json"


def _write_note(folder: Path, step: str, paths: Iterable[Path]) -> None:
    write_record(_note(folder, step), {"digest": _digest(folder, paths)})


def is_noted(folder: Path, step: str, paths: Iterable[Path]) -> bool:
    """Whether these files have the contents that they had when the step wrote its note."""
    return record_of(_note(folder, step)).get("digest") == _digest(folder, paths)


def _digest(folder: Path, paths: Iterable[Path]) -> str:
    """Of the contents of files and folders; one that is missing counts as empty."""
    digests = []
    for path in paths:
        content = folder_digests(path) if path.is_dir() else path.is_file() and file_digest(path)
        digests.append([os.path.relpath(path, folder), content])
    return short_hash(digests)


def record_of(path: Path) -> dict[str, Any]:
    """A JSON record; empty where there is none, or it is damaged."""
    try:
        return read_record(path, mark=False)
    except (UserError, OSError):
        return {}
