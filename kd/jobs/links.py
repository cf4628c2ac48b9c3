"""Gives the trained model of one folder to another as links, which take no disk of their own."""

import os
import shutil
from pathlib import Path

from kd.runtime.files import aside
from kd.runtime.seals import SEAL, check_seal, sealed_dir
from kd.study.paths import HISTORY, MODEL, PREDICTIONS


def link_model(trained: Path, to: Path) -> None:
    """Link the sealed model of a folder, its predictions and its history.

    Raises:
        UserError: the model is damaged, or its files were removed.
    """
    check_seal(trained / MODEL)
    with sealed_dir(to / MODEL) as folder:
        for file in sorted((trained / MODEL).rglob("[!.]*")):  # hidden files are Snakemake's
            if file.is_file() and file.name != SEAL:
                _link(file, folder / file.relative_to(trained / MODEL))
    for name in (PREDICTIONS, HISTORY):
        if (trained / name).is_file():
            _link(trained / name, to / name)


def _link(file: Path, place: Path) -> None:
    """A second name of a file; a copy where the file system has no links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside(place)
    try:
        os.link(file, temporary)
    except OSError:
        shutil.copy2(file, temporary)
    temporary.replace(place)
