"""The training loop: one model, one objective, AdamW with linear warm-up and decay."""

import math
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.capture import Capture
from kd.device import autocast, choose_precision, model_inputs, to_device
from kd.errors import UserError
from kd.mapping import Moment
from kd.objective import Objective, wanted_features
from kd.optimiser import AdamW
from kd.progress import Progress
from kd.teaching import Teaching
from kd.tokens import Split, epoch_batches

_RECORDS = 50  # rows of history, at most, for one training


@dataclass(frozen=True)
class Fitted:
    """What a training leaves beside the trained model."""

    history: list[dict[str, float]]  # means since the row before: step, learning_rate, loss, parts
    steps: int
    seconds: float
    examples: int  # seen, with repetition
    precision: str
    peak_memory_bytes: int | None  # of the device; None on the CPU


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


def fit(
    student: PreTrainedModel,
    teaching: Teaching | None,
    objective: Objective,
    split: Split,
    recipe: dict[str, Any],
    device: torch.device,
    progress: Progress,
    label: str,
) -> Fitted:
    """Train `student` (and the objective's projections) on `split`; `teaching` for its terms.

    `recipe` has the training fields of `fields` and the seed, which decides the order of the data
    and the dropout and nothing else: whatever was drawn before, these start from the same state.

    Raises:
        UserError: the loss is not finite, or a part has no weight at any step.
    """
    precision = choose_precision(recipe["precision"], device)
    student.to(device).train()  # type: ignore[arg-type]
    objective.to(device)
    terms = objective.terms
    per_epoch = math.ceil(len(split) / recipe["batch_size"])
    total = max(1, round(per_epoch * recipe["epochs"]))
    optimiser = AdamW(
        _parameter_groups([student, objective], recipe["weight_decay"]), recipe["learning_rate"]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate_factor(step, total, recipe["warmup"])
    )
    _check_weights(objective, total)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    order = torch.Generator().manual_seed(recipe["seed"])
    torch.manual_seed(recipe["seed"])
    recorder = _Recorder(every=math.ceil(total / _RECORDS))

    with ExitStack() as captures:
        read_student = captures.enter_context(
            Capture(student, {("logits", 0)} | wanted_features(terms, teacher=False))
        )
        if teaching is not None:
            captures.enter_context(teaching)

        progress.start(label, total)
        started, step, examples = time.perf_counter(), 0, 0
        while step < total:
            for rows in epoch_batches(split.lengths, recipe["batch_size"], order):
                moment = Moment(step, total, step // per_epoch, recipe["seed"])
                batch = to_device(split.batch(rows), device)
                inputs = model_inputs(batch)
                with autocast(precision, device):
                    taught = teaching(rows, inputs, moment) if teaching is not None else {}
                    features = read_student(**inputs)
                mask, labels = batch["attention_mask"].bool(), batch["labels"]
                parts = objective.parts(features, taught, mask, labels, moment)
                if objective.waits:
                    objective.calibrate(parts, list(student.parameters()))
                loss = objective.total(parts, moment)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, recipe["max_grad_norm"])
                rate = float(schedule.get_last_lr()[0])
                optimiser.step()
                schedule.step()
                optimiser.zero_grad(set_to_none=True)
                step, examples = step + 1, examples + len(rows)
                values = {name: value.detach() for name, value in {"loss": loss, **parts}.items()}
                note = recorder.add(step, step == total, rate, values)
                progress.advance(note)
                if step == total:
                    break
    cuda = device.type == "cuda"
    return Fitted(
        recorder.rows,
        step,
        time.perf_counter() - started,
        examples,
        precision,
        torch.cuda.max_memory_allocated(device) if cuda else None,
    )


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
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()

    def add(self, step: int, last: bool, rate: float, values: dict[str, Tensor]) -> str:
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts.update(values.keys())
        if step % self.every and not last:
            return ""
        means = {name: (value / self._counts[name]).item() for name, value in self._sums.items()}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"the loss is not finite by step {step} ({', '.join(bad)}); "
                f"a smaller learning_rate or weight may help"
            )
        self.rows.append({"step": step, "learning_rate": rate, **means})
        self._sums, self._counts = {}, Counter()
        return f"loss {means['loss']:.4f}"
