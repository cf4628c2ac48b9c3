"""Peak memory of one contender, in a process of its own."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.contenders import contenders
from benchmarks.workload import DEVICE, Workload


def peak_bytes(work: Workload, contender: str) -> int:
    """Bytes of the GPU, or on a CPU of the whole process: Python, torch and a memory-mapped store
    with it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peak, work, contender, torch.get_num_threads()).result()


def _peak(work: Workload, contender: str, threads: int) -> int:
    torch.set_num_threads(threads)
    contenders(work, [], others=True)[contender].prepare()()
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated(DEVICE)
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
