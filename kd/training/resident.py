"""The training examples, and what is stored of the teacher, in the memory of a GPU.

There a batch is made of the numbers of its examples alone. Read and copied by the CPU, the stored
outputs of a small student take longer than its step.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kd.data.tokens import Split
from kd.encoders.capture import ATTENTION_FEATURES, Features
from kd.runtime.gpu_slots import jobs_per_gpu
from kd.study.teacher_outputs import PER_EXAMPLE, Key
from kd.teacher.features import TeacherFeatures

_PIECE = 2**26  # bytes
_SHARE = 0.25  # of the GPU's memory, for all jobs that share it


@dataclass(frozen=True)
class Resident:
    """A split and stored outputs on a device. Its batches equal those that the CPU makes."""

    split: Split
    arrays: dict[Key, Tensor]  # as in `kd.teacher.store`

    def batch(self, rows: Tensor, length: int) -> tuple[dict[str, Tensor], Features]:
        """What `Split.batch` and `StoredOutputs.batch` return for the examples `rows` (B,), which
        is on the device. Nothing waits for the device."""
        batch = self.split.batch(rows, length)
        del batch["ids"]
        mask = batch["attention_mask"].bool()
        places = self.split.padded_places(rows, length)
        features = Features()
        for (name, layer), array in self.arrays.items():
            if name in PER_EXAMPLE:
                features[name, layer] = array[rows]
                continue
            values = array[places]
            hidden = ~mask.view(*mask.shape, *[1] * (values.ndim - 2))
            values = values.masked_fill(hidden, 0)
            features[name, layer] = values.transpose(1, 2) if name in ATTENTION_FEATURES else values
        return batch, features


def resident(
    split: Split, teacher: TeacherFeatures | None, device: torch.device
) -> Resident | None:
    """The training examples on a GPU; None where it has too little memory, or is none.

    Examples that were added to a training set stay in host memory: how many of a batch have a label
    is not known beforehand.
    """
    if device.type != "cuda" or split.made_of is not None:
        return None
    stored = {} if teacher is None or teacher.stored is None else teacher.stored.arrays
    needed = sum(array.nbytes for array in stored.values())
    needed += sum(vector.nbytes for vector in (*split.flat.values(), split.offsets, split.labels))
    free, total = torch.cuda.mem_get_info(device)
    if needed > min(_SHARE * total / jobs_per_gpu(), free / 2):
        return None
    arrays = {key: _copied(array, device) for key, array in stored.items()}
    return Resident(split.to(device), arrays)


def _copied(array: np.ndarray, device: torch.device) -> Tensor:
    """An array, which may be a file, on the device; in pieces, so that the host holds little."""
    rows = max(1, _PIECE // max(1, array[:1].nbytes))
    copy = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype, device=device)
    for start in range(0, len(array), rows):
        copy[start : start + rows] = torch.from_numpy(np.array(array[start : start + rows]))
    return copy
