"""The device of a job: which one, at what precision, and how batches reach it."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from kd.errors import UserError

K = TypeVar("K")
JOBS_PER_GPU = "KD_JOBS_PER_GPU"  # environment variable: jobs that share one GPU
_held: list[Any] = []  # lock files of this process; they are free when it ends, however it ends


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
        index = take_slot(names, jobs_per_gpu(), _slots(), waiting)
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def jobs_per_gpu() -> int:
    """How many jobs share a GPU: 1, or what the environment says.

    Raises:
        UserError: that is no count.
    """
    text = os.environ.get(JOBS_PER_GPU, "1")
    if not (text.isdecimal() and int(text) > 0):
        raise UserError(f"{JOBS_PER_GPU}: found {text!r}, allowed: a whole number from 1")
    return int(text)


def _slots() -> Path:
    """This user's lock files; another user's could not be opened."""
    return Path(tempfile.gettempdir()) / f"kd-gpus-{os.getuid()}"


def take_slot(
    names: Sequence[str],
    each: int,
    folder: Path,
    waiting: Callable[[str], None],
    pause: float = 1.0,
) -> int:
    """Index of a device with a free slot, of `each` slots a device; emptier devices come first.

    The slot is a lock on a file in `folder`, held until this process ends.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        for slot in range(each):
            for index, name in enumerate(names):
                handle = (folder / f"{name}.{slot}").open("a")
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    handle.close()
                    continue
                _held.append(handle)
                return index
        waiting(f"waiting for a GPU: all {each * len(names)} slots are taken")
        time.sleep(pause)


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
