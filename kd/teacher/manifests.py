"""Whether a stored array is there, whole, and made of the right teacher: the files beside it.

Beside `hidden-3.npy` lie two files. The manifest `hidden-3.json` holds the fingerprints of teacher
and tokens and the checksum of the array's bytes. An array without a manifest does not count.
`hidden-3.verified.json` holds size, time of change and inode of the file that was last checked, so
that an unchanged file is not read again to check it.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash

from kd.runtime.errors import Transient, UserError
from kd.runtime.seals import read_record, write_record
from kd.study.teacher_outputs import Key, name_of

# Of what is computed: arrays of another version are made again. 2: in the precision of the
# teacher's weights, without autocast.
VERSION = 2
_CHUNK = 1 << 24  # bytes hashed at a time


def array_of(folder: Path, key: Key) -> Path:
    """The file of a stored array."""
    return folder / f"{name_of(key)}.npy"


def _manifest(array: Path) -> Path:
    return array.with_suffix(".json")


def _verified(array: Path) -> Path:
    return array.with_suffix(".verified.json")


def remove(array: Path) -> None:
    """Remove an array and the files beside it, the manifest first."""
    for path in (_manifest(array), _verified(array), array):
        path.unlink(missing_ok=True)


def publish(file: Path, array: Path, identity: dict[str, str]) -> None:
    """Rename a written file to `array`. The manifest is written last, so that an array that has one
    is whole."""
    # The clock of a file system ticks every few milliseconds. A time set here differs from that of
    # any later write, even within the same tick.
    os.utime(file, ns=(time.time_ns(), time.time_ns()))
    checksum = _checksum(file)
    file.replace(array)
    _note(array, checksum, _stamp(array))
    write_record(_manifest(array), {"version": VERSION, **identity, "checksum": checksum})


def is_stored(array: Path, identity: dict[str, str] | None) -> bool:
    """Whether an array is there and its manifest names this teacher and these tokens.

    It reads the manifest alone and changes nothing. `check_array` checks the bytes.
    """
    if identity is None or not array.is_file():
        return False
    manifest = peek(_manifest(array))
    return all(manifest.get(k) == v for k, v in {"version": VERSION, **identity}.items())


def missing_outputs(folder: Path, keys: Iterable[Key], identity: dict[str, str]) -> set[Key]:
    """Those of the keys that are not stored.

    Raises:
        Transient: a manifest is damaged; it has been removed, so that its array is made again.
    """
    return {key for key in keys if not _is_there(array_of(folder, key), identity)}


def _is_there(array: Path, identity: dict[str, str]) -> bool:
    path = _manifest(array)
    if not (path.is_file() and array.is_file()):
        return False
    try:
        read_record(path, "version", "checksum", mark=False)
    except UserError:
        path.unlink(missing_ok=True)  # Snakemake does not know of it: the next try stores it again
        raise Transient(
            f"{path}: damaged; removed; start again to have its array made anew"
        ) from None
    return is_stored(array, identity)


def check_array(array: Path) -> None:
    """Check an array's bytes, unless this very file has been checked before.

    Raises:
        Transient: it is damaged; it has been removed, so that it is made again.
    """
    checksum = str(peek(_manifest(array)).get("checksum"))
    try:
        stamp = _stamp(array)
        if peek(_verified(array)).get("file") == [checksum, *stamp]:
            return
        whole = _checksum(array) == checksum
        if not whole and _stamp(array) == stamp:  # else another job has made it again meanwhile
            remove(array)
    except FileNotFoundError:  # another job has found it damaged and removed it
        whole = False
    if not whole:
        raise Transient(
            f"{array}: damaged (wrong checksum); removed; start again to have it made anew"
        )
    _note(array, checksum, stamp)


def _note(array: Path, checksum: str, stamp: list[int]) -> None:
    """Record that the file with this stamp has this checksum."""
    try:
        write_record(_verified(array), {"file": [checksum, *stamp]})
    except OSError as error:  # results of another user, a full disk: the next reader checks again
        print(f"{array}: checked, but not noted down ({error.strerror})", flush=True)


def _stamp(file: Path) -> list[int]:
    """What changes when a file is written to or replaced: size, time of change, inode."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def peek(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} if the file is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
