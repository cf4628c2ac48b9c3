"""The batches of a training: made in host memory, one ahead of a GPU, or in the GPU's memory."""

import math
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from kd.data.masking import PREDICTED
from kd.data.tokens import LABELLED, Split
from kd.encoders.capture import Features
from kd.runtime.device import pinned
from kd.teacher.features import TeacherFeatures

ROWS = "rows"  # in a batch of which the device has the examples
_MULTIPLE = 8  # tokens
T = TypeVar("T")
U = TypeVar("U")
# (a batch of a split, seed of the step) -> the batch as the encoders get it.
Prepare = Callable[[dict[str, Tensor], int], dict[str, Tensor]]


@dataclass(frozen=True)
class Loaded:
    """A batch in host memory, ready to be copied to the device."""

    rows: Tensor  # (B,) numbers of the examples in their split
    length: int  # tokens, with padding
    batch: dict[str, Tensor]  # as `Split.batch` and `Prepare` make it, without ids; or `ROWS` alone
    stored: Features  # what is stored of the teacher
    padded: bool  # whether an example is shorter than the longest; asked here, not on a GPU

    @property
    def same_shape(self) -> bool:
        """Whether its shapes are those of all batches of so many examples of this length."""
        return not {LABELLED, PREDICTED} & self.batch.keys()


def load_rows(
    split: Split, rows: Tensor, device: torch.device, pad_to: int | None = None
) -> Loaded:
    """The numbers of the examples `rows` (B,), of which the device makes the batch; `pad_to` as in
    `load`."""
    length = pad_to or _length(split, rows)
    padded = bool((split.lengths_of(rows) < length).any())
    return Loaded(rows, length, pinned({ROWS: rows}, device), {}, padded)


def load(
    split: Split,
    rows: Tensor,
    teacher: TeacherFeatures | None,
    device: torch.device,
    prepare: Prepare | None,
    seed: int,
    pad_to: int | None = None,
) -> Loaded:
    """The batch of the examples `rows` (B,) of a split, for a step with this seed.

    It is padded to `pad_to` tokens; None for hardly more than its longest example.
    """
    length = pad_to or (_length(split, rows) if device.type == "cuda" else None)
    batch = split.batch(rows, length)
    if prepare is not None:
        batch = prepare(batch, seed)
    batch.pop("ids", None)
    stored = teacher.read(rows, length) if teacher is not None else {}
    padded = not bool(batch["attention_mask"].all())
    length = batch["attention_mask"].shape[1]
    return Loaded(rows, length, pinned(batch, device), pinned(stored, device), padded)


def _length(split: Split, rows: Tensor) -> int:
    """The length to which a GPU pads a batch: few lengths, so that steps repeat their shapes."""
    longest = int(split.lengths_of(rows).max())
    return min(math.ceil(longest / _MULTIPLE) * _MULTIPLE, split.longest)


def one_ahead(
    items: Iterable[T], loader: Callable[[T], U], ahead: bool
) -> Generator[U, None, None]:
    """What `loader` makes of each item, in order.

    With `ahead` a thread makes the next one while the caller works with the last. What it raises
    comes when its turn has come.
    """
    if not ahead:
        yield from map(loader, items)
        return
    # A new thread would take all cores.
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        waiting: Future[U] | None = None
        for item in items:
            coming = pool.submit(loader, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
