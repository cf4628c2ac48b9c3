"""Files that appear whole or not at all, and fingerprints of their content."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from kd.errors import UserError


def aside(path: Path) -> Path:
    """A name beside `path` (same file system, so that a rename is atomic) that no one else uses."""
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a file beside it; readers see the old or the new, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in filter(Path.is_file, temporary.iterdir()):
            # Libraries write files that only their owner may read.
            file.chmod(temporary.stat().st_mode & 0o666)
        if path.exists():
            old = aside(path)
            path.replace(old)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """Read a JSON object that must have `keys`."""
    record = read_json(path)
    if not isinstance(record, dict) or not all(key in record for key in keys):
        raise UserError(f"{path}: damaged, it lacks {keys[0]}; delete it to have it made again")
    return record


def short_hash(value: Any, length: int = 10) -> str:
    """The first `length` hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def file_digest(*paths: Path) -> str:
    """16 hex digits of the SHA-256 over the files' names and contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as handle:
            digest.update(path.name.encode() + b"\0")
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()[:16]
