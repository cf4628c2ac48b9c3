"""The training loop: one model, one objective, AdamW with linear warm-up and decay."""

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.data.tokens import Split
from kd.losses.moving import Moment
from kd.losses.objective import Objective
from kd.runtime.device import choose_precision
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress
from kd.runtime.signals import Stopped, deferred
from kd.teacher.features import TeacherFeatures
from kd.training import memory
from kd.training.batches import Loaded, Prepare, one_ahead
from kd.training.checkpoint import Checkpoint
from kd.training.gradients import Gradients
from kd.training.graphs import Graphs
from kd.training.graphs import wanted as graphs_wanted
from kd.training.history import DEV_SCORE, HELD_OUT, Recorder
from kd.training.optimiser import adamw
from kd.training.schedule import learning_rates, training_batches
from kd.training.state import State
from kd.training.watch import Watch

_RECORDS = 50  # rows of history, at most, for one training
_UNREAD = 32  # steps after which a GPU is asked whether their losses were finite


@dataclass(frozen=True)
class Job:
    """Where a training runs, and where it reports and saves its state."""

    device: torch.device
    progress: Progress
    label: str  # of the phase, as it is shown: "distilling"
    checkpoint: Checkpoint | None = None
    dev_score: Callable[[nn.Module], float] | None = None  # of the student, for the history
    evaluate_every: int | str | None = None  # steps, or `epoch`
    held_out: Split | None = None  # examples whose losses join the history as often
    tokens: int = 0  # of a step, where its speed is shown in tokens


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves beside the trained model: its history, and how it went."""

    history: list[dict[str, float]]  # means since the row before: step, learning_rate, loss, parts
    steps: int
    seconds: float
    examples: int  # seen, with repetition
    precision: str
    peak_memory_bytes: int | None  # of the device, during this training; None on the CPU
    micro_batch: int  # examples in the encoder at once: batch_size, or less where memory ran out


def fit(
    student: PreTrainedModel,
    objective: Objective,
    split: Split,
    recipe: dict[str, Any],
    job: Job,
    teacher: TeacherFeatures | None = None,
    examples: Tensor | None = None,
    prepare: Prepare | None = None,
    pad_to: int | None = None,
) -> TrainingResult:
    """Train `student`, and the objective's projections, on `split`.

    The seed alone decides the order of the data and the dropout, whatever was drawn before. With a
    checkpoint the training continues from the saved state, and ends with the same numbers (on a
    CPU to the bit). It saves its state at intervals, and when a signal ends it. Where the device's
    memory is too small, the encoders get the batch in micro-batches (`kd.encoders.micro_batches`).

    Args:
        student: an encoder with a classification head, in fp32.
        objective: the loss; its projections are trained with the student.
        split: the training examples.
        recipe: `epochs` or `steps`, `batch_size` (examples), `learning_rate` (its peak), `warmup`
            (share of the steps), `weight_decay`, `max_grad_norm`, `precision` (auto, fp32, bf16),
            `seed`; `steps_per_epoch`, where that is no pass over all examples.
        job: device, progress and checkpoint.
        teacher: the features that the terms compare with; None where there is no term.
        examples: numbers of the examples of the split that are trained on, (n,); None for all.
        prepare: changes a batch before the encoders get it, by the seed of its step.
        pad_to: tokens to which every batch is padded; None for hardly more than its longest
            example.

    Raises:
        UserError: a loss or a logit is not finite, or a part has no weight at any step.
        Transient: the device has no room for a single example.
        Stopped: a signal came; the state is saved.
    """
    device, size, seed = job.device, recipe["batch_size"], recipe["seed"]
    memory.reset_peak(device)
    student.to(device).train()  # type: ignore[arg-type]
    objective.to(device)
    lengths = split.lengths if examples is None else split.lengths[examples]
    per_epoch = recipe.get("steps_per_epoch") or math.ceil(len(lengths) / size)
    total = recipe.get("steps") or max(1, round(per_epoch * recipe["epochs"]))
    _check_weights(objective, total)
    precision = choose_precision(recipe["precision"], device)
    state = _first_state(student, objective, recipe, total)
    if job.checkpoint is not None and (found := job.checkpoint.load()):
        state.restore(*found, device)
    schedule = learning_rates(state.optimiser, recipe, total, state.step)
    watch = Watch(patience=_UNREAD if device.type == "cuda" else 1)

    with ExitStack() as stack:
        gradients = stack.enter_context(
            Gradients(student, objective, teacher, split, precision, device, prepare, pad_to)
        )
        graphs = Graphs(gradients) if graphs_wanted(device) else None
        step_of, free = (graphs, graphs.free) if graphs else (gradients, lambda: False)
        asked = stack.enter_context(deferred()) if job.checkpoint is not None else None
        job.progress.start(job.label, total, state.step, job.tokens)
        job.progress.history = state.recorder.rows
        state.start_clock()
        measure = partial(_measured, gradients, state, job, recipe, total, per_epoch)
        if state.step == 0 and job.held_out is not None:
            state.recorder.rows.append({"step": 0, **measure(0)})

        def moment_of(step: int) -> Moment:
            return Moment(step, total, step // per_epoch, seed)

        def load(numbered: tuple[int, Tensor]) -> Loaded:
            step, drawn = numbered
            rows = drawn if examples is None else examples[drawn]
            return gradients.load(rows, moment_of(step).step_seed)

        batches = enumerate(training_batches(lengths, size, seed, state.step, total), state.step)
        loads = one_ahead(batches, load, ahead=device.type == "cuda" and gradients.resident is None)
        for loaded in stack.enter_context(closing(loads)):
            rows, moment = loaded.rows, moment_of(state.step)
            of_batch = partial(step_of, loaded, moment)
            losses, logits = memory.with_less_memory(of_batch, state, device, free)
            norm, rate = _update(state.optimiser, schedule, recipe["max_grad_norm"])
            state.step, state.examples = state.step + 1, state.examples + len(rows)
            ends = state.step == total
            measured = measure(state.step) if _is_due(state, job, per_epoch, ends) else None
            watch.add(state.step, {**losses, "gradient": norm, **logits}, split.ids[rows], ends)
            job.progress.advance(state.recorder.add(state.step, ends, rate, losses, measured))
            if asked is not None and (asked() or not ends):
                _save_when_due(state, job, total, watch, asked)
        if asked is not None and asked():  # after the last step, or none was left to resume
            _save_when_due(state, job, total, watch, asked)
    return TrainingResult(
        history=state.recorder.rows,
        steps=state.step,
        seconds=state.seconds,
        examples=state.examples,
        precision=precision,
        peak_memory_bytes=memory.peak(device),
        micro_batch=state.micro_batch,
    )


def _is_due(state: State, job: Job, per_epoch: int, ends: bool) -> bool:
    """Whether a dev score or a held-out loss is due after a step."""
    if job.evaluate_every is None:
        return False
    every = per_epoch if job.evaluate_every == "epoch" else int(job.evaluate_every)
    return state.step % every == 0 or ends


def _measured(
    gradients: Gradients,
    state: State,
    job: Job,
    recipe: dict[str, Any],
    total: int,
    per_epoch: int,
    step: int,
) -> dict[str, float]:
    """What is measured on other examples after `step` steps. The time for it does not count."""
    found: dict[str, float] = {}
    with state.clock_stopped():
        if job.dev_score is not None:
            found[DEV_SCORE] = job.dev_score(gradients.student)
        if job.held_out is not None:
            last = max(0, step - 1)  # the weights of the step that was made
            moment = Moment(last, total, last // per_epoch, recipe["seed"])
            losses = gradients.held_out_losses(
                job.held_out, recipe["batch_size"], moment, state.micro_batch
            )
            found |= {HELD_OUT + name: value for name, value in losses.items()}
    return found


def _check_weights(objective: Objective, total: int) -> None:
    """Check that each weight is above 0 at some step, which depends on the number of steps."""
    for name, weight in objective.weights.items():
        if weight.peak > 0 and not any(weight.at(step / total) for step in range(total)):
            raise UserError(
                f"{name}: its weight {weight} is 0 at each of the {total} steps of this training; "
                f"a wider window or more epochs would reach it"
            )


def _first_state(
    student: PreTrainedModel, objective: Objective, recipe: dict[str, Any], total: int
) -> State:
    """The state before the first step; the random numbers start from the seed."""
    groups = _parameter_groups([student, objective], recipe["weight_decay"])
    optimiser = adamw(groups, recipe["learning_rate"])
    torch.manual_seed(recipe["seed"])
    recorder = Recorder(math.ceil(total / _RECORDS))
    return State(student, objective, optimiser, recorder, recipe["batch_size"])


def _parameter_groups(modules: list[nn.Module], decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices, none on biases and LayerNorms."""
    parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _update(
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    max_norm: float,
) -> tuple[Tensor, float]:
    """Clip the gradients and make a step; their norm before clipping, and the learning rate."""
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(trained, max_norm)
    rate = float(schedule.get_last_lr()[0])
    optimiser.step()
    schedule.step()
    optimiser.zero_grad(set_to_none=True)
    return norm, rate


def _save_when_due(
    state: State, job: Job, total: int, watch: Watch, asked: Callable[[], str]
) -> None:
    """Save the state if it is time, or if a signal asked the job to end.

    Raises:
        Stopped: a signal asked.
        UserError: a number is not finite. It is checked before the state is saved.
    """
    assert job.checkpoint is not None
    if not (job.checkpoint.due() or asked()):
        return
    watch.check()
    kept = job.checkpoint.save(*state.content(job.device))
    if signal := asked():
        text = "the state is saved: start again to go on" if kept else "not saved"
        raise Stopped(signal, f" after step {state.step} of {total}; {text}")
