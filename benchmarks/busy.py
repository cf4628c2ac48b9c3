"""How busy a GPU is: the share of the time in which a kernel runs, by profile or by nvidia-smi."""

import shutil
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterable
from typing import Any

import torch

from benchmarks.workload import DEVICE, Silent

_SECONDS = 0.2  # from one question to nvidia-smi to the next


def covered(intervals: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """How much of the time from the first start to the last end the (start, end) cover, and all of
    that time; kernels that overlap count once."""
    found = sorted(intervals)
    if not found:
        return 0.0, 0.0
    busy, reached = 0.0, found[0][0]
    for start, end in found:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy, reached - found[0][0]


class _Late(Silent):
    """Profiles a training from the step `first` on, when its CUDA graphs are captured."""

    def __init__(self, first: int) -> None:
        self.first, self.steps = first, 0
        kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        self.profile = torch.profiler.profile(activities=kinds)

    def advance(self, note: str = "") -> None:
        """One more step."""
        self.steps += 1
        if self.steps == self.first:
            torch.cuda.synchronize()
            self.profile.start()


def profiled(prepare: Callable[[Silent], Callable[[], Any]], first: int) -> dict[str, float]:
    """The second part of a training: the share of the time in which a kernel ran, kernels and
    milliseconds a step. Empty on a CPU, which has none.

    Args:
        prepare: makes the training, which reports its steps to what it is given.
        first: the step after which the second part begins.
    """
    if DEVICE.type == "cpu":
        prepare(Silent())()
        return {}
    late = _Late(first)
    prepare(late)()
    torch.cuda.synchronize()
    late.profile.stop()
    on_gpu = torch.autograd.DeviceType.CUDA
    kernels = [
        (event.time_range.start, event.time_range.end)
        for event in late.profile.events() or []
        if event.device_type == on_gpu
    ]
    busy, whole = covered(kernels)
    steps = late.steps - first
    return {
        "busy": busy / whole if whole else 0.0,
        "kernels_a_step": len(kernels) / steps,
        "milliseconds_a_step": whole / steps / 1000,
    }


class Sampled:
    """Asks nvidia-smi again and again, as a context; for several processes on one GPU.

    Its utilisation is the share of the last period in which a kernel of any process ran.
    """

    def __init__(self, uuid: str) -> None:
        self.uuid, self.utilisation, self.bytes = uuid, list[float](), list[float]()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        tool = shutil.which("nvidia-smi")
        while tool and not self._done.wait(_SECONDS):
            query = "--query-gpu=utilization.gpu,memory.used"
            command = [tool, "-i", self.uuid, query, "--format=csv,noheader,nounits"]
            run = subprocess.run(command, capture_output=True, text=True)
            numbers = run.stdout.strip().split(",")
            if run.returncode == 0 and all(n.strip().isdecimal() for n in numbers):
                self.utilisation.append(int(numbers[0]) / 100)
                self.bytes.append(int(numbers[1]) * 2**20)

    def __enter__(self) -> "Sampled":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def found(self) -> dict[str, float]:
        """The mean utilisation and the most memory; nothing where nvidia-smi gave no number."""
        if not self.utilisation:
            return {}
        return {"busy": statistics.mean(self.utilisation), "bytes": max(self.bytes)}
