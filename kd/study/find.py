"""Finds study files: by path, by name, and others with the same name."""

import re
from difflib import get_close_matches
from pathlib import Path

from kd.runtime.errors import UserError

FOLDERS = (Path(), Path("studies"), Path("config/studies"))  # where a name is looked for


def find_study(text: str) -> Path:
    """The study file with this path; else the one in FOLDERS with this name.

    A name is what the key `study` says, or the file's name without `.yaml`.

    Raises:
        UserError: there is none, or a name stands for several files. Names the nearest file.
    """
    if Path(text).exists():
        return Path(text)
    files = {path: _name_in(path) for folder in FOLDERS for path in _yaml_files(folder)}
    files = {path: name for path, name in files.items() if name}
    names: dict[str, list[Path]] = {}
    for path, said in files.items():
        for name in {path.stem, said}:
            names.setdefault(name, []).append(path)
    found = names.get(text, [])
    if len(found) > 1:
        raise UserError(f"{text}: names {len(found)} study files: {_listed(found)}; give one file")
    if found:
        return found[0]
    near = get_close_matches(Path(text).stem[:80], names, n=1, cutoff=0.5)
    if near:
        raise UserError(f"{text}: no such study file (did you mean {names[near[0]][0]}?)")
    here = f"; study files here: {_listed(list(files)[:9])}" if files else ""
    raise UserError(f"{text}: no such study file{here}")


def namesakes(study: Path, name: str) -> list[Path]:
    """Other study files beside `study` with the same name, which share its results folder."""
    others = (path for path in _yaml_files(study.parent) if not path.samefile(study))
    return [path for path in others if _name_in(path) == name]


def same_name(study: Path, other: Path, name: str) -> str:
    """The warning for a namesake.

    It is no error, since a copy of a study beside it is common and nothing is lost. The files of
    the runs stay, and a runs.csv whose runs have no files left is never written over.
    """
    return (
        f"{study}: {other} has the name {name!r} too; each writes over the other's "
        f"results/studies/{name}: give one of them another `study`"
    )


def _yaml_files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")})


def _name_in(path: Path) -> str:
    """The value of the key `study`, or ''. It reads no YAML, since the file may be broken."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    said = re.search(r"^study:\s*(['\"]?)([^'\"#\s]+)\1\s*(#.*)?$", text, re.MULTILINE)
    return said[2] if said else ""


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
