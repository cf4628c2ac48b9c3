"""Teacher outputs computed once for the whole grid: packed, in half precision, memory-mapped.

One array and one manifest for each (teacher, task, tokens, feature, layer), rows in the order of
the packed tokens. logits (n, C) are float32; cls and pooled (n, H), hidden (tokens, H) and query,
key, value (tokens, h, d) are float16: rounded by at most 2^-11 of the value, and by no more than
that, because the teacher computes without autocast, whatever the precision of the runs.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.data.tokens import Split, ordered_batches
from kd.encoders.capture import ATTENTION_FEATURES, VECTORS, Capture, Features, frozen, vector_of
from kd.runtime.device import model_inputs, to_device
from kd.runtime.errors import Transient, UserError
from kd.runtime.files import aside
from kd.runtime.progress import Progress
from kd.study.stored import PER_EXAMPLE, Key, name_of
from kd.teacher.manifests import array_of, check_array, missing_outputs, publish, remove

_BATCH = 64  # examples in the teacher at once, or fewer where their features are large
_AT_ONCE = 2 << 30  # bytes of the features of a batch


def captured(keys: Iterable[Key]) -> set[Key]:
    """What must be captured to make them."""
    return {("hidden", layer) if name in VECTORS else (name, layer) for name, layer in keys}


def packed(name: str, value: Tensor, mask: Tensor) -> Tensor:
    """A captured feature as it is stored: the logits of every example, or a row a token."""
    if name in ATTENTION_FEATURES:
        value = value.transpose(1, 2)  # (B, L, h, d)
    return value if name == "logits" else value[mask]


def array_shape(key: Key, split: Split, config: Any) -> tuple[int, ...]:
    """Shape of a stored array."""
    name, hidden, heads = key[0], config.hidden_size, config.num_attention_heads
    if name == "logits":
        return len(split), config.num_labels
    if name in VECTORS:
        return len(split), hidden
    tokens = int(split.offsets[-1])
    return (tokens, hidden) if name == "hidden" else (tokens, heads, hidden // heads)


def write_outputs(
    folder: Path,
    keys: Iterable[Key],
    teacher: PreTrainedModel,
    split: Split,
    identity: dict[str, str],
    device: torch.device,
    progress: Progress,
) -> None:
    """Compute the keys in one pass over the split, up to the deepest layer.

    Each array appears whole, with a manifest that holds `identity` (of teacher and tokens) and the
    checksum of its bytes. What lies in its place is removed first: an array that is made again
    takes no more room than one.

    Raises:
        Transient: the disk has no room.
        UserError: a value does not fit in half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {key: aside(array_of(folder, key)) for key in sorted(keys)}
    try:
        for key in files:
            remove(array_of(folder, key))
        arrays = {key: _reserve(f, key, split, teacher.config) for key, f in files.items()}
        if arrays:
            _fill(arrays, teacher, split, device, progress)
        for key, array in arrays.items():
            array.flush()
            publish(files[key], array_of(folder, key), identity)
    finally:
        for file in files.values():
            file.unlink(missing_ok=True)


def _reserve(file: Path, key: Key, split: Split, config: Any) -> np.memmap:
    """An empty array on disk. The room is taken at once: a mapped file that meets a full disk
    later kills the process."""
    kind = np.float32 if key[0] == "logits" else np.float16
    shape = array_shape(key, split, config)
    try:
        array = np.lib.format.open_memmap(file, mode="w+", dtype=kind, shape=shape)
        if hasattr(os, "posix_fallocate"):  # not on every system
            with file.open("r+b") as handle:
                os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
    except OSError as error:
        raise Transient(f"{file.parent}: no room for {name_of(key)} ({error.strerror})") from None
    return array


def _fill(
    arrays: Mapping[Key, np.ndarray],
    teacher: PreTrainedModel,
    split: Split,
    device: torch.device,
    progress: Progress,
) -> None:
    teacher.to(device).eval()  # type: ignore[arg-type]
    wanted = captured(arrays)
    size = _batch_size(len(wanted), split, teacher.config.hidden_size)
    progress.start("teacher outputs", math.ceil(len(split) / size))
    with Capture(teacher, wanted) as capture, frozen(teacher):
        for rows in ordered_batches(split, size):
            batch = to_device(split.batch(rows), device)
            mask = batch["attention_mask"].bool()
            found = capture(**model_inputs(batch))
            tokens = split.places(rows).numpy()
            for (name, layer), array in arrays.items():
                if name in VECTORS:
                    value = vector_of(name, found["hidden", layer], mask)
                else:
                    value = packed(name, found[name, layer], mask)
                with np.errstate(over="ignore"):
                    stored = value.float().cpu().numpy().astype(array.dtype)
                if not np.isfinite(stored).all():
                    raise UserError(
                        f"teacher output {name_of((name, layer))}: not finite in {array.dtype}; "
                        f"store: false computes it in every run instead"
                    )
                array[rows.numpy() if name in PER_EXAMPLE else tokens] = stored
            progress.advance()


def _batch_size(features: int, split: Split, hidden: int) -> int:
    """Examples at once, so that so many features of the longest ones fit."""
    example = 4 * features * int(split.lengths.max()) * hidden
    return max(1, min(_BATCH, _AT_ONCE // example))


@dataclass(frozen=True)
class StoredOutputs:
    """Opened arrays of one split."""

    arrays: dict[Key, np.ndarray]
    split: Split

    def batch(self, rows: Tensor) -> Features:
        """The features of some examples, padded as `split.batch` pads them; padding is 0."""
        lengths = self.split.lengths[rows]
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        places, found = self.split.places(rows).numpy(), Features()
        for (name, layer), array in self.arrays.items():
            if name in PER_EXAMPLE:
                found[name, layer] = torch.from_numpy(array[rows.numpy()])
                continue
            values = torch.from_numpy(array[places])
            padded = values.new_zeros((*mask.shape, *values.shape[1:]))
            padded[mask] = values
            by_head = name in ATTENTION_FEATURES
            found[name, layer] = padded.transpose(1, 2) if by_head else padded
        return found


def open_outputs(
    folder: Path, keys: Iterable[Key], split: Split, identity: dict[str, str]
) -> StoredOutputs:
    """Open those of the keys that are stored, after checking their bytes (once for each file).

    Raises:
        Transient: an array is damaged; it has been removed, so that it is made again.
    """
    arrays = {}
    wanted = set(keys)
    for key in sorted(wanted - missing_outputs(folder, wanted, identity)):
        file = array_of(folder, key)
        check_array(file)
        arrays[key] = np.load(file, mmap_mode="r", allow_pickle=False)
    return StoredOutputs(arrays, split)
