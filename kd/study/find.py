"""Finds study files by path or name, and other study files with the same name."""

import re
from difflib import get_close_matches
from pathlib import Path

from kd.runtime.errors import UserError

FOLDERS = (Path(), Path("studies"), Path("config/studies"))  # where a name is looked for


def find_study(text: str) -> Path:
    """The study file with this path, or the one in FOLDERS with this name.

    The name is the value of the key `study` or the file's name without `.yaml`.

    Raises:
        UserError: no file fits (the message names the nearest one), or several files fit.
    """
    if Path(text).is_file():
        return Path(text)
    files = {path: _name_in(path) for folder in FOLDERS for path in _yaml_files(folder)}
    files = {path: name for path, name in files.items() if name}
    names: dict[str, list[Path]] = {}
    for path, study in files.items():
        for name in {path.stem, study}:
            names.setdefault(name, []).append(path)
    matches = names.get(text, [])
    if len(matches) > 1:
        raise UserError(
            f"{text}: names {len(matches)} study files: {_listed(matches)}; give one file"
        )
    if matches:
        return matches[0]
    if Path(text).exists():  # a folder: whoever reads it says so
        return Path(text)
    near = get_close_matches(Path(text).stem[:80], names, n=1, cutoff=0.5)
    if near:
        raise UserError(f"{text}: no such study file (did you mean {names[near[0]][0]}?)")
    here = f"; study files here: {_listed(list(files)[:9])}" if files else ""
    raise UserError(f"{text}: no such study file{here}")


def namesakes(study: Path, name: str) -> list[Path]:
    """Other study files in the folder of `study` that have its name, and so its results folder."""
    named = [path for path in _yaml_files(study.parent) if _name_in(path) == name]
    return [path for path in named if not path.samefile(study)]


def same_name(study: Path, other: Path, name: str) -> str:
    """The warning about another study with the same name.

    It is no error, because copies of a study are common and nothing is lost. The files of the runs
    stay, and a runs.csv whose runs have no files is never overwritten.
    """
    return (
        f"{study}: {other} has the name {name!r} too, so each overwrites the other's "
        f"results/studies/{name}; give one of them another name under `study`"
    )


def _yaml_files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")})


def _name_in(path: Path) -> str:
    """The value of the key `study`, or ''. YAML is not used, since the file may be broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.search(r"^study:\s*(['\"]?)([^'\"#\s]+)\1\s*(#.*)?$", text, re.MULTILINE)
    return match[2] if match else ""


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
