"""What the machine can do, and what a step needs of it."""

import os
import platform
import time
from pathlib import Path

import torch

from benchmarks.workload import DEVICE, Workload

# Rows of the product: on a GPU so many that its start does not count.
_SIZE = 8192 if DEVICE.type == "cuda" else 1024


def device() -> str:
    """The GPU's name, or the processor's and how many of its cores there are."""
    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name(DEVICE)
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = {line.split(": ")[1] for line in facts.splitlines() if line.startswith("model name")}
    return f"CPU {', '.join(names) or platform.processor()}, {os.cpu_count()} cores"


def _best(work: object, times: int = 10) -> float:
    """Least seconds of one call."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found)


def machine() -> dict[str, float]:
    """Operations a second of a large product in fp32 and bf16, and bytes a second of a copy."""
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(_SIZE, _SIZE, device=DEVICE, dtype=dtype)
        name = "fp32" if dtype == torch.float32 else "bf16"
        found[f"{name}_flops"] = 2 * _SIZE**3 / _best(lambda a=a: a @ a)
    x = torch.zeros(1 << 26, device=DEVICE)
    y = torch.zeros_like(x)
    found["bytes"] = 2 * x.nbytes / _best(lambda: y.copy_(x))
    return found


def needs(work: Workload) -> dict[str, float]:
    """What a mean step of the student alone cannot do without: operations, and bytes.

    Three forward passes' operations on real tokens; at each step every weight, its gradient and
    the two moments are read, and all but the gradient written; the gradient is made, and read
    twice for its norm and its clipping, and written once.
    """
    lengths = work.split.lengths.tolist()
    parameters = work.student.parameters(30522)
    return {
        "flops": 3.0 * sum(work.student.flops(n) for n in lengths) / work.steps,
        "bytes": 4.0 * parameters * (7 + 4),
    }
