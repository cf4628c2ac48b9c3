"""Paths in a study file, which are relative to the folder of that file."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kd.runtime.errors import UserError, listing, shown
from kd.runtime.user_paths import is_folder
from kd.study.mistakes import at

_WILD = r"[*?[]"


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


def located_files(value: Any, where: str, study: Path) -> dict[str, str]:
    """{absolute path: place of its pattern in the study} of the files that patterns name, each
    once; `value` is the key `where`: a pattern or a list of them.

    Raises:
        UserError: it is neither, or no file has such a name.
    """
    patterns = [value] if isinstance(value, str) else value
    if (
        not isinstance(patterns, list)
        or not patterns
        or not all(isinstance(p, str) and p.strip() for p in patterns)
    ):
        raise UserError(
            f"{where}: found {shown(value)}, allowed: a list of files, from the study file's "
            f"folder; * and ** stand for any names"
        )
    places: dict[str, str] = {}
    for i, pattern in enumerate(patterns):
        with at(f"{where}[{i}]"):
            place = located_path(pattern.strip(), study)
        files = [place]
        if re.search(_WILD, pattern) and not _exists(Path(place)):
            # Only what the user wrote is a pattern, not the name of the study's folder.
            parts = Path(pattern.strip()).expanduser().parts
            first = next(i for i, part in enumerate(parts) if re.search(_WILD, part))
            folder = Path(located_path(str(Path(*parts[:first])), study))
            rest = parts[first:]
            rest += ("*",) * (rest[-1] == "**")  # at the end, glob finds folders alone
            try:
                files = sorted(str(name) for name in folder.glob("/".join(rest)) if name.is_file())
            except ValueError:  # of glob; it names no file
                raise UserError(
                    f"{where}[{i}]: found {shown(pattern)}, allowed: ** as a whole part of the "
                    f"path, such as text/**/*.txt"
                ) from None
            if not files:
                raise UserError(f"{where}[{i}]: no file is named like {place}")
        places |= dict.fromkeys(files, f"{where}[{i}]")
    return places


def file_format(file: str, where: str, endings: Mapping[str, Sequence[str]]) -> str:
    """The format that a file's name tells, by {format: endings of names}; .gz may follow.

    Raises:
        UserError: it tells none; `where` is the place in the study.
    """
    plain = file.lower().removesuffix(".gz")
    for kind, known in endings.items():
        if plain.endswith(tuple(known)):
            return kind
    all_known = [ending for known in endings.values() for ending in known]
    raise UserError(
        f"{where}: the name {Path(file).name} does not tell its format; end it in one of "
        f"{listing(all_known)} (.gz may follow), or give the key format"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no file can have such a name
        return False
