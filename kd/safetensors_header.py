"""What a safetensors file says of itself: its tensors, and whether it is whole. No torch."""

import json
from pathlib import Path
from typing import NamedTuple

from kd.errors import UserError

_LENGTH = 8  # bytes: the size of the header, little-endian
_LONGEST = 100_000_000  # bytes of a header, as the safetensors library allows


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
        ends = [entry["data_offsets"][1] for entry in header.values()]
        entries = {k: Entry(e["dtype"], tuple(e["shape"])) for k, e in header.items()}
        expected = _LENGTH + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _no_safetensors(path) from None
    if size != expected:
        raise _wrong_size(path, f"{expected:,} bytes in all", size)
    return entries


def _no_safetensors(path: Path) -> UserError:
    return UserError(f"{path}: not a safetensors file; download or save it again")


def _wrong_size(path: Path, promised: str, size: int) -> UserError:
    return UserError(
        f"{path}: cut off or damaged: it has {size:,} bytes, but its header says {promised}; "
        f"download or save it again"
    )
