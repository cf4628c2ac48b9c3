"""Paths in a study file: relative to the folder of that file, wherever the command is started."""

import os
from pathlib import Path

from kd.runtime.errors import UserError, shown
from kd.runtime.user_paths import is_folder


def located_path(text: str, study: Path) -> str:
    """The absolute path that `text` in a study file names.

    Raises:
        UserError: it has no such home folder, or exists only relative to the working directory.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{shown(text)}: {error}") from None
    beside = study.parent.absolute()
    found = beside / path
    if not _exists(found) and _exists(path):  # a path that is not relative is one and the same
        raise UserError(
            f"found {shown(text)}, which is in the working directory, not beside the study file; "
            f"paths in a study are relative to its own folder: write "
            f"{os.path.relpath(Path.cwd() / path, beside)}"
        )
    return str(found.resolve() if ".." in found.parts else found)


def located_model(text: str, study: Path) -> str:
    """A model's folder as an absolute path, or its hub id as it is.

    A folder is what is written like a path, or lies beside the study file. A folder of that name in
    the working directory is refused, since transformers would load it instead of the hub's model.
    """
    if text.startswith(("/", "./", "../", "~")) or is_folder(study.parent / text):
        return located_path(text, study)
    return located_path(text, study) if is_folder(Path(text)) else text


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
