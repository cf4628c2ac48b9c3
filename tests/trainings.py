"""Trainings of models of a few thousand parameters, for the tests of what takes part in them."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from helpers import SHAPE, VOCABULARY, tiny_model
from torch import Tensor, nn

from kd.axes.kinds import CLASSES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import Pairs
from kd.axes.shapes import Shape
from kd.axes.terms import Term, matchings_of, taught_keys
from kd.axes.weights import as_weight
from kd.data.tokens import Split
from kd.encoders.build import classifier_of
from kd.losses.objective import Objective
from kd.runtime.progress import Progress
from kd.runtime.signals import Stopped
from kd.teacher.features import TeacherFeatures
from kd.training.checkpoint import Checkpoint
from kd.training.loop import Job, TrainingResult, fit

CPU = torch.device("cpu")


NARROW = Shape(layers=2, hidden=12, heads=3, ffn=20)


RECIPE: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "max_grad_norm": 1.0,
    "precision": "fp32",
    "seed": 1,
}


class Watched(Split):
    """A split that remembers the rows that were asked for."""

    def batch(self, rows: Tensor, length: int | None = None) -> dict[str, Tensor]:
        SEEN.append(rows.tolist())
        return super().batch(rows, length)


SEEN: list[list[int]] = []


DRAWN_BEFORE = itertools.count(1000)


def make_split(count: int = 30, kind: type[Split] = Split, regression: bool = False) -> Split:
    """Random ragged examples."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 9, (count,), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    ids = torch.randint(5, VOCABULARY, (int(offsets[-1]),), generator=generator).int()
    labels = torch.arange(count) % 2
    return kind(
        {"input_ids": ids},
        offsets,
        labels.float() if regression else labels,
        torch.arange(count),
        padding=0,
    )


def term(
    name: str,
    pairs: Pairs = ((1, 1), (3, 2)),
    weight: float | str = 1.0,
    matching: str | None = None,
    moving: str = "",
) -> Term:
    """A knowledge type with its default matching."""
    row = KNOWLEDGE[name]
    if row.fewest_pairs > 2:
        pairs = ((1, 1), (2, 1), (3, 2))
    matching = matching or next(iter(matchings_of(name, CLASSES)))
    return Term(name, matching, pairs if row.layered else ((0, 0),), as_weight(weight), moving)


class Training:
    """A fresh student, taught by one random teacher, and what came of it."""

    def __init__(
        self,
        folder: Path,
        *terms: Term,
        hard_weight: float | str = 1.0,
        split: Split | None = None,
        objective: nn.Module | None = None,
        student_seed: int = 3,
        weights: str = "fixed",
        errata: str = "none",
        projection: str = "per-pair",
        student_dropout: float = 0.1,
        checkpoint: Checkpoint | None = None,
        dev_score: Callable[[nn.Module], float] | None = None,
        evaluate_every: int | str | None = None,
        examples: Tensor | None = None,
        device: torch.device = CPU,
        **changed: Any,
    ) -> None:
        self.teacher = tiny_model(shape=SHAPE, seed=7) if terms else None
        rates = dict.fromkeys(
            ("hidden_dropout_prob", "attention_probs_dropout_prob"), student_dropout
        )
        self.student = tiny_model(shape=NARROW, seed=student_seed, **rates)
        settings = {"hard_weight": hard_weight, "weights": weights, "errata": errata}
        settings["projection"] = projection
        self.objective = objective or make_objective(*terms, **settings)
        recipe = {**RECIPE, **changed}
        progress = Progress(folder / "state", "test")
        split = split or make_split()
        torch.manual_seed(next(DRAWN_BEFORE))  # `fit` must not depend on it
        keys, trains = taught_keys(terms), errata == "teacher-in-training"
        teacher_features = (
            TeacherFeatures(keys, None, self.teacher, device, trains) if keys else None
        )
        self.result: TrainingResult = fit(
            self.student,
            self.objective,
            split,
            recipe,
            Job(device, progress, "testing", checkpoint, dev_score, evaluate_every),
            teacher_features,
            examples,
        )
        self.progress, self.history = progress, self.result.history

    def state(self) -> dict[str, Tensor]:
        return {**self.student.state_dict(), **self.objective.state_dict()}


def make_objective(*terms: Term, **settings: Any) -> Objective:
    settings = {"relation_heads": 3, **settings}
    classifier = classifier_of(tiny_model(shape=SHAPE, seed=7))  # of the teacher of `Training`
    return Objective(terms, CLASSES, NARROW, SHAPE, settings, classifier=classifier)


def differs(one: dict[str, Tensor], two: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in one.items() if not torch.equal(tensor, two[name])]


TERMS = (term("logits"), term("hidden"), term("attention"), term("value-relation"))


IDENTITY = {"run": 1}


class DyingAt(Checkpoint):
    """Saves after a step, and then the job dies."""

    def __init__(self, path: Path, step: int) -> None:
        super().__init__(path, IDENTITY)
        self.step = step

    def due(self) -> bool:
        return True

    def save(self, tensors: Any, facts: Any) -> bool:
        if facts["step"] == self.step:
            super().save(tensors, facts)
            raise Stopped("dead")
        return True
