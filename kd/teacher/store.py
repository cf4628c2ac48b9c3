"""Writes and reads stored teacher outputs: memory-mapped arrays, one per feature and layer.

They are computed once for the whole grid. Rows are in the order of the packed tokens, without
padding. Logits (examples, C) are float32. cls and pooled (examples, H), hidden states (tokens, H)
and query, key and value (tokens, h, d) are float16, which rounds by at most 2^-11 of the value.
The teacher computes without autocast, whatever the precision of the runs.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.data.tokens import Split, ordered_batches
from kd.encoders.capture import ATTENTION_FEATURES, VECTORS, Capture, Features, frozen, vector_of
from kd.runtime.device import in_batches_that_fit, model_inputs, to_device
from kd.runtime.errors import Transient, UserError
from kd.runtime.files import aside
from kd.runtime.progress import Progress
from kd.study.teacher_outputs import PER_EXAMPLE, Key, name_of
from kd.teacher.manifests import array_of, check_array, missing_outputs, publish, remove

_BATCH = 64  # examples in the teacher at once, or fewer where their features are large
_AT_ONCE = 2 << 30  # bytes of the features of a batch


def captured(keys: Iterable[Key]) -> set[Key]:
    """The (feature, layer) keys to capture so that `keys` can be made: a vector of an example is
    made from the hidden states of its layer."""
    return {("hidden", layer) if name in VECTORS else (name, layer) for name, layer in keys}


def packed(name: str, value: Tensor, mask: Tensor) -> Tensor:
    """A captured feature as it is stored: one row per example for logits, else one per token.

    Args:
        name: logits, hidden, query, key or value.
        value: (B, C) for logits, (B, L, H) for hidden, (B, h, L, d) for the others.
        mask: (B, L) bool, true for real tokens.

    Returns:
        (B, C), (tokens, H) or (tokens, h, d), where tokens are the real ones of the batch.
    """
    if name in ATTENTION_FEATURES:
        value = value.transpose(1, 2)  # (B, L, h, d)
    return value if name == "logits" else value[mask]


def array_shape(key: Key, split: Split, config: Any) -> tuple[int, ...]:
    """Shape of the stored array of a split; `config` is the teacher's."""
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
    """Compute and store some outputs, in one pass over the split up to the deepest layer.

    Each array appears whole, with a manifest that holds `identity` and the checksum of its bytes.
    An array that lies in its place is removed first, so that two never take room at once.

    Args:
        folder: where the arrays go.
        keys: (feature, layer) of the arrays.
        teacher: a fine-tuned model; it is moved to `device`.
        split: the training examples.
        identity: what the arrays are made of: fingerprints of teacher and tokens.
        device: where the teacher computes.
        progress: shows the count of batches.

    Raises:
        Transient: the disk has no room.
        UserError: a value is not finite in half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {key: aside(array_of(folder, key)) for key in sorted(keys)}
    try:
        for key in files:
            remove(array_of(folder, key))
        arrays = {key: _reserve(f, key, split, teacher.config) for key, f in files.items()}
        if arrays:
            size = _batch_size(len(captured(arrays)), split, teacher.config.hidden_size)
            fill = partial(_fill, arrays, teacher, split, device, progress)
            in_batches_that_fit(fill, size, device, "stored")
        for key, array in arrays.items():
            array.flush()
            publish(files[key], array_of(folder, key), identity)
    finally:
        for file in files.values():
            file.unlink(missing_ok=True)


def _reserve(file: Path, key: Key, split: Split, config: Any) -> np.memmap:
    """An empty array on disk. Its room is reserved at once, because a process dies if the disk is
    full when it writes to a mapped file."""
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
    size: int,
) -> None:
    teacher.to(device).eval()  # type: ignore[arg-type]
    wanted = captured(arrays)
    progress.start("teacher outputs", math.ceil(len(split) / size))
    with Capture(teacher, wanted) as capture, frozen(teacher):
        for rows in ordered_batches(split, size):
            batch = to_device(split.batch(rows), device)
            mask = batch["attention_mask"].bool()
            features = capture(**model_inputs(batch))
            tokens = split.places(rows).numpy()
            for (name, layer), array in arrays.items():
                if name in VECTORS:
                    value = vector_of(name, features["hidden", layer], mask)
                else:
                    value = packed(name, features[name, layer], mask)
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
    """Examples in a batch, so that this many features of the longest examples fit in memory."""
    example = 4 * features * int(split.lengths.max()) * hidden
    return max(1, min(_BATCH, _AT_ONCE // example))


@dataclass(frozen=True)
class StoredOutputs:
    """Opened arrays of one split, by (feature, layer); see the module for their shapes."""

    arrays: dict[Key, np.ndarray]
    split: Split

    def batch(self, rows: Tensor, length: int | None = None) -> Features:
        """The features of some examples, padded with 0 to the longest of them, or to `length`.

        Args:
            rows: (B,) numbers of the examples in the split.
            length: tokens, no less than their longest; None for that.

        Returns:
            By (feature, layer), on the CPU: logits (B, C), vectors (B, H), hidden (B, L, H), query,
            key and value (B, h, L, d).
        """
        lengths = self.split.lengths_of(rows)
        mask = torch.arange(length or int(lengths.max())) < lengths[:, None]
        places, features = self.split.places(rows).numpy(), Features()
        for (name, layer), array in self.arrays.items():
            if name in PER_EXAMPLE:
                features[name, layer] = torch.from_numpy(array[rows.numpy()])
                continue
            values = torch.from_numpy(array[places])
            padded = values.new_zeros((*mask.shape, *values.shape[1:]))
            padded[mask] = values
            by_head = name in ATTENTION_FEATURES
            features[name, layer] = padded.transpose(1, 2) if by_head else padded
        return features


def open_outputs(
    folder: Path, keys: Iterable[Key], split: Split, identity: dict[str, str]
) -> StoredOutputs:
    """Open the arrays of those keys that are stored. The bytes of each file are checked once.

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
