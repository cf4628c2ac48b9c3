"""Several trainings on one device at the same time, each in a process of its own, as jobs are."""

import multiprocessing
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from threading import BrokenBarrierError
from typing import Any

import torch

from benchmarks import own
from benchmarks.busy import Sampled
from benchmarks.workload import DEVICE, Silent, Workload
from kd.runtime.device import choose_device, make_deterministic
from kd.runtime.gpu_slots import JOBS_PER_GPU, LOCKS

_PATIENCE = 120.0  # seconds, for processes to start, and to answer
_EPOCHS = 10_000  # more than there is time for


def packed(work: Workload, knowledge: str, jobs: int, seconds: float) -> dict[str, Any]:
    """`jobs` processes train the same run for `seconds`, after one epoch that is not timed.

    Each takes a slot of the device, as a job of the workflow does.

    Returns:
        Examples a second of all together and of each, and the digests of their students after the
        first epoch, of which there must be one; what nvidia-smi said meanwhile.
    """
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(jobs + 1), context.Queue()
    with tempfile.TemporaryDirectory() as locks, _variables(jobs, locks):
        arguments = (work, knowledge, seconds, torch.get_num_threads(), barrier, answers)
        processes = [context.Process(target=_job, args=arguments) for _ in range(jobs)]
        for process in processes:
            process.start()
        with suppress(BrokenBarrierError):  # the answers say why
            barrier.wait(timeout=_PATIENCE)
        with Sampled(_uuid()) as sampled:
            found = [answers.get(timeout=seconds + _PATIENCE) for _ in processes]
        for process in processes:
            process.join()
    if errors := [answer for answer in found if isinstance(answer, str)]:
        raise RuntimeError("; ".join(sorted(set(errors))))
    rates = [answer["examples_per_second"] for answer in found]
    return {
        "jobs": jobs,
        "examples_per_second": sum(rates),
        "each": rates,
        "digests": sorted({answer["digest"] for answer in found}),
        **sampled.found(),
    }


class _Enough(Exception):
    """The time is over."""


class _Until(Silent):
    """Counts steps, and ends the training after some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps, self.end = seconds, 0, 0.0

    def start(self, phase: str, total: int, done: int = 0, tokens: int = 0) -> None:
        """The time starts."""
        self.end = time.perf_counter() + self.seconds

    def advance(self, note: str = "") -> None:
        """One more step."""
        self.steps += 1
        if time.perf_counter() > self.end:
            raise _Enough


@contextmanager
def _variables(jobs: int, locks: str) -> Any:
    """For processes that start meanwhile: how many share a device, and where their locks are."""
    changed = {JOBS_PER_GPU: str(jobs), LOCKS: locks, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _uuid() -> str:
    if DEVICE.type == "cpu":
        return ""
    uuid = torch.cuda.get_device_properties(DEVICE).uuid
    return f"GPU-{str(uuid).removeprefix('GPU-')}"


def _job(
    work: Workload, knowledge: str, seconds: float, threads: int, barrier: Any, answers: Any
) -> None:
    try:
        device = choose_device()
        make_deterministic(device, threads)
        precision = "bf16" if device.type == "cuda" else "fp32"
        train, student = own.training(work, knowledge, True, precision)
        train()
        weights, watch = own.digest(student), _Until(seconds)
        train, _ = own.training(work, knowledge, True, precision, _EPOCHS, watch)
        barrier.wait(timeout=_PATIENCE)
        began = time.perf_counter()
        with suppress(_Enough):
            train()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rate = watch.steps * work.batch_size / (time.perf_counter() - began)
        answers.put({"digest": weights, "examples_per_second": rate})
    except Exception as error:
        barrier.abort()
        answers.put(f"{type(error).__name__}: {error}")
