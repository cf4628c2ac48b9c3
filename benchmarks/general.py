"""A stage before the task: tokens a second, and the share of its time that is the teacher's.

The teacher runs at every step of a stage. Its time is that of a pass over the same batches in which
nothing else is done.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import AutoConfig

from benchmarks.contenders import Contender
from benchmarks.measure import interleaved, ratio
from benchmarks.workload import DEVICE, MAX_LENGTH, Silent
from kd.axes.fields import RUN_DEFAULTS
from kd.axes.kinds import CLASSES
from kd.axes.pretrained import SCRATCH
from kd.axes.shapes import Shape, parse_shape
from kd.axes.stages import STAGE_DEFAULTS, USUAL_MASKED
from kd.axes.terms import parse_knowledge, taught_keys
from kd.data.masking import mask_tokens
from kd.data.tokens import Split
from kd.encoders.build import shaped_config
from kd.encoders.facts import encoder
from kd.encoders.masked_lm import build_masked_lm, predict_masked_alone
from kd.losses.moving import Moment
from kd.losses.objective import Objective
from kd.runtime.device import model_inputs, to_device
from kd.study.terms import relation_heads, resolve_term
from kd.teacher.features import TeacherFeatures
from kd.training.loop import Job, fit

STAGE, TEACHER, ALONE = "the stage", "its teacher alone", "without a teacher"
# (knowledge, whether the masked language model loss is learned too)
KINDS = [("hidden+attention", False), ("mlm-logits+hidden:cosine@last-only", True)]
_MASK, _SPECIAL, _WORDS = 103, (0, 101, 102), 30522


def general(
    student: str, teacher: str, batch_size: int, steps: int, repetitions: int
) -> list[dict[str, Any]]:
    """Each kind of stage on random packed sequences of 128 tokens."""
    shapes = parse_shape(student), parse_shape(teacher)
    split = packed(steps * batch_size)
    tokens = batch_size * MAX_LENGTH
    rows = []
    for knowledge, words in KINDS:
        timed = {
            name: Contender(partial(prepare, split, *shapes, knowledge, words, batch_size), steps)
            for name, prepare in ((STAGE, stage), (TEACHER, teacher_alone))
        }
        alone = partial(stage, split, *shapes, "none", True, batch_size)
        timings = interleaved({**timed, ALONE: Contender(alone, steps)}, repetitions)
        seconds = {name: statistics.median(timing.seconds) for name, timing in timings.items()}
        rows.append(
            {
                "knowledge": knowledge + " + masked words" * words,
                "student": str(shapes[0]),
                "tokens_per_second": tokens / seconds[STAGE],
                "tokens_per_second_without_teacher": tokens / seconds[ALONE],
                "teachers_share": ratio(timings, TEACHER, STAGE),
            }
        )
    return rows


def packed(sequences: int) -> Split:
    """Sequences of equal length, without padding, as a corpus is packed."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(1000, _WORDS, (sequences * MAX_LENGTH,), generator=generator)
    return Split(
        {"input_ids": words.int()},
        torch.arange(sequences + 1) * MAX_LENGTH,
        torch.zeros(sequences, dtype=torch.int64),
        torch.arange(sequences),
        padding=0,
    )


def stage(
    split: Split, student: Shape, teacher: Shape, knowledge: str, words: bool, batch_size: int
) -> Callable[[], Any]:
    """A pass over the split as a stage trains, ready to be timed."""
    objective = _objective(student, teacher, knowledge, words)
    model = _model(student)
    if words:
        predict_masked_alone(model)
    features = _features(objective, teacher)
    recipe = {**STAGE_DEFAULTS, "epochs": 1, "batch_size": batch_size, "precision": "fp32"}
    job: Any = Job(DEVICE, Silent(), "bench")  # type: ignore[arg-type]
    prepare = _masked if words else None
    return partial(fit, model, objective, split, recipe, job, features, prepare=prepare)


def teacher_alone(
    split: Split, student: Shape, teacher: Shape, knowledge: str, words: bool, batch_size: int
) -> Callable[[], Any]:
    """The teacher's part of that pass."""
    features = _features(_objective(student, teacher, knowledge, words), teacher)
    assert features is not None

    def run() -> None:
        with features:
            for number, rows in enumerate(torch.arange(len(split)).split(batch_size)):
                batch = split.batch(rows)
                batch = to_device(_masked(batch, number) if words else batch, DEVICE)
                features(rows, model_inputs(batch), Moment(number, len(split), 0, 1))

    return run


def _model(shape: Shape) -> Any:
    torch.manual_seed(0)
    return build_masked_lm(shaped_config(AutoConfig.for_model("bert"), shape))


def _objective(student: Shape, teacher: Shape, knowledge: str, words: bool) -> Objective:
    facts = encoder(SCRATCH, "main", str(teacher), "bert")
    terms = tuple(
        resolve_term(raw, RUN_DEFAULTS, CLASSES, _WORDS, student, facts)
        for raw in parse_knowledge(knowledge)
    )
    settings = {**RUN_DEFAULTS, "relation_heads": relation_heads(student, teacher)}
    return Objective(terms, CLASSES, student, teacher, settings, labelled=words)


def _features(objective: Objective, teacher: Shape) -> TeacherFeatures | None:
    keys = taught_keys(objective.terms)
    if not keys:
        return None
    model = _model(teacher)
    if ("logits", 0) in keys:
        predict_masked_alone(model)
    return TeacherFeatures(keys, None, model, DEVICE)


def _masked(batch: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    return mask_tokens(batch, USUAL_MASKED, _MASK, _SPECIAL, _WORDS, seed)
