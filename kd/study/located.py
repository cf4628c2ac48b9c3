"""Paths in a study file, which are relative to the folder of that file."""

import os
from pathlib import Path

from kd.runtime.errors import UserError, shown
from kd.runtime.user_paths import is_folder


def located_path(text: str, study: Path) -> str:
    """The absolute path that `text` in a study file names.

    Raises:
        UserError: the home folder does not exist, or the path exists only relative to the working
            directory.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{shown(text)}: {error}") from None
    beside = study.parent.absolute()
    target = beside / path
    if not _exists(target) and _exists(path):  # absolute paths are equal here
        raise UserError(
            f"found {shown(text)}, which is in the working directory, not next to the study file; "
            f"paths in a study file are relative to its folder: write "
            f"{os.path.relpath(Path.cwd() / path, beside)}"
        )
    return str(target.resolve() if ".." in target.parts else target)


def located_model(text: str, study: Path) -> str:
    """The absolute path of a model's folder, or a hub id as it is.

    Text is a folder if it is written like a path, or lies next to the study file. A folder with the
    same name in the working directory is refused, because transformers would load it instead of the
    model of the hub.
    """
    if text.startswith(("/", "./", "../", "~")) or is_folder(study.parent / text):
        return located_path(text, study)
    return located_path(text, study) if is_folder(Path(text)) else text


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no file can have such a name
        return False
