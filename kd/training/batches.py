"""The batches of a training in host memory, where a GPU trains one ahead of it."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from kd.data.tokens import Split
from kd.encoders.capture import Features
from kd.runtime.device import pinned
from kd.teacher.features import TeacherFeatures

T = TypeVar("T")
U = TypeVar("U")
# (a batch of a split, seed of the step) -> the batch as the encoders get it.
Prepare = Callable[[dict[str, Tensor], int], dict[str, Tensor]]


@dataclass(frozen=True)
class Loaded:
    """A batch in host memory, ready to be copied to the device."""

    rows: Tensor  # (B,) numbers of the examples in their split
    batch: dict[str, Tensor]  # as `Split.batch` and `Prepare` make it, without ids
    stored: Features  # what is stored of the teacher
    padded: bool  # whether an example is shorter than the longest; asked here, not on a GPU


def load(
    split: Split,
    rows: Tensor,
    teacher: TeacherFeatures | None,
    device: torch.device,
    prepare: Prepare | None,
    seed: int,
) -> Loaded:
    """The batch of the examples `rows` (B,) of a split, for a step with this seed."""
    batch = split.batch(rows)
    if prepare is not None:
        batch = prepare(batch, seed)
    batch.pop("ids", None)
    stored = teacher.read(rows) if teacher is not None else {}
    padded = not bool(batch["attention_mask"].all())
    return Loaded(rows, pinned(batch, device), pinned(stored, device), padded)


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
