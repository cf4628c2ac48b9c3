"""Distil any encoder into any smaller one in a plain torch loop.

    python examples/plain_loop.py TEACHER STUDENT

TEACHER and STUDENT are hub ids or folders of encoders with a classification head. Both must know
the same words, since they read the same tokens.
"""

import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kd import Distillation

TEXTS = ["a good film", "a bad film", "good", "bad", "what a good film", "what a bad film"]
LABELS = [1, 0, 1, 0, 1, 0]


def main(teacher_name: str, student_name: str, epochs: int = 20) -> list[float]:
    """Train the student and return its losses by epoch."""
    teacher = AutoModelForSequenceClassification.from_pretrained(teacher_name)
    student = AutoModelForSequenceClassification.from_pretrained(student_name).train()
    batch = AutoTokenizer.from_pretrained(teacher_name)(TEXTS, padding=True, return_tensors="pt")
    batch["labels"] = torch.tensor(LABELS)
    losses = []
    with Distillation(student, teacher, "logits+hidden@uniform", temperature=2) as distillation:
        parameters = [*student.parameters(), *distillation.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=1e-3)
        for epoch in range(epochs):
            loss = distillation(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            parts = ", ".join(f"{name} {part:.4f}" for name, part in distillation.parts.items())
            print(f"epoch {epoch + 1}: loss {losses[-1]:.4f} ({parts})")
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:3])
