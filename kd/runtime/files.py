"""Files that appear whole or not at all, and are found out when they are damaged.

Folders are sealed with a file of checksums, JSON records hold their own. What does not match is
marked by who reads it, and set aside by the next start, which then makes it again. Not at once: a
Snakemake that runs ends, with all its jobs, when an input that it has seen is gone.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from kd.runtime.errors import UserError, listing

SEAL = "checksums.json"
MARK = ".is-damaged"  # behind a name: a file that says why
_SEAL_KEY = "seal"  # of a record: the checksum of its other keys
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # a file system without them


def aside(path: Path) -> Path:
    """A name beside `path` (same file system, so that a rename is atomic) that no one else uses."""
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")


def leftovers(folder: Path, name: str = "*") -> list[Path]:
    """What processes that were killed while they wrote have left directly in a folder, of files
    whose name matches."""
    return sorted(folder.glob(f".{name}.*.tmp"))


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove them; only for who knows that no one else writes there."""
    for path in leftovers(folder, name):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path, new: bool = False) -> None:
    """Make a folder, and those above it. A `new` one must not be there.

    Raises:
        UserError: the file system makes no folders there, as /proc.
    """
    try:
        path.mkdir(parents=not new, exist_ok=not new)
    except FileNotFoundError:
        raise UserError(f"{path.parent}: no folder can be made there; name another place") from None


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a file beside it; readers see the old or the new, whole."""
    make_folder(path.parent)
    temporary = aside(path)
    try:
        data = content.encode() if isinstance(content, str) else content
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path, sealed: bool = False) -> Iterator[Path]:
    """A temporary folder that takes the place of `path` when the block ends without an error.

    A `sealed` one holds checksums of all its files, for `check_seal`.
    """
    make_folder(path.parent)
    temporary = aside(path)
    make_folder(temporary, new=True)
    try:
        yield temporary
        for file in filter(Path.is_file, temporary.iterdir()):
            # Libraries write files that only their owner may read.
            file.chmod(temporary.stat().st_mode & 0o666)
        if sealed:
            write_json(temporary / SEAL, folder_digests(temporary))
        _take_the_place(temporary, path)
        _mark_of(path).unlink(missing_ok=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_the_place(temporary: Path, path: Path) -> None:
    """Rename a folder over another; whoever else does it at the same time, one of them stays."""
    while True:
        try:
            temporary.replace(path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return
        old = aside(path)
        with suppress(FileNotFoundError):
            path.replace(old)
        _remove(old)


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + MARK)


def folder_digests(folder: Path) -> dict[str, str]:
    """The checksum of every file below a folder, but of the seal and of hidden ones, which others
    put there (Snakemake its .snakemake_timestamp, NFS its .nfs...)."""
    names = folder.rglob("[!.]*")
    files = sorted(path for path in names if path.is_file() and path.name != SEAL)
    return {str(file.relative_to(folder)): file_digest(file) for file in files}


def check_seal(folder: Path) -> Path:
    """The folder, if every file in it is what was written.

    Raises:
        UserError: it is missing; or damaged, and has been marked.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; the next start makes it")
    if reason := broken_seal(folder):
        raise _damaged(folder, reason)
    return folder


def broken_seal(folder: Path) -> str:
    """Why a sealed folder is not what was written; '' where it is. Nothing is marked."""
    try:
        expected = json.loads((folder / SEAL).read_bytes())
        found = folder_digests(folder)
        differing = [n for n in sorted(found.keys() | expected) if found.get(n) != expected.get(n)]
    except (OSError, ValueError, TypeError, AttributeError):
        return f"{SEAL} is missing or broken"
    return f"{differing[0]} is not as it was written" if differing else ""


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


def marked(mark: Path) -> Path:
    """What a mark stands for."""
    return mark.with_name(mark.name.removesuffix(MARK))


def set_aside(mark: Path) -> Path:
    """Rename what a mark stands for to NAME.damaged, over one from before; someone may want to look
    at it. The new name."""
    path = marked(mark)
    kept = path.with_name(f"{path.name}.damaged")
    with suppress(FileNotFoundError):
        if path.exists():
            _remove(kept)
        path.replace(kept)
    mark.unlink(missing_ok=True)
    return kept


@contextmanager
def only_one(path: Path, waiting: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock file `path`, after whoever has it; yields whether someone had it.

    `waiting` is called every second with who that is. The lock ends with its process, however it
    ends. A file system without locks gives none. (The `filelock` package does not say who holds a
    lock, and changes to files that a killed process leaves locked where a file system has none.)
    """
    make_folder(path.parent)
    waited = False
    with path.open("ab+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                waiting(handle.read().decode(errors="replace").strip())
                waited = True
                time.sleep(1)
                continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            break
        with suppress(OSError):  # on a full disk no one learns who holds it
            handle.truncate(0)
            os.write(handle.fileno(), f"{socket.gethostname()}, process {os.getpid()}\n".encode())
        yield waited


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused: no reader could parse it."""
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one is a `UserError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise UserError(
            f"{path}: not valid JSON ({error}); delete it to have it made again"
        ) from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON object with the checksum of its other keys, atomically."""
    record = json.loads(json.dumps(record, allow_nan=False))
    write_json(path, {**record, _SEAL_KEY: short_hash(record)})
    _mark_of(path).unlink(missing_ok=True)


def read_record(path: Path, *keys: str, mark: bool = True) -> dict[str, Any]:
    """Read a JSON object that must have `keys`; its checksum, where it has one, must be right.

    Commands that only report read with `mark=False`: they write nothing.

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


def short_hash(value: Any, length: int = 10) -> str:
    """The first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def model_fingerprint(folder: Path) -> str:
    """16 hex digits of the weights in a model's folder."""
    return file_digest(*sorted(folder.glob("*.safetensors")))


def file_digest(*paths: Path) -> str:
    """16 hex digits of the SHA-256 over the files' names and contents, in the order given."""
    return combined_digest((path.name, content_digest(path)) for path in paths)


def content_digest(path: Path) -> bytes:
    """SHA-256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()


def combined_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """16 hex digits of the SHA-256 over (name, `content_digest`) of files."""
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:16]
