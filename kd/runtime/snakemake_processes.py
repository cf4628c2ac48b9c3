"""Finds the Snakemake processes of this machine, however they were started."""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?")


def workflows(here: Path) -> list[int]:
    """Ids of the Snakemake processes started in the folder `here`; none without /proc."""
    here, found = here.resolve(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if (process / "cwd").resolve(strict=True) != here:
                continue
            if is_snakemake(words) or _writes_a_log(process, here / ".snakemake/log"):
                found.append(int(process.name))
        except OSError:  # gone by now, or another user's
            continue
    return sorted(found)


def _writes_a_log(process: Path, folder: Path) -> bool:
    """Whether a process has a file of Snakemake's log folder open for writing, as only Snakemake
    has. A program that follows the log opens it for reading."""
    for link in (process / "fd").iterdir():
        if link.readlink().parent == folder:
            flags = re.search(
                r"flags:\s*(\d+)", (process / "fdinfo" / link.name).read_text("ascii")
            )
            if flags and int(flags[1], 8) & (os.O_WRONLY | os.O_RDWR):
                return True
    return False


def is_snakemake(words: Sequence[str]) -> bool:
    """Whether a command line is that of a Snakemake that someone started, by script or by module.

    A Snakemake that another one started for a job has `--mode` in its command line.
    """
    program, arguments = _program(words)
    return program == "snakemake" and "--mode" not in arguments


def _program(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What a Python interpreter runs (the package, or the name of the script), and its arguments;
    '' if it is no Python, or runs code from its command line."""
    if not words or not _PYTHON.fullmatch(PurePath(words[0]).name):
        return "", ()
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        if word == "--check-hash-based-pycs":
            rest = rest[1:]
        elif not word.startswith("-") or word == "-":
            path = PurePath(word)
            return (path.parent.name if path.stem == "__main__" else path.name), rest
        elif flag := re.match(r"-[a-zA-Z]*?([cmWX])(.*)", word):  # the last of its group
            value = flag[2] or (rest.pop(0) if rest else "")
            if flag[1] in "cm":
                return value.partition(".")[0] if flag[1] == "m" else "", rest
    return "", ()
