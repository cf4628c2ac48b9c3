"""Steps on a GPU as CUDA graphs: a step of a known shape is replayed, without Python.

A small student leaves a large GPU idle, because Python starts its kernels more slowly than the GPU
computes them. A CUDA graph starts all kernels of the forward and backward pass at once. They are
the kernels of an ordinary step, in the same order and with the same random numbers, so the bits are
those of an ordinary step too.
"""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor

from kd.encoders.capture import Features
from kd.losses.moving import Moment
from kd.training.batches import Loaded
from kd.training.checkpoint import load_random, random_states
from kd.training.gradients import Gradients

SWITCH = "KD_CUDA_GRAPHS"  # 0 turns them off
_BEFORE = 2  # ordinary steps of a kind, after which its graph is worth its capture
_MOST = 32  # graphs of one training
_KINDS = 2000  # of steps: a loss that changes at every step repeats none
Step = tuple[dict[str, Tensor], dict[str, Tensor]]


def wanted(device: torch.device) -> bool:
    """Whether steps on this device become graphs."""
    return device.type == "cuda" and os.environ.get(SWITCH, "1") != "0"


class Graphs:
    """Calls `Gradients`, and replays its steps as CUDA graphs where that is possible.

    A graph holds for batches of one shape at moments at which the loss has the same weights and
    layer pairs. A step is ordinary before its shape was seen a few times, if a weight changes at
    every step, in micro-batches, while weights wait to be calibrated, and if the loss computes on
    the CPU or draws random numbers of its own.

    The results of a step are copies. The gradients of a parameter are always in the same memory.
    """

    def __init__(self, gradients: Gradients) -> None:
        self.gradients = gradients
        self.replayed = 0  # steps
        modules = (gradients.student, gradients.objective)
        self._parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        self._memory: dict[Tensor, Tensor] = {}  # gradient of each parameter, for all graphs
        self._graphs: dict[Any, _Graph] = {}
        self._seen: Counter[Any] = Counter()
        self._pool: Any = None
        self._on = gradients.objective.repeatable and not (
            gradients.teacher is not None and gradients.teacher.draws
        )

    def __call__(self, loaded: Loaded, moment: Moment, micro_batch: int) -> Step:
        """What `Gradients` does, with the same result."""
        objective = self.gradients.objective
        if micro_batch < len(loaded.rows):
            self.free()  # memory ran out
        if not self._on or objective.waits or not loaded.same_shape:
            return self.gradients(loaded, moment, micro_batch)
        key = _shapes(loaded), objective.choices(moment)
        if key not in self._graphs:
            step = self.gradients(loaded, moment, micro_batch)
            self._seen[key] += 1
            if self._seen[key] == _BEFORE and len(self._graphs) < _MOST:
                self._capture(key, loaded, moment)
            if len(self._seen) > _KINDS:
                self.free()
            return step
        self.replayed += 1
        return self._graphs[key].replay(loaded)

    def _capture(self, key: Any, loaded: Loaded, moment: Moment) -> None:
        """Capture the step that was just made; its gradients stay."""
        made = [p.grad for p in self._parameters]
        used = [p for p in self._parameters if p.grad is not None]
        for p in used:
            if p not in self._memory:
                self._memory[p] = torch.empty_like(p)
            p.grad = self._memory[p]
        device, random = self.gradients.device, random_states(self.gradients.device)
        try:
            graph = _Graph(self.gradients, used, loaded, moment, self._pool)
            self._graphs[key], self._pool = graph, graph.pool
        except RuntimeError as error:  # too little memory, or an operation that cannot be captured
            reason = str(error).partition("\n")[0]
            print(f"no CUDA graphs in this training: {reason}", flush=True)
            load_random(random, device)
            self.free()
        for p, grad in zip(self._parameters, made, strict=True):
            p.grad = grad

    def free(self) -> bool:
        """Make ordinary steps from now on. Returns whether there were graphs: no other step can use
        their memory."""
        had = bool(self._graphs)
        self._on = False
        self._graphs.clear()
        self._memory.clear()
        self._pool = None
        return had


class _Graph:
    """The captured step of one shape, with memory for its inputs."""

    def __init__(
        self, gradients: Gradients, used: list[Any], loaded: Loaded, moment: Moment, pool: Any
    ) -> None:
        self.used, self.gradients_of_used = used, [p.grad for p in used]
        self.inputs = Loaded(
            loaded.rows,
            loaded.length,
            _on_device(loaded.batch, gradients.device),
            _on_device(loaded.stored, gradients.device),
            loaded.padded,
        )
        self.names: list[list[str]] = []

        def step() -> Tensor:
            torch._foreach_zero_(self.gradients_of_used)
            sides = gradients(self.inputs, moment, len(loaded.rows))
            self.names = [list(side) for side in sides]
            return torch.stack([value.float() for side in sides for value in side.values()])

        self.run, self.pool = captured(step, pool)

    def replay(self, loaded: Loaded) -> Step:
        """The step of another batch of this shape."""
        for name, value in self.inputs.batch.items():
            value.copy_(loaded.batch[name], non_blocking=True)
        for key, value in self.inputs.stored.items():
            value.copy_(loaded.stored[key], non_blocking=True)
        for p, gradient in zip(self.used, self.gradients_of_used, strict=True):
            p.grad = gradient
        values = iter(self.run().clone().unbind())
        losses, logits = ({name: next(values) for name in names} for names in self.names)
        return losses, logits


def captured(step: Callable[[], Tensor], pool: Any) -> tuple[Callable[[], Tensor], Any]:
    """A function that does on the GPU what `step` does there, and returns the same tensor; and the
    pool of its memory, which further graphs can share. `pool` is that of earlier graphs, or None.

    Not `torch.cuda.graph`, which first collects garbage and empties the cache. That takes longer
    than a hundred steps.
    """
    graph, stream = torch.cuda.CUDAGraph(), _stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # Another thread loads the next batch, and may ask for pinned memory meanwhile.
        shared = {"pool": pool} if pool is not None else {}
        graph.capture_begin(**shared, capture_error_mode="thread_local")
        try:
            result = step()
        except BaseException:
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()
    torch.cuda.current_stream().wait_stream(stream)

    def run() -> Tensor:
        graph.replay()
        return result

    return run, graph.pool()


@cache
def _stream() -> Any:
    """The stream on which steps are captured: one, because cuBLAS keeps memory for each."""
    return torch.cuda.Stream()


def _on_device(tensors: Any, device: torch.device) -> Any:
    return {name: torch.empty_like(value, device=device) for name, value in tensors.items()}


def _shapes(loaded: Loaded) -> tuple[Any, ...]:
    def of(tensors: dict[Any, Tensor] | Features) -> tuple[Any, ...]:
        return tuple((name, tuple(value.shape), value.dtype) for name, value in tensors.items())

    return loaded.padded, loaded.length, of(loaded.batch), of(loaded.stored)
