"""The state of a training: all that a step changes, and that a checkpoint saves."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kd.training import checkpoint as saved
from kd.training.history import Recorder

_COUNTS = ("step", "examples", "micro_batch")


@dataclass
class State:
    """What a checkpoint saves and restores."""

    student: nn.Module
    objective: nn.Module
    optimiser: torch.optim.Optimizer
    recorder: Recorder
    micro_batch: int  # examples in the encoders at once
    step: int = 0  # steps that are done
    examples: int = 0  # seen, with repetition
    before: float = 0.0  # seconds of earlier jobs
    _started: float = field(default_factory=time.perf_counter)

    def start_clock(self) -> None:
        """Seconds of this job count from here."""
        self._started = time.perf_counter()

    @contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """What is done meanwhile is no part of the training's seconds."""
        began = time.perf_counter()
        yield
        self._started += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        """Seconds of training, of all jobs that worked on it."""
        return self.before + time.perf_counter() - self._started

    def content(self, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain facts, for `Checkpoint.save`."""
        tensors = {
            **saved.module_tensors(student=self.student, objective=self.objective),
            **saved.optimiser_tensors(self.optimiser),
            **saved.random_states(device),
            **{f"sums/{name}": value for name, value in self.recorder.sums.items()},
        }
        facts = {
            "rows": self.recorder.rows,
            "counts": self.recorder.counts,
            "seconds": self.seconds,
            **{name: getattr(self, name) for name in _COUNTS},
        }
        return tensors, facts

    def restore(
        self, tensors: dict[str, Tensor], facts: dict[str, Any], device: torch.device
    ) -> None:
        """Restore what `content` returned."""
        saved.load_modules(tensors, student=self.student, objective=self.objective)
        saved.load_optimiser(tensors, self.optimiser)
        saved.load_random(tensors, device)
        self.recorder.rows, self.recorder.counts = facts["rows"], Counter(facts["counts"])
        self.recorder.sums = {
            name: tensors[f"sums/{name}"].to(device) for name in self.recorder.counts
        }
        self.before = facts["seconds"]
        for name in _COUNTS:
            setattr(self, name, facts[name])
