"""The gradients of one batch: forward through teacher and student, the losses, and backward."""

from contextlib import ExitStack

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.data.tokens import LABELLED, Split
from kd.encoders.capture import Capture, Features
from kd.encoders.micro_batches import in_micro_batches
from kd.losses.moving import Moment
from kd.losses.objective import Objective, wanted_features
from kd.runtime.device import autocast, model_inputs, to_device
from kd.teacher.features import TeacherFeatures
from kd.training.batches import ROWS, Loaded, Prepare, load, load_rows
from kd.training.resident import resident


class Gradients:
    """Computes the gradients of batches of `split`, as a context: its hooks are removed at the end.

    Args:
        student: the encoder that is trained.
        objective: the loss.
        teacher: the features that its terms compare with; None where there is no term.
        split: the training examples.
        precision: fp32, or bf16 for autocast.
        device: where student and objective are.
        prepare: changes a batch before the encoders get it; None for nothing.
        pad_to: tokens to which every batch is padded; None for hardly more than its longest
            example.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        objective: Objective,
        teacher: TeacherFeatures | None,
        split: Split,
        precision: str,
        device: torch.device,
        prepare: Prepare | None = None,
        pad_to: int | None = None,
    ) -> None:
        self.student, self.objective, self.teacher = student, objective, teacher
        self.split, self.precision, self.device = split, precision, device
        self.prepare, self.pad_to = prepare, pad_to
        self.resident = resident(split, teacher, device) if prepare is None else None
        self._open = ExitStack()

    def __enter__(self) -> "Gradients":
        wanted = wanted_features(self.objective.terms, teacher=False)
        if self.objective.labelled:
            wanted.add(("logits", 0))
        self._capture = self._open.enter_context(Capture(self.student, wanted))
        if self.teacher is not None:
            self._open.enter_context(self.teacher)
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def load(self, rows: Tensor, seed: int, split: Split | None = None) -> Loaded:
        """The batch of the examples `rows` (B,) in host memory; `seed` is that of its step."""
        if self.resident is not None and split is None:
            return load_rows(self.split, rows, self.device, self.pad_to)
        chosen = split or self.split
        return load(chosen, rows, self.teacher, self.device, self.prepare, seed, self.pad_to)

    def __call__(
        self, loaded: Loaded, moment: Moment, micro_batch: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Add the gradients of a batch, `micro_batch` of its examples at a time in the encoders.

        Returns:
            The loss, its parts and the factors of balanced weights, and the largest logit of each
            side, by name; detached scalars.
        """
        objective = self.objective
        parts, features = self._parts(loaded, moment, micro_batch)
        if objective.waits:
            objective.calibrate(parts, list(self.student.parameters()))
        loss = objective.total(parts, moment)
        loss.backward()
        factors = {f"factor of {name}": value for name, value in objective.factors(parts).items()}
        reported = {"loss": loss, **parts, **factors}
        losses = {name: value.detach() for name, value in reported.items()}
        return losses, _largest_logits(**features)

    def held_out_losses(
        self, split: Split, batch_size: int, moment: Moment, micro_batch: int
    ) -> dict[str, float]:
        """The loss and its parts on examples that are not trained on, by name: means over batches,
        weighted by their examples. Before weights are calibrated there are only the parts.

        The student is in eval mode meanwhile. No random number is drawn, and nothing that a loss
        carries from step to step is changed.
        """
        buffers = [(buffer, buffer.clone()) for buffer in self.objective.buffers()]
        sums: dict[str, Tensor] = {}
        self.student.eval()
        with torch.no_grad():
            for number, rows in enumerate(torch.arange(len(split)).split(batch_size)):
                parts, _ = self._parts(self.load(rows, number, split), moment, micro_batch)
                found = dict(parts)
                if not self.objective.waits:  # before calibration the weights are not known
                    found["loss"] = self.objective.total(parts, moment)
                for name, value in found.items():
                    sums[name] = sums.get(name, value.new_zeros(())) + len(rows) * value
                for buffer, before in buffers:
                    buffer.copy_(before)
        self.student.train()
        return {name: float(value) / len(split) for name, value in sums.items()}

    def _parts(
        self, loaded: Loaded, moment: Moment, micro_batch: int
    ) -> tuple[dict[str, Tensor], dict[str, Features]]:
        """The losses of a batch, scalars by name, and the features of `student` and `teacher`."""
        batch, stored = to_device(loaded.batch, self.device), loaded.stored
        if self.resident is not None and ROWS in batch:
            batch, stored = self.resident.batch(batch[ROWS], loaded.length)
        inputs = model_inputs(batch)
        if self.device.type != "cpu" and not loaded.padded:
            del inputs["attention_mask"]  # it would be asked whether it hides anything
        with autocast(self.precision, self.device):
            teacher: Features = {}
            if self.teacher is not None:
                teacher = self.teacher(loaded.rows, inputs, moment, micro_batch, stored)
            student = in_micro_batches(self._capture, inputs, micro_batch)
        mask, labels = batch["attention_mask"].bool(), batch["labels"]
        own = batch.get(LABELLED)
        parts = self.objective.parts(student, teacher, mask, labels, moment, own)
        return parts, {"student": student, "teacher": teacher}


def _largest_logits(**sides: Features) -> dict[str, Tensor]:
    """The largest absolute logit of each side that has logits, by name.

    A loss can be finite although a logit is not, for example if a wrong class has minus infinity.
    """
    return {
        f"largest logit of the {name}": found["logits", 0].detach().float().abs().max()
        for name, found in sides.items()
        if ("logits", 0) in found
    }
