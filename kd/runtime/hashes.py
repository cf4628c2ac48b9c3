"""Digests of files and of plain data."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


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
