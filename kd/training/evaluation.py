"""Predictions and the official metrics of a fine-tuned model on the dev splits."""

import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kd.axes.tasks import Task
from kd.data.tokens import Split, load_split, ordered_batches
from kd.runtime.device import model_inputs, to_device
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress
from kd.training.metrics import constant_score, evaluate_metrics
from kd.training.sampling_error import score_error

_BATCH = 64
_SINGLES, _WARM_UP = 32, 4  # examples that are timed one by one, and before that for nothing


def predict(model: nn.Module, split: Split, device: torch.device, progress: Progress) -> Tensor:
    """(n, C) fp32 logits in the order of the split; eval mode, no autocast.

    Raises:
        UserError: a logit is NaN or infinite; argmax would score it as some class.
    """
    progress.start("evaluating", math.ceil(len(split) / _BATCH))
    model.to(device).eval()
    logits: Tensor | None = None
    with torch.inference_mode():
        for rows in ordered_batches(split, _BATCH):
            batch = to_device(split.batch(rows), device)
            output = model(**model_inputs(batch)).logits.float().cpu()
            if logits is None:
                logits = torch.empty(len(split), output.shape[-1])
            logits[rows] = output
            progress.advance()
    assert logits is not None, "a split has at least one example"
    if bad := split.ids[~logits.isfinite().all(-1)].tolist():
        raise UserError(
            f"{getattr(model, 'name_or_path', '') or 'the model'}: its logits are not finite for "
            f"{len(bad)} of {len(split)} examples, the first has the id {bad[0]}; its weights are "
            f"damaged, or too large for their dtype"
        )
    return logits


def latency(model: nn.Module, split: Split, device: torch.device) -> float:
    """Median seconds of the forward pass of one example alone, on up to 32 spread over the split.

    The median, since other jobs on the machine make some of them slow. Lengths are those of the
    task; the order is that of the split.
    """
    rows = torch.linspace(0, len(split) - 1, min(_SINGLES, len(split))).long()
    model.to(device).eval()
    seconds = []
    with torch.inference_mode():
        for row in [*rows[:1].repeat(_WARM_UP), *rows]:
            inputs = model_inputs(to_device(split.batch(row[None]), device))
            started = time.perf_counter()
            model(**inputs).logits.cpu()  # waits for the device
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[_WARM_UP:])


def explained(predictions: Tensor, labels: Tensor) -> float:
    """R^2: 1 - squared error / squared error of the labels' mean; 0 where they are all equal."""
    error = (predictions.double() - labels.double()).square().sum()
    spread = (labels.double() - labels.double().mean()).square().sum()
    return float(1 - error / spread) if spread > 0 else 0.0


def evaluate(
    model: nn.Module, tokens: Path, task: Task, device: torch.device, progress: Progress
) -> dict[str, Any]:
    """Score and official metrics on the dev split; MNLI's mismatched accuracy beside them.

    `majority_score` is the score of the best constant answer on the same examples, `score_se` the
    standard error of the score over examples; it is left out where all answers are right.

    Raises:
        UserError: a logit is not finite.
    """
    record = dict[str, Any]()
    seconds, errors = 0.0, list[float]()
    for name, _ in task.dev:
        split = load_split(tokens, name)
        started = time.perf_counter()
        logits = predict(model, split, device, progress)
        seconds += time.perf_counter() - started
        predictions = logits.squeeze(-1) if task.regression else logits.argmax(-1)
        metrics = evaluate_metrics(task, predictions.numpy(), split.labels.numpy())
        errors.append(score_error(task, predictions.numpy(), split.labels.numpy()))
        if name == "dev":
            record |= metrics
            record["majority_score"] = constant_score(task, split.labels.tolist())
            record["examples_eval"] = len(split)
            if task.regression:
                record["r2"] = explained(predictions, split.labels)
            record["latency_seconds"] = latency(model, split, device)
        else:
            record["accuracy_mm"] = metrics["accuracy"]
            record["score"] = (record["accuracy"] + metrics["accuracy"]) / 2
            floor = constant_score(task, split.labels.tolist())
            record["majority_score"] = (record["majority_score"] + floor) / 2
            record["examples_eval"] += len(split)
    if not math.isnan(error := math.hypot(*errors) / len(errors)):
        record["score_se"] = error
    return {**record, "split": "dev", "evaluate_seconds": seconds}
