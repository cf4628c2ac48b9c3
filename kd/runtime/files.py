"""Files and folders that appear whole or not at all.

Each is written under a temporary name beside its place and then renamed.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from kd.runtime.errors import UserError


def aside(path: Path) -> Path:
    """An unused name beside `path`, on the same file system, so that a rename is atomic."""
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")


def leftovers(folder: Path, name: str = "*") -> list[Path]:
    """Temporary files directly in a folder that killed processes left, for files named `name`."""
    return sorted(folder.glob(f".{name}.*.tmp"))


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove the `leftovers`. Only the one process that writes to the folder may call it."""
    for path in leftovers(folder, name):
        remove_path(path)


def remove_path(path: Path) -> None:
    """Remove a file, or a folder with its contents."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path, new: bool = False) -> None:
    """Make a folder and its parents. If `new`, it must not exist yet.

    Raises:
        UserError: no folder can be made there, for example in /proc.
    """
    try:
        path.mkdir(parents=not new, exist_ok=not new)
    except FileNotFoundError:
        raise UserError(f"{path.parent}: no folder can be made there; name another place") from None


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a temporary file. Readers see all of it or none."""
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
def atomic_dir(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `path` when the block ends without an error."""
    make_folder(path.parent)
    temporary = aside(path)
    make_folder(temporary, new=True)
    try:
        yield temporary
        mode = temporary.stat().st_mode & 0o666
        for file in filter(Path.is_file, temporary.rglob("*")):
            # Libraries write files that only their owner may read. A file that is a link of another
            # user's cannot be changed, and need not be.
            if file.stat().st_mode & 0o777 != mode:
                file.chmod(mode)
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        take_the_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def take_the_place(temporary: Path, path: Path) -> None:
    """Rename a folder over another. If several processes do so at once, one of them stays."""
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
        remove_path(old)


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
