"""This project's loop: the student alone, and with any knowledge, stored or computed."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.workload import DEVICE, Silent, Workload, recipe
from kd.axes.fields import RUN_DEFAULTS
from kd.axes.kinds import CLASSES
from kd.axes.pretrained import SCRATCH
from kd.axes.terms import Term, parse_knowledge, taught_keys
from kd.encoders.capture import Capture
from kd.encoders.facts import encoder
from kd.losses.moving import Moment
from kd.losses.objective import Objective, wanted_features
from kd.runtime.device import model_inputs, to_device
from kd.study.terms import relation_heads, resolve_term
from kd.teacher.features import TeacherFeatures
from kd.teacher.store import open_outputs, write_outputs
from kd.training.loop import Job, fit

_IDENTITY = {"teacher": "random", "tokens": "random"}


def terms_of(work: Workload, knowledge: str) -> tuple[Term, ...]:
    """The terms as a run has them: uniform mapping, default matchings."""
    teacher = encoder(SCRATCH, "main", str(work.teacher), "bert")
    raw = parse_knowledge(knowledge)
    return tuple(resolve_term(r, RUN_DEFAULTS, CLASSES, 2, work.student, teacher) for r in raw)


def objective_of(work: Workload, knowledge: str) -> Objective:
    """Its projections are random, and the same at each call."""
    heads = relation_heads(work.student, work.teacher)
    settings = {**RUN_DEFAULTS, "relation_heads": heads}
    return Objective(terms_of(work, knowledge), CLASSES, work.student, work.teacher, settings)


def store(work: Workload, knowledge: list[str]) -> None:
    """What the grid does once: compute and store all that these knowledge types read."""
    keys = {key for text in knowledge for key in taught_keys(terms_of(work, text))}
    teacher = work.model(work.teacher)
    write_outputs(work.folder, keys, teacher, work.split, _IDENTITY, DEVICE, Silent())  # type: ignore[arg-type]


def _teacher_features(work: Workload, objective: Objective, stored: bool) -> TeacherFeatures | None:
    keys = taught_keys(objective.terms)
    if not keys:
        return None
    if stored:
        opened = open_outputs(work.folder, keys, work.split, _IDENTITY)
        return TeacherFeatures(keys, opened, None, DEVICE)
    return TeacherFeatures(keys, None, work.model(work.teacher), DEVICE)


def epoch(
    work: Workload,
    knowledge: str,
    stored: bool = True,
    precision: str = "fp32",
    steps: int | None = None,
) -> Callable[[], Any]:
    """One epoch of training (or its first `steps`), ready to be timed."""
    share = 1.0 if steps is None else steps / work.steps
    return training(work, knowledge, stored, precision, share)[0]


def training(
    work: Workload,
    knowledge: str,
    stored: bool = True,
    precision: str = "fp32",
    epochs: float = 1.0,
    progress: Silent | None = None,
) -> tuple[Callable[[], Any], PreTrainedModel]:
    """A training that is ready to start, and its student."""
    objective = objective_of(work, knowledge)
    teacher_features = _teacher_features(work, objective, stored)
    student = work.model(work.student)
    job: Any = Job(DEVICE, progress or Silent(), "bench")  # type: ignore[arg-type]
    settings = {**recipe(work, precision), "epochs": epochs}
    train = partial(fit, student, objective, work.split, settings, job, teacher_features)
    return train, student


def digest(model: PreTrainedModel) -> str:
    """16 hex digits of all its weights."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()[:16]


def loss(work: Workload, knowledge: str, rows: Tensor) -> float:
    """Of one batch, without dropout."""
    objective = objective_of(work, knowledge).to(DEVICE)
    teacher_features = _teacher_features(work, objective, stored=True)
    assert teacher_features is not None
    batch = to_device(work.split.batch(rows), DEVICE)
    inputs, moment = model_inputs(batch), Moment(0, 1, 0, 1)
    wanted = {("logits", 0)} | wanted_features(objective.terms, teacher=False)
    student = work.model(work.student).to(DEVICE).eval()  # type: ignore[arg-type]
    with torch.no_grad(), Capture(student, wanted) as capture:
        parts = objective.parts(
            capture(**inputs),
            teacher_features(rows, inputs, moment),
            batch["attention_mask"].bool(),
            batch["labels"],
            moment,
        )
        return float(objective.total(parts, moment))
