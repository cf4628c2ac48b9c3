"""The objectives of this package in a training loop of your own, for any two encoders."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.axes.tasks import Task
from kd.axes.terms import parse_knowledge
from kd.encoders.build import shape_of
from kd.encoders.capture import Capture, capture_teacher
from kd.encoders.facts import Encoder
from kd.losses.moving import Moment
from kd.losses.objective import Objective, wanted_features
from kd.runtime.errors import Pruned, UserError, unknown
from kd.study.terms import relation_heads, resolve_term

# The fields of a run that say how a student is taught; the others belong to its training.
SETTINGS = (
    *("matching", "mapping", "temperature", "temperature_schedule", "probability_shift"),
    *("hard_weight", "projection", "relation_heads", "errata", "seed"),
)


class Distillation(nn.Module):
    """The loss of a student that learns from a teacher, as a run of a study has it.

    >>> distillation = Distillation(student, teacher, "logits+hidden@uniform", temperature=4)
    >>> optimiser = AdamW([*student.parameters(), *distillation.parameters()])
    >>> loss = distillation(batch)

    Its own parameters are the projections from the student's width to the teacher's: train them
    with the student. The two models are not among its modules, so their weights stay where they
    are. The teacher is frozen, in eval mode and without gradients. While it lives, the models'
    attention is captured where a term needs it; `close`, or the end of a `with` block, undoes that.

    Args:
        student: an encoder with a classification head.
        teacher: the same, for the same task; widths and depths may differ.
        knowledge: the terms, as in a study: `logits+hidden:mse@uniform*0.5`, or `none`.
        steps: of the whole training; only mappings that move and weights that change need it.
        settings: fields of a run: matching, mapping, temperature, temperature_schedule,
            probability_shift, hard_weight, projection, relation_heads, errata, seed.

    Raises:
        UserError: a term or a setting is unknown, or a term has no meaning for these two models.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel,
        knowledge: str = "logits",
        *,
        steps: int = 1,
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
                resolve_term(raw, values, task, shape, encoder)
                for raw in parse_knowledge(knowledge)
            )
        except Pruned as pruned:
            raise UserError(f"{knowledge}: {pruned}") from None
        if values["relation_heads"] == "auto":
            values["relation_heads"] = relation_heads(shape, encoder.shape)
        self.objective = Objective(terms, task.regression, shape, encoder.shape, values)
        self.steps, self.step, self.seed = steps, 0, values["seed"]
        self.parts: dict[str, Tensor] = {}
        teacher.eval()
        # In a tuple: a module that is an attribute would be one of this module's own.
        self._captures = (
            Capture(student, {*wanted_features(terms, teacher=False), ("logits", 0)}),
            Capture(teacher, wanted_features(terms, teacher=True)) if terms else None,
        )

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch, a scalar; its parts by name, unweighted, are then in `parts`.

        Args:
            batch: the models' inputs (B, L) with attention_mask, and labels (B,).
        """
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        student, teacher = self._captures
        taught = capture_teacher(teacher, **inputs) if teacher else {}
        moment = Moment(min(self.step, self.steps - 1), self.steps, 0, self.seed)
        loss, self.parts = self.objective(
            student(**inputs), taught, batch["attention_mask"].bool(), batch["labels"], moment
        )
        self.step += torch.is_grad_enabled()
        found: Tensor = loss
        return found

    def __enter__(self) -> "Distillation":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the models their own attention back."""
        for capture in filter(None, self._captures):
            capture.close()


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
    """A task with the labels of a model; one label is a score."""
    regression = model.config.problem_type == "regression" or len(model.config.id2label or ()) == 1
    labels = () if regression else tuple(map(str, model.config.id2label or ()))
    span = None if labels else (-math.inf, math.inf)
    return Task("", ("text",), labels, (), examples=0, tokens=0, range=span)


def _described(model: PreTrainedModel) -> Encoder:
    """What the checks of a study need to know of a teacher."""
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
