"""Digests of large input files, remembered between processes, so that planning reads them once.

A digest is valid while the file's path, size, times and inode do not change. Each lies in a small
JSON file in a cache folder of the user. Many processes may write at once, because a record appears
whole and the last one stays. Without a writable folder every file is read again.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from kd.runtime.files import atomic_write
from kd.runtime.hashes import combined_digest, content_digest

VARIABLE = "KD_CACHE_DIR"
# A file that changes twice within the resolution of its clock shows the same time for both.
_FRESH, _FRESH_COARSE = 20_000_000, 2_000_000_000  # ns; coarse: whole seconds, as of some NFS


def cache_folder() -> Path | None:
    """$KD_CACHE_DIR, or kd-grid in $XDG_CACHE_HOME or ~/.cache; None: there is no home."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    # The specification of XDG: a relative path is invalid and counts as not set.
    base = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(RuntimeError):
        return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kd-grid"
    return None


def cached_file_digest(*paths: Path) -> str:
    """`hashes.file_digest`, but only files that are not in the cache are read."""
    return combined_digest((path.name, _content(path)) for path in paths)


def cached_content_digest(path: Path) -> str:
    """SHA-256 of a file's content alone, whatever its name, in hex."""
    return _content(path).hex()


def _content(path: Path) -> bytes:
    """SHA-256 of a file's content."""
    now, before = time.time_ns(), _state(path)
    record = _record(path)
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        known = json.loads(record.read_bytes()) if record else {}
        if known["state"] == before:
            digest = bytes.fromhex(known["sha256"])
            if len(digest) == hashlib.sha256().digest_size:
                return digest
    digest = content_digest(path)
    changed = int(before[3])
    resolution = _FRESH_COARSE if changed % 1_000_000_000 == 0 else _FRESH
    if record and changed + resolution < now and _state(path) == before:
        with suppress(OSError):
            atomic_write(record, json.dumps({"state": before, "sha256": digest.hex()}))
    return digest


def _state(path: Path) -> list[str | int]:
    """What changes when a file is written to or replaced. It includes the time of the inode's
    change, because tools that copy set the time of modification back."""
    stat = path.stat()
    return [
        str(path.resolve()),
        stat.st_size,
        stat.st_mtime_ns,
        max(stat.st_mtime_ns, stat.st_ctime_ns),
        stat.st_ino,
    ]


def _record(path: Path) -> Path | None:
    folder = cache_folder()
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
    return folder / "digests" / f"{name}.json" if folder else None
