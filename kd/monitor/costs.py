"""Seconds of each job of a study on one device, by its rates: a model with few parts.

A training takes steps, updates of its parameters and floating-point operations; a pass of the
teacher takes operations. What is measured of jobs that are done corrects the model (`measured`).
"""

import math
from functools import cache

from kd.axes.extra import EPOCHS
from kd.axes.shapes import VOCABULARY, Shape, parse_shape
from kd.monitor.rates import Rates
from kd.study.run import Run
from kd.study.stage import Stage
from kd.study.teacher_outputs import training_size

# The losses of terms, and the features that they compare: on a CPU a student of three layers takes
# 1.1 to 1.2 times as long with logits and hidden states, read from the store, as without.
TERMS = 1.15
DEV_SHARE = 0.1  # examples of the dev splits, of those of the training: 0.05 to 0.6 in GLUE
SINGLES = 35  # examples that are evaluated one by one, for the latency
_TOKENS_PER_SECOND = 2e5  # of a tokenizer
TAKEN = 0.3  # seconds of a job that takes what an earlier one has made, without torch
_DRAWING = 5.0  # seconds of one step that draws or collects, beside its start


@cache
def sized(shape: str) -> Shape:
    """A shape by its text."""
    return parse_shape(shape)


def training_seconds(
    shape: Shape, parameters: float, steps: float, examples: float, tokens: float, precision: str,
    rates: Rates, *, terms: bool = False, live: Shape | None = None,
) -> float:  # fmt: skip
    """Seconds of a training, without the start of its job.

    Args:
        shape: of the model that is trained.
        parameters: of it, with embeddings.
        steps: updates.
        examples: passes of an example through it, in all steps.
        tokens: mean length of an example.
        precision: auto, fp32 or bf16.
        rates: of the device.
        terms: whether it compares features with a teacher's.
        live: the shape of a teacher that runs in every step.
    """
    if precision == "auto":
        precision = "bf16" if rates.kind == "gpu" else "fp32"
    each = rates.step * (shape.layers + 2) + rates.update * parameters
    work = 3 * examples * shape.flops(tokens) / rates.training[precision]  # type: ignore[arg-type]
    seconds = (steps * each + work) * (TERMS if terms else 1)
    if live:
        seconds += steps * rates.step * (live.layers + 2) / 3
        seconds += examples * live.flops(tokens) / rates.forward  # type: ignore[arg-type]
    return seconds


def parameters_of(shape: Shape, vocabulary: int | None) -> int:
    """Parameters of an encoder with embeddings."""
    return shape.parameters(vocabulary or VOCABULARY)


def distil_seconds(run: Run, rates: Rates, size: tuple[float, float], live: bool) -> float:
    """Seconds of the training of a student. `size`: examples and mean tokens of its training set;
    `live`: its teacher runs in every step, because not all that it reads is stored."""
    examples, tokens = size
    values, shape = run.values, sized(run.spec["student"])
    if values["compare_at"] == EPOCHS and run.extras:
        examples = (0 if run.alone else examples) + extra_examples(run, examples)
    examples *= values["train_fraction"] * (1 - values["held_out"])
    teacher = run.teacher.encoder
    return training_seconds(
        shape, parameters_of(shape, teacher.vocabulary),
        math.ceil(examples / values["batch_size"]) * values["epochs"], examples * values["epochs"],
        tokens, values["precision"], rates,
        terms=bool(run.terms), live=teacher.shape if live else None,
    )  # fmt: skip


def extra_examples(run: Run, examples: float) -> int:
    """About how many extra examples a run has, beside those of its training set."""
    return sum(extra.examples(run.task_row, int(examples)) for extra in run.extras)


def teacher_seconds(run: Run, rates: Rates, size: tuple[float, float]) -> float:
    """Seconds of fine-tuning the teacher of a run; 0 if it is fine-tuned already, or a link."""
    teacher, (examples, tokens) = run.teacher, size
    if teacher.finetuned or teacher.is_linked:
        return 0.0
    recipe, shape = teacher.recipe, teacher.encoder.shape
    examples *= recipe["train_fraction"] * (1 - recipe["held_out"])
    return training_seconds(
        shape, parameters_of(shape, teacher.encoder.vocabulary),
        math.ceil(examples / recipe["batch_size"]) * recipe["epochs"], examples * recipe["epochs"],
        tokens, recipe["precision"], rates,
    )  # fmt: skip


def stage_seconds(stage: Stage, rates: Rates) -> float:
    """Seconds of a stage, without the head of the masked language model."""
    length, steps = stage.values["max_length"], stage.values["steps"]
    return training_seconds(
        stage.shape, parameters_of(stage.shape, stage.encoder.vocabulary), steps,
        stage.tokens / length, length, stage.values["precision"], rates,
        terms=bool(stage.terms), live=stage.encoder.shape if stage.terms else None,
    )  # fmt: skip


def forward_seconds(shape: Shape, examples: float, tokens: float, rates: Rates) -> float:
    """Seconds of passes of examples through a model, in batches."""
    return examples * shape.flops(tokens) / rates.forward  # type: ignore[arg-type]


def evaluation_seconds(
    shape: Shape, rates: Rates, size: tuple[float, float], dev: float | None = None
) -> float:
    """Seconds of an evaluation on the dev splits, `dev` examples if their number is known."""
    examples, tokens = size
    wanted = examples * DEV_SHARE if dev is None else dev
    singles = SINGLES * (shape.layers + 2) * rates.step / 3
    return forward_seconds(shape, wanted + SINGLES, tokens, rates) + singles


def dev_examples(run: Run) -> float | None:
    """Examples of the dev split of a generated task; None where only the training's are known."""
    return float(run.spec["data"]["dev"]) if run.task_row.synthetic else None


def tokenise_seconds(run: Run) -> float:
    """Seconds of tokenising the text of a run's task."""
    examples, tokens = training_size(run)
    return (1 + DEV_SHARE) * examples * tokens / _TOKENS_PER_SECOND


def drawing_seconds(runs: int) -> float:
    """Seconds of one of the steps collect, tables, figures, report and guideline."""
    return _DRAWING + 0.005 * runs
