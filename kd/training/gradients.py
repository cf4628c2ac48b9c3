"""The gradients of one batch: forward through teacher and student, the losses, and backward."""

from contextlib import ExitStack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.data.tokens import Split
from kd.encoders.capture import Capture, Features
from kd.encoders.micro_batches import in_micro_batches
from kd.losses.moving import Moment
from kd.losses.objective import Objective, wanted_features
from kd.runtime.device import autocast, model_inputs, to_device
from kd.teacher.features import TeacherFeatures


class Gradients:
    """Computes the gradients of batches of `split`, as a context: its hooks are removed at the end.

    Args:
        student: the encoder that is trained.
        objective: the loss.
        teacher: the features that its terms compare with; None where there is no term.
        split: the training examples.
        precision: fp32, or bf16 for autocast.
        device: where student and objective are.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        objective: Objective,
        teacher: TeacherFeatures | None,
        split: Split,
        precision: str,
        device: torch.device,
    ) -> None:
        self.student, self.objective, self.teacher = student, objective, teacher
        self.split, self.precision, self.device = split, precision, device
        self._open = ExitStack()

    def __enter__(self) -> "Gradients":
        wanted = wanted_features(self.objective.terms, teacher=False)
        self._capture = self._open.enter_context(Capture(self.student, {("logits", 0)} | wanted))
        if self.teacher is not None:
            self._open.enter_context(self.teacher)
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def __call__(
        self, rows: Tensor, moment: Moment, micro_batch: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Add the gradients of the examples `rows` (B,), `micro_batch` of them at a time in
        the encoders.

        Returns:
            The loss, its parts and the factors of balanced weights, and the largest logit of each
            side, by name; detached scalars.
        """
        objective = self.objective
        batch = to_device(self.split.batch(rows), self.device)
        inputs = model_inputs(batch)
        with autocast(self.precision, self.device):
            teacher: Features = {}
            if self.teacher is not None:
                teacher = self.teacher(rows, inputs, moment, micro_batch)
            student = in_micro_batches(self._capture, inputs, micro_batch)
        mask, labels = batch["attention_mask"].bool(), batch["labels"]
        parts = objective.parts(student, teacher, mask, labels, moment)
        if objective.waits:
            objective.calibrate(parts, list(self.student.parameters()))
        loss = objective.total(parts, moment)
        loss.backward()
        factors = {f"factor of {name}": value for name, value in objective.factors(parts).items()}
        reported = {"loss": loss, **parts, **factors}
        losses = {name: value.detach() for name, value in reported.items()}
        return losses, _largest_logits(student=student, teacher=teacher)


def _largest_logits(**sides: Features) -> dict[str, Tensor]:
    """The largest absolute logit of each side that has logits, by name.

    A loss can be finite although a logit is not, for example if a wrong class has minus infinity.
    """
    return {
        f"largest logit of the {name}": found["logits", 0].detach().float().abs().max()
        for name, found in sides.items()
        if ("logits", 0) in found
    }
