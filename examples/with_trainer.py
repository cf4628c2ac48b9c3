"""Distil with the Trainer of transformers: its loss is an objective of this package.

    python examples/with_trainer.py TEACHER STUDENT OUT

TEACHER and STUDENT are hub ids or folders of encoders with a classification head that know the
same words; OUT is the folder for the student. It needs accelerate, as every Trainer does.
"""

import sys

import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from kd import Distillation

TEXTS = ["a good film", "a bad film", "good", "bad", "what a good film", "what a bad film"]
LABELS = [1, 0, 1, 0, 1, 0]


class Distiller(Trainer):
    """A Trainer that minimises a distillation loss."""

    def __init__(self, distillation, **arguments):
        super().__init__(**arguments)
        self.distillation = distillation

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The loss of a batch; the Trainer calls this."""
        return self.distillation(inputs)


def main(teacher_name: str, student_name: str, out: str, epochs: int = 10) -> float:
    """Train the student, save it, and return the loss of the training."""
    teacher = AutoModelForSequenceClassification.from_pretrained(teacher_name)
    student = AutoModelForSequenceClassification.from_pretrained(student_name)
    tokenizer = AutoTokenizer.from_pretrained(teacher_name)
    data = Dataset.from_dict({"labels": LABELS, **tokenizer(TEXTS)})
    settings = TrainingArguments(
        out, num_train_epochs=epochs, per_device_train_batch_size=6, report_to=[], logging_steps=5
    )
    with Distillation(student, teacher, "logits+attention@last") as distillation:
        device = settings.device
        teacher.to(device), distillation.to(device)
        # The projections are trained with the student.
        parameters = [*student.parameters(), *distillation.parameters()]
        trainer = Distiller(
            distillation,
            model=student,
            args=settings,
            train_dataset=data,
            data_collator=DataCollatorWithPadding(tokenizer),
            optimizers=(torch.optim.AdamW(parameters, lr=1e-3), None),
        )
        loss = trainer.train().training_loss
    student.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return loss


if __name__ == "__main__":
    main(*sys.argv[1:4])
