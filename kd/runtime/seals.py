"""Finds damaged files: a folder is sealed with the checksums of its files, a record with its own.

A job that reads something damaged marks it. The next start sets it aside and makes it again. It is
not removed at once, because a running Snakemake ends, with all its jobs, if an input disappears.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kd.runtime.errors import Transient, UserError, listing
from kd.runtime.files import atomic_dir, atomic_write, remove_path, take_the_place, write_json
from kd.runtime.hashes import file_digest, short_hash

SEAL = "checksums.json"
MARK = ".is-damaged"  # behind a name: a file that says why
EMPTIED = "REMOVED.txt"  # in a folder whose other files were removed: why
_SEAL_KEY = "seal"  # of a record: the checksum of its other keys


@contextmanager
def sealed_dir(path: Path) -> Iterator[Path]:
    """`atomic_dir` with checksums of all its files, for `check_seal`."""
    with atomic_dir(path) as folder:
        yield folder
        write_json(folder / SEAL, folder_digests(folder))
    _mark_of(path).unlink(missing_ok=True)


def check_seal(folder: Path) -> Path:
    """The folder, if every file in it is what was written.

    Raises:
        UserError: it is missing; or emptied; or damaged, and has been marked.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; the next start makes it")
    check_not_emptied(folder)
    if reason := broken_seal(folder):
        raise _damaged(folder, reason)
    return folder


def broken_seal(folder: Path) -> str:
    """Why the contents of a sealed folder are not those written; '' if they are. Marks nothing.

    Raises:
        Transient: the files cannot be read, which does not say that they are damaged.
    """
    if emptied(folder):
        return "its files were removed"
    try:
        expected = json.loads((folder / SEAL).read_bytes())
        found = folder_digests(folder)
        differing = [n for n in sorted(found.keys() | expected) if found.get(n) != expected.get(n)]
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, AttributeError):
        return f"{SEAL} is missing or broken"
    except OSError as error:  # as of a network file system; the files may be whole
        raise Transient(f"{folder}: cannot be read ({error.strerror})") from None
    return f"{differing[0]} is not as it was written" if differing else ""


def empty_sealed(folder: Path, why: str) -> None:
    """Remove the files of a sealed folder, but not its seal; `why` is what `check_seal` then says.

    The folder keeps its time, because Snakemake makes again what is older than its inputs.
    """
    before = folder.stat()
    atomic_write(folder / EMPTIED, f"{why}\n")
    for file in _files(folder):
        file.unlink()
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def is_emptied(folder: Path) -> bool:
    """Whether all files of a sealed folder were removed. False if the removal was killed."""
    return bool(emptied(folder)) and not _files(folder)


def refill_sealed(folder: Path, made: Path) -> None:
    """Put a sealed folder, made again, in the place of an emptied one, with its time."""
    before = folder.stat()
    for hidden in folder.glob(".*"):  # Snakemake's note of the time
        shutil.copy2(hidden, made / hidden.name)
    take_the_place(made, folder)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))


def emptied(folder: Path) -> str:
    """Why the files of a folder were removed; '' if they were not."""
    with suppress(OSError):
        return (folder / EMPTIED).read_text(encoding="utf-8").strip()
    return ""


def mark_emptied(folder: Path) -> None:
    """Mark a folder for the next start if its files were removed.

    Raises:
        UserError: they were removed.
    """
    if emptied(folder):
        raise _damaged(folder, "its weights were removed before its evaluation was complete")


def check_not_emptied(folder: Path) -> None:
    """Check that the files of a folder were not removed.

    Raises:
        UserError: they were removed; the message says why.
    """
    if why := emptied(folder):
        raise UserError(f"{folder}: {why}")


def folder_digests(folder: Path) -> dict[str, str]:
    """The checksum of every file below a folder, except the seal and hidden files, which come from
    elsewhere (.snakemake_timestamp, .nfs...)."""
    return {str(file.relative_to(folder)): file_digest(file) for file in _files(folder)}


def _files(folder: Path) -> list[Path]:
    names = folder.rglob("[!.]*")
    return sorted(path for path in names if path.is_file() and path.name not in (SEAL, EMPTIED))


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object with the checksum of its other keys, atomically."""
    record = json.loads(json.dumps(record, allow_nan=False))
    write_json(path, {**record, _SEAL_KEY: short_hash(record)})
    _mark_of(path).unlink(missing_ok=True)


def read_record(path: Path, *keys: str, mark: bool = True) -> dict[str, Any]:
    """Read a JSON object that must have `keys`; its checksum, where it has one, must be right.

    Commands that only report use `mark=False`, so that they write nothing.

    Raises:
        UserError: it is missing; or damaged, and has been marked.
    """
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the next start makes it") from None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise _damaged(path, f"not valid JSON: {error}", mark) from None
    if not isinstance(record, dict) or not all(key in record for key in keys):
        raise _damaged(path, f"it lacks {listing(keys)}", mark)
    checksum = record.pop(_SEAL_KEY, None)
    if checksum is not None and checksum != short_hash(record):
        raise _damaged(path, "wrong checksum", mark)
    return record


def marked(mark: Path) -> Path:
    """The file or folder that a mark says is damaged."""
    return mark.with_name(mark.name.removesuffix(MARK))


def is_whole(path: Path) -> bool:
    """Whether a folder that was marked as damaged is as it was written: reading it failed then."""
    return (path / SEAL).is_file() and not broken_seal(path)


def set_aside(mark: Path) -> Path:
    """Rename what is marked to NAME.damaged, where someone may look at it; the new name.

    An older NAME.damaged is replaced.
    """
    path = marked(mark)
    kept = path.with_name(f"{path.name}.damaged")
    with suppress(FileNotFoundError):
        if path.exists():
            remove_path(kept)
        path.replace(kept)
    mark.unlink(missing_ok=True)
    return kept


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + MARK)


def _damaged(path: Path, reason: str, mark: bool = True) -> UserError:
    """The error of a damaged file or folder, which is marked for the next start."""
    done = "remove it to have it made again"
    if mark:
        try:
            atomic_write(_mark_of(path), f"{reason}\n")
            done = "the next start of snakemake sets it aside and makes it again"
        except OSError as error:
            done += f" ({error.strerror})"
    return UserError(f"{path}: damaged ({reason}); {done}")
