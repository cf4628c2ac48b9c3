"""Reads the header of a safetensors file: its tensors, and whether the file is whole. No torch."""

import json
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from kd.runtime.errors import UserError

_LENGTH = 8  # bytes: the size of the header, little-endian
_LONGEST = 100_000_000  # bytes of a header, as the safetensors library allows
# Of the dtypes that encoders are saved in. The sizes of others are not checked.
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1}


class Entry(NamedTuple):
    """One tensor of a file."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Entry]:
    """{name: dtype and shape} of a safetensors file.

    Source: the format as https://github.com/huggingface/safetensors describes it: the header's
    length, the header (JSON, with the byte range of every tensor), the tensors.

    Raises:
        UserError: it is no safetensors file, or shorter or longer than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(_LENGTH), "little")
        if size < _LENGTH or not 2 <= length <= _LONGEST:
            raise _no_safetensors(path)
        if size < _LENGTH + length:
            raise _wrong_size(path, f"a header of {length:,} bytes", size)
        text = handle.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        entries = {k: Entry(e["dtype"], tuple(e["shape"])) for k, e in header.items()}
        expected = _LENGTH + length + _end(header)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _no_safetensors(path) from None
    if size != expected:
        raise _wrong_size(path, f"{expected:,} bytes in all", size)
    return entries


def _end(header: dict[str, Any]) -> int:
    """Where the last tensor ends.

    Raises:
        ValueError: tensors overlap or leave gaps, or one has another size than its shape and dtype.
    """
    end = 0
    for entry in sorted(header.values(), key=lambda e: e["data_offsets"]):
        start, stop = entry["data_offsets"]
        width = _BYTES.get(entry["dtype"])
        if start != end or (width is not None and stop - start != width * prod(entry["shape"])):
            raise ValueError
        end = int(stop)
    return end


def _no_safetensors(path: Path) -> UserError:
    return UserError(f"{path}: not a safetensors file; download or save it again")


def _wrong_size(path: Path, promised: str, size: int) -> UserError:
    return UserError(
        f"{path}: cut off or damaged: it has {size:,} bytes, but its header says {promised}; "
        f"download or save it again"
    )
