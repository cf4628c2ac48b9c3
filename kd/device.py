"""The device of a job: which one, at what precision, and how batches reach it."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor

from kd.slots import jobs_per_gpu, slots_folder, take_slot

K = TypeVar("K")


def choose_device(waiting: Callable[[str], None] = print) -> torch.device:
    """A GPU that no other job of this user has, or the CPU where there is none.

    Snakemake counts GPUs but does not choose them: here each local job takes a slot of one, and
    waits (`waiting` is called every second with the reason) while all are taken. There are those of
    CUDA_VISIBLE_DEVICES. Under SLURM the scheduler has chosen: the first one is this job's.
    """
    if not torch.cuda.is_available():
        print("no GPU: on the CPU", flush=True)
        return torch.device("cpu")
    index = 0
    if "SLURM_JOB_ID" not in os.environ:
        count = torch.cuda.device_count()
        names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(count)]
        index = take_slot(names, jobs_per_gpu(), slots_folder(), waiting)
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def make_deterministic(device: torch.device, threads: int) -> None:
    """Same seed, same machine, same bits: fixed thread count, deterministic CUDA kernels."""
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)


def choose_precision(wanted: str, device: torch.device) -> str:
    """fp32 or bf16; `auto` is bf16 on a GPU that has it."""
    if wanted != "auto":
        return wanted
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def autocast(precision: str, device: torch.device) -> Any:
    """bf16 autocast, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def to_device(batch: dict[K, Tensor], device: torch.device) -> dict[K, Tensor]:
    """The batch on the device, copied without waiting where memory is pinned."""
    if device.type == "cpu":
        return batch
    return {k: v.pin_memory().to(device, non_blocking=True) for k, v in batch.items()}


def model_inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the encoder reads of a batch."""
    return {k: v for k, v in batch.items() if k not in ("labels", "ids")}
