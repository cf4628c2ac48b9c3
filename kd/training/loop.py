"""The training loop: one model, one objective, AdamW with linear warm-up and decay."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.data.tokens import Split, epoch_batches
from kd.encoders.capture import Capture, Features
from kd.encoders.micro_batches import in_pieces
from kd.losses.moving import Moment
from kd.losses.objective import Objective, wanted_features
from kd.runtime.device import autocast, choose_precision, model_inputs, to_device
from kd.runtime.errors import Transient, UserError
from kd.runtime.progress import Progress
from kd.runtime.signals import Stopped, deferred
from kd.teacher.features import Teaching
from kd.training import checkpoint as saved
from kd.training.checkpoint import Checkpoint
from kd.training.optimiser import adamw

T = TypeVar("T")
_RECORDS = 50  # rows of history, at most, for one training
_UNREAD = 32  # steps after which a GPU is asked whether their losses were finite


@dataclass(frozen=True)
class Fitted:
    """What a training leaves beside the trained model."""

    history: list[dict[str, float]]  # means since the row before: step, learning_rate, loss, parts
    steps: int
    seconds: float
    examples: int  # seen, with repetition
    precision: str
    peak_memory_bytes: int | None  # of the device, during this training; None on the CPU
    micro_batch: int  # examples in the encoder at once: batch_size, or less where memory ran out


def learning_rate_factor(step: int, total: int, warmup: float) -> float:
    """Share of the peak at 0-based `step`: linear from above 0 to 1, then linearly towards 0."""
    rising = math.ceil(total * warmup)
    if step < rising:
        return (step + 1) / rising
    return (total - step) / max(1, total - rising)


def _parameter_groups(modules: list[nn.Module], decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices; none on biases and LayerNorms."""
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def training_batches(
    lengths: Tensor, batch_size: int, seed: int, first: int, total: int
) -> Iterator[Tensor]:
    """Row numbers of the batches of the steps `first` to `total`, 0-based: the same from any start.

    What comes before `first` is drawn again, which costs milliseconds an epoch.
    """
    order, step = torch.Generator().manual_seed(seed), 0
    while step < total:
        for rows in epoch_batches(lengths, batch_size, order)[: total - step]:
            if step >= first:
                yield rows
            step += 1


def fit(
    student: PreTrainedModel,
    teaching: Teaching | None,
    objective: Objective,
    split: Split,
    recipe: dict[str, Any],
    device: torch.device,
    progress: Progress,
    label: str,
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Train `student` (and the objective's projections) on `split`; `teaching` for its terms.

    `recipe` has the training fields of `fields` and the seed, which decides the order of the data
    and the dropout and nothing else: whatever was drawn before, these start from the same state.

    With a `checkpoint` the training goes on from the state that is there, saves its own from time
    to time and when a signal ends it, and comes to the same numbers (on a CPU to the bit). Where
    the device's memory is too small, the encoders get the batch in pieces (see `pieces`).

    Raises:
        UserError: a loss or a logit is not finite, a part has no weight at any step, or one
            example alone is too large for the device.
        Stopped: a signal came; the state is saved.
    """
    precision = choose_precision(recipe["precision"], device)
    _reset_peak_memory(device)
    student.to(device).train()  # type: ignore[arg-type]
    objective.to(device)
    terms, size = objective.terms, recipe["batch_size"]
    per_epoch = math.ceil(len(split) / size)
    total = max(1, round(per_epoch * recipe["epochs"]))
    optimiser = adamw(
        _parameter_groups([student, objective], recipe["weight_decay"]), recipe["learning_rate"]
    )
    _check_weights(objective, total)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    torch.manual_seed(recipe["seed"])
    state = _State(student, objective, optimiser, _Recorder(math.ceil(total / _RECORDS)), size)
    if checkpoint is not None and (found := checkpoint.load()):
        state.restore(*found, device)
    schedule = _schedule(optimiser, recipe, total, state.step)
    watch = _Watch(patience=_UNREAD if device.type == "cuda" else 1)

    with ExitStack() as stack:
        read_student = stack.enter_context(
            Capture(student, {("logits", 0)} | wanted_features(terms, teacher=False))
        )
        if teaching is not None:
            stack.enter_context(teaching)

        def one_step(rows: Tensor, moment: Moment) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            """The gradients of a batch; its losses and its largest logits by name."""
            batch = to_device(split.batch(rows), device)
            inputs = model_inputs(batch)
            with autocast(precision, device):
                taught = {}
                if teaching is not None:
                    taught = teaching(rows, inputs, moment, state.micro_batch)
                features = in_pieces(read_student, inputs, state.micro_batch)
            mask, labels = batch["attention_mask"].bool(), batch["labels"]
            parts = objective.parts(features, taught, mask, labels, moment)
            if objective.waits:
                objective.calibrate(parts, list(student.parameters()))
            loss = objective.total(parts, moment)
            loss.backward()
            values = {name: value.detach() for name, value in {"loss": loss, **parts}.items()}
            return values, _largest_logits(student=features, teacher=taught)

        asked = stack.enter_context(deferred()) if checkpoint is not None else str
        progress.start(label, total, state.step)
        started = time.perf_counter()
        for rows in training_batches(split.lengths, size, recipe["seed"], state.step, total):
            moment = Moment(state.step, total, state.step // per_epoch, recipe["seed"])
            values, tops = _with_less_memory(partial(one_step, rows, moment), state, device)
            norm = torch.nn.utils.clip_grad_norm_(trained, recipe["max_grad_norm"])
            rate = float(schedule.get_last_lr()[0])
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
            state.step, state.examples = state.step + 1, state.examples + len(rows)
            ends = state.step == total
            numbers = {**values, "gradient": norm, **tops}
            watch.add(state.step, numbers, split.ids[rows], ends)
            note = state.recorder.add(state.step, ends, rate, values)
            progress.advance(note)
            if checkpoint is not None and not ends and (checkpoint.due() or asked()):
                watch.check()  # what is saved is sound
                seconds = state.seconds + time.perf_counter() - started
                kept = checkpoint.save(*state.content(device, seconds))
                if signal := asked():
                    text = "the state is saved: start again to go on" if kept else "not saved"
                    raise Stopped(signal, f" after step {state.step} of {total}; {text}")
    return Fitted(
        state.recorder.rows,
        state.step,
        state.seconds + time.perf_counter() - started,
        state.examples,
        precision,
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        state.micro_batch,
    )


def _largest_logits(**sides: Features) -> dict[str, Tensor]:
    """The size of the largest logit of each side that has logits.

    A loss may be finite where a logit is not: a class that is infinitely far from being the label.
    """
    return {
        f"largest logit of the {name}": found["logits", 0].detach().float().abs().max()
        for name, found in sides.items()
        if ("logits", 0) in found
    }


def _reset_peak_memory(device: torch.device) -> None:
    """What the process did before (store teacher outputs that were lost) is no part of it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _schedule(
    optimiser: torch.optim.Optimizer, recipe: dict[str, Any], total: int, step: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rates from `step` on."""
    for group in optimiser.param_groups:
        group["initial_lr"] = recipe["learning_rate"]
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: learning_rate_factor(step, total, recipe["warmup"]),
        last_epoch=step - 1,
    )


@dataclass
class _State:
    """All that a step changes, and so what a checkpoint holds."""

    student: nn.Module
    objective: nn.Module
    optimiser: torch.optim.Optimizer
    recorder: "_Recorder"
    micro_batch: int
    step: int = 0
    examples: int = 0
    seconds: float = 0.0  # of earlier jobs

    def content(
        self, device: torch.device, seconds: float
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain facts, for `Checkpoint.save`."""
        tensors = {
            **saved.module_tensors(student=self.student, objective=self.objective),
            **saved.optimiser_tensors(self.optimiser),
            **saved.random_states(device),
            **{f"sums/{name}": value for name, value in self.recorder.sums.items()},
        }
        facts = {"rows": self.recorder.rows, "counts": self.recorder.counts, "seconds": seconds}
        facts |= {name: getattr(self, name) for name in ("step", "examples", "micro_batch")}
        return tensors, facts

    def restore(
        self, tensors: dict[str, Tensor], facts: dict[str, Any], device: torch.device
    ) -> None:
        """What `content` gave."""
        saved.load_modules(tensors, student=self.student, objective=self.objective)
        saved.load_optimiser(tensors, self.optimiser)
        saved.load_random(tensors, device)
        self.recorder.rows, self.recorder.counts = facts["rows"], Counter(facts["counts"])
        self.recorder.sums = {
            name: tensors[f"sums/{name}"].to(device) for name in self.recorder.counts
        }
        for name in ("step", "examples", "micro_batch", "seconds"):
            setattr(self, name, facts[name])


def _with_less_memory(one_step: Callable[[], T], state: _State, device: torch.device) -> T:
    """Do a step; where the device's memory is too small, again with half as many examples at once.

    Raises:
        UserError: there is no room for one example.
    """
    random = saved.random_states(device)
    buffers = [(buffer, buffer.clone()) for buffer in state.objective.buffers()]
    while True:
        try:
            return one_step()
        except torch.OutOfMemoryError:
            pass  # what the failed try holds is free only outside of this block
        if state.micro_batch == 1:
            raise Transient(
                "out of memory on the device with one example at a time: a smaller max_length, "
                "student or teacher, or a larger device is needed"
            )
        state.micro_batch = math.ceil(state.micro_batch / 2)
        print(
            f"out of memory on the device: from step {state.step + 1} on {state.micro_batch} "
            f"examples at once in the encoders; batch_size stays",
            flush=True,
        )
        state.optimiser.zero_grad(set_to_none=True)
        saved.load_random(random, device)
        for buffer, before in buffers:
            buffer.copy_(before)
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _check_weights(objective: Objective, total: int) -> None:
    """Windows are percentages: only here it is known whether a step falls into each."""
    for name, weight in objective.weights.items():
        if weight.peak > 0 and not any(weight.at(step / total) for step in range(total)):
            raise UserError(
                f"{name}: its weight {weight} is 0 at each of the {total} steps of this training; "
                f"a wider window or more epochs would reach it"
            )


class _Recorder:
    """Means of the loss and its parts over every few steps; the device is asked only then."""

    def __init__(self, every: int) -> None:
        self.every, self.rows = every, list[dict[str, float]]()
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()

    def add(self, step: int, last: bool, rate: float, values: dict[str, Tensor]) -> str:
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts.update(values.keys())
        if step % self.every and not last:
            return ""
        means = {name: (value / self.counts[name]).item() for name, value in self.sums.items()}
        self.rows.append({"step": step, "learning_rate": rate, **means})
        self.sums, self.counts = {}, Counter()
        return f"loss {means['loss']:.4f}"


class _Watch:
    """Ends a training at the first step with a number that is not finite, and names it.

    The numbers are the losses, the norm of the gradient, and the largest logits.

    Reading a number waits for all that a GPU still has to do: there it is done for `patience` steps
    together, which are few enough to be lost.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._unread: list[tuple[int, dict[str, Tensor], Tensor]] = []

    def add(self, step: int, values: dict[str, Tensor], ids: Tensor, last: bool) -> None:
        self._unread.append((step, values, ids))
        if last or len(self._unread) >= self.patience:
            self.check()

    def check(self) -> None:
        """Read what was not read yet.

        Raises:
            UserError: the first step that went wrong, its terms, and the ids of its examples.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        numbers = iter(
            torch.stack([v for _, values, _ in unread for v in values.values()]).tolist()
        )
        for step, values, ids in unread:
            found = {name: next(numbers) for name in values}
            if bad := [f"{n} is {value}" for n, value in found.items() if not math.isfinite(value)]:
                raise UserError(
                    f"the training is not finite at step {step} ({', '.join(bad)}), of the "
                    f"examples {', '.join(map(str, ids.tolist()))}; a smaller learning_rate or "
                    f"weight may help"
                )
