"""Predictions and the official metrics of a fine-tuned model on the dev splits."""

import math
import statistics
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kd.axes.kinds import SCORES
from kd.axes.metrics import column_of
from kd.axes.tasks import Task
from kd.data.subset import held_out_rows
from kd.data.tokens import Split, load_split, ordered_batches
from kd.runtime.device import in_batches_that_fit, model_inputs, to_device
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress
from kd.training.fidelity import fit_of, mean_of
from kd.training.metrics import constant_score, evaluate_metrics, other_metrics
from kd.training.predictions import Predictions, chosen_answers, gold_answers
from kd.training.sampling_error import score_error

_BATCH = 64
_SINGLES, _WARM_UP = 32, 4  # single examples that are timed, and untimed ones before them


def predict(
    model: nn.Module, split: Split, device: torch.device, progress: Progress | None
) -> Tensor:
    """Logits (n, C) in fp32, in the order of the split; in eval mode, without autocast.

    Raises:
        UserError: a logit is NaN or infinite, which argmax would take for some class.
    """
    logits = _logits(model, split, device, progress)
    if bad := _not_finite(logits, split):
        raise UserError(
            f"{getattr(model, 'name_or_path', '') or 'the model'}: its logits are not finite for "
            f"{len(bad)} of {len(split)} examples, the first has the id {bad[0]}; its weights are "
            f"damaged, or too large for their dtype"
        )
    return logits


def _logits(
    model: nn.Module, split: Split, device: torch.device, progress: Progress | None
) -> Tensor:
    work = partial(_logits_of, model, split, device, progress)
    return in_batches_that_fit(work, _BATCH, device, "evaluated")


def _logits_of(
    model: nn.Module, split: Split, device: torch.device, progress: Progress | None, size: int
) -> Tensor:
    if progress:
        progress.start("evaluating", math.ceil(len(split) / size))
    model.to(device).eval()
    logits: Tensor | None = None
    with torch.inference_mode():
        for rows in ordered_batches(split, size):
            batch = to_device(split.batch(rows), device)
            output = model(**model_inputs(batch)).logits.float().cpu()
            if logits is None:
                logits = torch.empty(len(split), output.shape[-1])
            logits[rows] = output
            if progress:
                progress.advance()
    assert logits is not None, "a split has at least one example"
    return logits


def _not_finite(logits: Tensor, split: Split) -> list[int]:
    """The ids of the examples whose logits are not finite."""
    return split.ids[~logits.isfinite().all(-1)].tolist()


def latency(model: nn.Module, split: Split, device: torch.device) -> float:
    """Median seconds of the forward pass of a single example, over up to 32 of the split.

    It is the median because other jobs on the machine slow some of the passes down.
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
    """R^2 of predictions (n,) and labels (n,): 1 - squared error / that of the labels' mean.

    0 if all labels are equal.
    """
    error = (predictions.double() - labels.double()).square().sum()
    spread = (labels.double() - labels.double().mean()).square().sum()
    return float(1 - error / spread) if spread > 0 else 0.0


def evaluate(
    model: nn.Module, tokens: Path, task: Task, device: torch.device, progress: Progress
) -> tuple[dict[str, Any], dict[str, Predictions]]:
    """What a model scores on the dev splits, and what it answered there.

    The record has the keys of `scores`, and `latency_seconds`, `evaluate_seconds`, `split`.

    Raises:
        UserError: a logit is not finite.
    """
    answers, seconds = {}, 0.0
    for name, _ in task.dev:
        split = load_split(tokens, name)
        started = time.perf_counter()
        logits = predict(model, split, device, progress)
        seconds += time.perf_counter() - started
        answers[name] = Predictions(split.ids.numpy(), split.labels.numpy(), logits.numpy())
    record = scores(task, answers)
    record["latency_seconds"] = latency(model, load_split(tokens, "dev"), device)
    return {**record, "split": "dev", "evaluate_seconds": seconds}, answers


def scores(row: Task, answers: Mapping[str, Predictions]) -> dict[str, Any]:
    """Score and metrics on the dev split; MNLI's mismatched accuracy beside them, and the metrics
    of further dev splits of a task of the user's own, under `metric@split`.

    `majority_score` is the score of the best constant answer on the same examples. `score_se` is
    the standard error of the score over examples, and is left out if all answers are right. The
    numbers of `fit_of` are means over the dev splits.
    """
    record, examples = dict[str, Any](), 0
    floors, errors, fits = list[float](), list[float](), list[dict[str, float]]()
    for name, split in answers.items():
        chosen, gold = chosen_answers(row, split.logits), gold_answers(row, split.labels)
        metrics = evaluate_metrics(row, chosen, gold)
        metrics |= other_metrics(row, split.logits, split.labels)
        if name not in row.scored:
            record |= {column_of(metric, name): value for metric, value in metrics.items()}
            continue
        examples += len(split.labels)
        errors.append(score_error(row, chosen, gold))
        floors.append(constant_score(row, split.labels))
        fits.append(fit_of(row, split.logits, split.labels))
        if name == "dev":
            record |= {column_of(metric): value for metric, value in metrics.items()}
            record["metrics"], record["classes"] = "+".join(row.metrics), row.outputs
            record["task_kind"] = row.kind.name
            if row.kind is SCORES:
                record["r2"] = explained(torch.from_numpy(chosen), torch.from_numpy(split.labels))
        else:
            record["accuracy_mm"] = metrics["accuracy"]
            record["score"] = (record["accuracy"] + metrics["accuracy"]) / 2
    record["majority_score"] = sum(floors) / len(floors)
    record["examples_eval"] = examples
    if not math.isnan(error := math.hypot(*errors) / len(errors)):
        record["score_se"] = error
    return {**record, **mean_of(fits)}


def slice_scores(
    model: nn.Module,
    tokens: Path,
    task: Task,
    settings: Mapping[str, Any],
    device: torch.device,
    progress: Progress,
) -> dict[str, Any]:
    """What a model scores on the held-out slice of its training split; {} where there is none.

    Args:
        model: it was trained without the slice.
        tokens: folder of the tokens.
        task: its metrics are those of the dev split.
        settings: `held_out` (share) and `held_out_seed` of the model's training.
        device: where the model is run.
        progress: of the job.

    Raises:
        UserError: a logit is not finite.
    """
    if not settings["held_out"]:
        return {}
    train = load_split(tokens, "train")
    share, seed = settings["held_out"], settings["held_out_seed"]
    split = train.only(held_out_rows(train, share, seed, task.kind))
    logits = predict(model, split, device, progress).numpy()
    metrics = evaluate_metrics(
        task, chosen_answers(task, logits), gold_answers(task, split.labels.numpy())
    )
    return {"slice_score": metrics["score"], "slice_examples": len(split)}


class DevScore:
    """The score on the dev splits of a model that is being trained; the model is left in training
    mode, and no random number is drawn."""

    def __init__(self, tokens: Path, task: Task, device: torch.device) -> None:
        self.task, self.device = task, device
        self.splits = {name: load_split(tokens, name) for name in task.scored}

    def __call__(self, model: nn.Module) -> float:
        """The score, a fraction: the mean of the metrics over the dev splits.

        Raises:
            UserError: a logit is not finite.
        """
        found = []
        for name, split in self.splits.items():
            logits = _logits(model, split, self.device, None)
            if bad := _not_finite(logits, split):
                raise UserError(
                    f"the training is not finite: the student's logits are not for {len(bad)} of "
                    f"{len(split)} examples of {name}; a smaller learning_rate or weight may help"
                )
            chosen = chosen_answers(self.task, logits.numpy())
            gold = gold_answers(self.task, split.labels.numpy())
            found.append(evaluate_metrics(self.task, chosen, gold)["score"])
        model.train()
        return sum(found) / len(found)
