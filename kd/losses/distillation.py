"""The objectives of this package for your own training loop, for any two encoders."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.axes.kinds import LABELS, SCORES
from kd.axes.mappings import mapping_row
from kd.axes.tasks import Task
from kd.axes.terms import Term, parse_knowledge
from kd.encoders.build import classifier_of, shape_of
from kd.encoders.capture import Capture, capture_teacher
from kd.encoders.facts import Encoder
from kd.losses.moving import Moment
from kd.losses.objective import Objective, reads_classifier, wanted_features
from kd.runtime.errors import Pruned, UserError, unknown
from kd.study.terms import relation_heads, resolve_term

# The fields of a run that belong to the objective; the others belong to the training.
SETTINGS = (
    *("matching", "mapping", "temperature", "temperature_schedule", "probability_shift"),
    *("hard_weight", "projection", "relation_heads", "errata", "seed"),
)


class Distillation(nn.Module):
    """The loss of a student that learns from a teacher, as in a run of a study.

    >>> distillation = Distillation(student, teacher, "logits+hidden@uniform", temperature=4)
    >>> optimiser = AdamW([*student.parameters(), *distillation.parameters()])
    >>> loss = distillation(batch)

    Its parameters are the projections from the student's width to the teacher's. Train them with
    the student. The two models are not modules of this one, so their weights are not moved or
    saved with it. The teacher is frozen: in eval mode and without gradients. Where a term needs
    attention, this object replaces the attention function of the models until `close` is called or
    the `with` block ends.

    Args:
        student: an encoder with a classification head.
        teacher: another encoder with a classification head for the same task; widths and depths
            may differ.
        knowledge: the terms, as in a study: `logits+hidden:mse@uniform*0.5`, or `none`.
        steps: the number of steps of the training; needed for mappings whose pairs change and for
            weights that change.
        steps_per_epoch: the number of steps of an epoch; needed for the mapping `random-per-epoch`.
        settings: fields of a run: matching, mapping, temperature, temperature_schedule,
            probability_shift, hard_weight, projection, relation_heads, errata, seed.

    Raises:
        UserError: a term or a setting is unknown, a term is not defined for these models, or a
            number of steps that a term needs is missing.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        knowledge: str = "logits",
        *,
        steps: int | None = None,
        steps_per_epoch: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        values = {**RUN_DEFAULTS, **_checked(settings)}
        if student.num_labels != teacher.num_labels:
            raise UserError(
                f"the student has {student.num_labels} labels and the teacher {teacher.num_labels}"
            )
        shape, encoder = shape_of(student.config), _described(teacher)
        task = _task_of(student)
        try:
            terms = tuple(
                resolve_term(raw, values, task.kind, task.outputs, shape, encoder)
                for raw in parse_knowledge(knowledge)
            )
        except Pruned as pruned:
            raise UserError(f"{knowledge}: {pruned}") from None
        if values["relation_heads"] == "auto":
            values["relation_heads"] = relation_heads(shape, encoder.shape)
        _check_steps(terms, steps, steps_per_epoch)
        classifier = classifier_of(teacher) if reads_classifier(terms) else None
        self.objective = Objective(
            terms, task.kind, shape, encoder.shape, values, classifier=classifier
        )
        self.steps, self.step, self.seed = steps or 1, 0, values["seed"]
        self.steps_per_epoch = steps_per_epoch or self.steps
        self.parts: dict[str, Tensor] = {}
        teacher.train("teacher-in-training" in self.objective.errata)
        # In a tuple, because torch would register an attribute as a submodule.
        self._captures = (
            Capture(student, {*wanted_features(terms, teacher=False), ("logits", 0)}),
            Capture(teacher, wanted_features(terms, teacher=True)) if terms else None,
        )

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch, a scalar. Afterwards `parts` has its unweighted parts by name.

        Args:
            batch: the models' inputs (B, L) with attention_mask, and labels (B,); (B, C) of 0
                and 1 where the student's problem_type is multi_label_classification.
        """
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        student, teacher = self._captures
        taught = capture_teacher(teacher, **inputs) if teacher else {}
        step = min(self.step, self.steps - 1)
        moment = Moment(step, self.steps, step // self.steps_per_epoch, self.seed)
        learned, mask = student(**inputs), batch["attention_mask"].bool()
        with torch.autocast(mask.device.type, enabled=False):  # losses are in fp32
            loss, self.parts = self.objective(learned, taught, mask, batch["labels"], moment)
        self.step += torch.is_grad_enabled()
        found: Tensor = loss
        return found

    def __enter__(self) -> "Distillation":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Restore the attention functions of the models."""
        for capture in filter(None, self._captures):
            capture.close()


def _check_steps(terms: Iterable[Term], steps: int | None, steps_per_epoch: int | None) -> None:
    for term in terms:
        row = mapping_row(term.moving) if term.moving else None
        chooses = row is not None and row.choosing
        if steps is None and (chooses or not term.weight.constant):
            raise UserError(f"{term}: it changes during the training, so it needs `steps`")
        if steps_per_epoch is None and term.moving == "random-per-epoch":
            raise UserError(f"{term}: it is drawn in every epoch, so it needs `steps_per_epoch`")


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, each parsed as in a study file."""
    found = {}
    for name, value in settings.items():
        if name not in SETTINGS:
            raise unknown("setting", name, SETTINGS)
        try:
            found[name] = RUN_FIELDS[name].parse(value)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
    return found


def _task_of(model: PreTrainedModel) -> Task:
    """A task with the labels of a model.

    A model with one label is a regression, unless its `problem_type` is that of a multi-label task.
    """
    problem, names = model.config.problem_type, model.config.id2label or ()
    multi = problem == LABELS.problem_type
    scores = problem == SCORES.problem_type or (len(names) == 1 and not multi)
    labels = () if scores else tuple(map(str, names))
    span = (-math.inf, math.inf) if scores else None
    return Task("", ("text",), labels, (), examples=0, tokens=0, range=span, multi=multi)


def _described(model: PreTrainedModel) -> Encoder:
    """A teacher with the facts that the checks of a study need."""
    config = model.config
    return Encoder(
        location=config.name_or_path or type(model).__name__,
        revision=None,
        arch=config.model_type,
        shape=shape_of(config),
        vocabulary=config.vocab_size,
        positions=None,
        identity=(),
    )
