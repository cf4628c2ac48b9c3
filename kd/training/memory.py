"""The memory of the device: its peak in a training, and smaller micro-batches when it runs out."""

import math
from collections.abc import Callable
from typing import TypeVar

import torch

from kd.runtime.errors import Transient
from kd.training.checkpoint import load_random, random_states
from kd.training.state import State

T = TypeVar("T")


def with_less_memory(
    one_step: Callable[[int], T],
    state: State,
    device: torch.device,
    free: Callable[[], bool],
) -> T:
    """Call `one_step(micro_batch)`; if memory runs out, again with half as many examples at a time.

    `free` gives up memory that only makes steps faster, and says whether there was any. Then the
    next try has as many examples as the last one.

    Gradients, random states and buffers are restored before each new try.

    Raises:
        Transient: there is no room for one example.
    """
    random = random_states(device)
    buffers = [(buffer, buffer.clone()) for buffer in state.objective.buffers()]
    while True:
        try:
            return one_step(state.micro_batch)
        except torch.OutOfMemoryError:
            pass  # the memory of the failed try is freed only after this block
        if not free():
            _halve(state)
        state.optimiser.zero_grad(set_to_none=True)
        load_random(random, device)
        for buffer, before in buffers:
            buffer.copy_(before)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _halve(state: State) -> None:
    if state.micro_batch == 1:
        raise Transient(
            "out of memory on the device with one example at a time: a smaller max_length, "
            "student or teacher, or a larger device is needed"
        )
    state.micro_batch = math.ceil(state.micro_batch / 2)
    print(
        f"out of memory on the device: from step {state.step + 1} on {state.micro_batch} "
        f"examples at once in the encoders; batch_size stays",
        flush=True,
    )


def reset_peak(device: torch.device) -> None:
    """Start to measure: what the process did before, such as storing outputs, does not count."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int | None:
    """The peak of memory on the device since `reset_peak`, in bytes; None on the CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
