"""Times contenders in turn, again and again, so that what disturbs one disturbs all."""

import gc
import statistics
import sys
import time
from dataclasses import dataclass, field

import torch

from benchmarks.contenders import Contender
from benchmarks.workload import DEVICE


@dataclass
class Timing:
    """Seconds a step in each repetition: by the clock, and of this process's work on the CPU."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """Those to compare: other processes slow the clock down, and not the count of work.

        On a GPU the CPU's work says nothing.
        """
        return self.cpu if DEVICE.type == "cpu" and torch.get_num_threads() == 1 else self.wall


def interleaved(
    contenders: dict[str, Contender],
    repetitions: int,
    fewer: dict[str, int] | None = None,
) -> dict[str, Timing]:
    """Prepare and time each contender in turn, `repetitions` times over; preparing is not timed.

    Slow ones are in `fewer`, with the repetitions that they take part in.
    """
    timings = {name: Timing() for name in contenders}
    for repetition in range(repetitions):
        for name, contender in contenders.items():
            if repetition >= (fewer or {}).get(name, repetitions):
                continue
            train = contender.prepare()
            gc.collect()
            _wait()
            wall, cpu = time.perf_counter(), time.process_time()
            train()
            _wait()
            timings[name].wall.append((time.perf_counter() - wall) / contender.steps)
            timings[name].cpu.append((time.process_time() - cpu) / contender.steps)
            turn = f"{repetition + 1} of {repetitions}"
            print(f"{turn}: {name}: {timings[name].seconds[-1]:.3f} s a step", file=sys.stderr)
    return timings


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def ratio(timings: dict[str, Timing], over: str, under: str) -> dict[str, float]:
    """Time of `over` in times of `under`, of the same repetition: median, least and most."""
    pairs = zip(
        timings[over].seconds, timings[under].seconds, strict=False
    )  # of the repetitions that both had
    found = [a / b for a, b in pairs]
    return {"median": statistics.median(found), "least": min(found), "most": max(found)}
