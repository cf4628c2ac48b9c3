"""The device of a job: which one, at what precision, and how batches reach it."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

from kd.runtime.bf16 import bf16_autocast
from kd.runtime.errors import Transient
from kd.runtime.gpu_slots import jobs_per_gpu, slots_folder, take_slot

K = TypeVar("K")
T = TypeVar("T")


def choose_device(waiting: Callable[[str], None] = print) -> torch.device:
    """A GPU that no other job of this user holds on this machine, or the CPU if there is no GPU.

    Snakemake counts GPUs but does not assign them, and neither does SLURM within an allocation of
    several GPUs. So each job takes a slot of a GPU that it can see (CUDA_VISIBLE_DEVICES), and
    waits while all slots are taken. `waiting` is called every second with the reason.
    """
    parts = _visible_parts()
    if parts:  # CUDA shows a process one part of a GPU, however many are listed
        os.environ["CUDA_VISIBLE_DEVICES"] = parts[_take(parts, waiting)]
    if not torch.cuda.is_available():
        print("no GPU: on the CPU", flush=True)
        return torch.device("cpu")
    names = [_name(index) for index in range(torch.cuda.device_count())]
    index = 0 if parts else _take(names, waiting)
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def in_batches_that_fit(work: Callable[[int], T], size: int, device: torch.device, what: str) -> T:
    """What `work(size)` returns; where memory runs out, with half as many examples at once.

    Args:
        what: is done to the examples, for the message: `evaluated`.

    Raises:
        Transient: there is no room for one example.
    """
    while True:
        try:
            return work(size)
        except torch.OutOfMemoryError:
            pass  # the memory of the failed try is freed only after this block
        if size == 1:
            raise Transient("out of memory on the device with one example at a time")
        size //= 2
        print(f"out of memory on the device: {what} with {size} examples at once", flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _visible_parts() -> list[str]:
    """The parts of GPUs (MIG) in CUDA_VISIBLE_DEVICES. To be called before CUDA starts."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [name for entry in listed if (name := entry.strip()).startswith("MIG-")]


def _name(index: int) -> str:
    """A name of a GPU that is the same in all jobs, whatever its index is in each of them."""
    return str(torch.cuda.get_device_properties(index).uuid).removeprefix("GPU-")


def _take(names: list[str], waiting: Callable[[str], None]) -> int:
    folder = slots_folder()
    index = take_slot(names, jobs_per_gpu(), folder, waiting)
    print(f"GPU {index} of {len(names)} ({names[index]}), locked in {folder}", flush=True)
    return index


def make_deterministic(device: torch.device, threads: int) -> None:
    """Fix what decides the bits of a result: threads, kernels, and how fp32 is multiplied.

    On one machine the same seed gives the same bits, which tests check. On GPUs torch's
    deterministic kernels are used. An operation that has none ends a training with torch's error,
    which names it: with a warning instead, the backward pass of attention would not be
    deterministic. fp32 stays fp32: no TF32 on GPUs, and no bf16 inside oneDNN.
    """
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
        # Not torch.use_deterministic_algorithms: it loads torch's compiler, which takes seconds.
        torch.set_deterministic_debug_mode("error")
        # Nothing here reads memory that it has not written, and each fill is one more kernel.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def choose_precision(wanted: str, device: torch.device) -> str:
    """fp32 or bf16; `auto` is bf16 on a GPU whose hardware computes in it."""
    if wanted != "auto":
        return wanted
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has_it else "fp32"


def autocast(precision: str, device: torch.device) -> Any:
    """bf16 autocast, or nothing."""
    return bf16_autocast(device) if precision == "bf16" else nullcontext()


def pinned(batch: dict[K, Tensor], device: torch.device) -> dict[K, Tensor]:
    """The batch in memory from which a copy to the device needs no waiting."""
    return {k: v.pin_memory() for k, v in batch.items()} if device.type == "cuda" else batch


def to_device(batch: dict[K, Tensor], device: torch.device) -> dict[K, Tensor]:
    """The batch on the device. The copy to a GPU runs from pinned memory, without waiting."""
    if device.type == "cpu" or all(v.device.type == device.type for v in batch.values()):
        return batch
    ready = batch if all(v.is_pinned() for v in batch.values()) else pinned(batch, device)
    return {k: v.to(device, non_blocking=True) for k, v in ready.items()}


def model_inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a batch that the encoder reads: all but labels, ids and marks."""
    return {k: v for k, v in batch.items() if k not in ("labels", "ids", "labelled")}
