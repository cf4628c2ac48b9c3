"""The training loop on models of a few thousand parameters."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SHAPE, VOCABULARY, tiny_config, tiny_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.errors import UserError
from kd.evaluation import predict
from kd.knowledge import KNOWLEDGE
from kd.models import build_random
from kd.objective import Objective
from kd.progress import Progress
from kd.shapes import Shape
from kd.terms import Term, matchings_of
from kd.tokens import Split
from kd.training import (
    Fitted,
    _Recorder,
    autocast,
    choose_precision,
    fit,
    learning_rate_factor,
    model_inputs,
)

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

    def batch(self, rows: Tensor) -> dict[str, Tensor]:
        SEEN.append(rows.tolist())
        return super().batch(rows)


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


def term(name: str, pairs: tuple[tuple[int, int], ...] = ((1, 1), (3, 2))) -> Term:
    """A knowledge type with its default matching."""
    matching = next(iter(matchings_of(name, regression=False)))
    return Term(name, matching, pairs if KNOWLEDGE[name].layered else ((0, 0),))


class Training:
    """A fresh student, taught by one random teacher, and what came of it."""

    def __init__(
        self,
        folder: Path,
        *terms: Term,
        hard_weight: float = 1.0,
        split: Split | None = None,
        objective: nn.Module | None = None,
        student_seed: int = 3,
        **changed: Any,
    ) -> None:
        self.teacher = tiny_model(shape=SHAPE, seed=7) if terms else None
        self.student = tiny_model(shape=NARROW, seed=student_seed)
        self.objective = objective or make_objective(*terms, hard_weight=hard_weight)
        recipe = {**RECIPE, **changed}
        progress = Progress(folder / "state", "test")
        split = split or make_split()
        torch.manual_seed(next(DRAWN_BEFORE))  # `fit` must not depend on it
        self.fitted: Fitted = fit(
            self.student, self.teacher, self.objective, split, recipe, CPU, progress, "testing"
        )
        self.history = self.fitted.history

    def state(self) -> dict[str, Tensor]:
        return {**self.student.state_dict(), **self.objective.state_dict()}


def make_objective(*terms: Term, hard_weight: float = 1.0, seed: int = 1) -> Objective:
    return Objective(terms, False, NARROW, SHAPE, 2.0, hard_weight, 3, seed)


def differs(one: dict[str, Tensor], two: dict[str, Tensor]) -> list[str]:
    return [name for name, tensor in one.items() if not torch.equal(tensor, two[name])]


# --- reproducible -----------------------------------------------------------------------------

TERMS = (term("logits"), term("hidden"), term("attention"), term("value-relation"))


def test_one_seed_one_student_to_the_bit(tmp_path):
    first = Training(tmp_path, *TERMS)
    again, other = Training(tmp_path, *TERMS), Training(tmp_path, *TERMS, seed=2)
    assert not differs(first.state(), again.state()), "one seed, two students"
    assert first.history == again.history
    assert differs(first.state(), other.state()), "the seed is inert"
    assert first.history[0]["hard"] != other.history[0]["hard"]


def test_terms_and_projections_change_neither_data_nor_start(tmp_path):
    """The control of a comparison must differ in the knowledge alone."""
    orders, starts, hard = [], [], []
    for terms in ((), (term("logits"),), (term("hidden"), term("cls"), term("query-relation"))):
        SEEN.clear()
        torch.manual_seed(3)
        objective = make_objective(*terms)
        starts.append(build_random(tiny_config(shape=NARROW)).state_dict())
        history = Training(
            tmp_path, *terms, objective=objective, split=make_split(kind=Watched), warmup=0
        ).history
        orders.append([list(rows) for rows in SEEN])
        hard.append(history[0]["hard"])
    assert len(orders[0]) == 8 and orders[0] == orders[1] == orders[2], "another order of the data"
    assert not differs(starts[0], starts[1]) and not differs(starts[0], starts[2])
    assert hard[0] == hard[1] == hard[2], "another first step: weights, data or dropout differ"


def test_every_example_is_seen_once_an_epoch_and_epochs_differ(tmp_path):
    SEEN.clear()
    fitted = Training(tmp_path, split=make_split(kind=Watched)).fitted
    first, second = SEEN[:4], SEEN[4:]
    for epoch in (first, second):
        assert sorted(row for rows in epoch for row in rows) == list(range(30))
    assert first != second
    assert (fitted.steps, fitted.examples) == (8, 60)


def test_the_seed_decides_the_order_of_the_data(tmp_path):
    orders = []
    for seed in (1, 1, 2):
        SEEN.clear()
        Training(tmp_path, split=make_split(kind=Watched), seed=seed)
        orders.append(list(SEEN))
    assert orders[0] == orders[1], "one seed, two orders"
    assert orders[0] != orders[2], "another seed, the same order"


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 2), (1.25, 5), (0.01, 1), (3, 12)])
def test_epochs_may_be_fractions(tmp_path, epochs, steps):
    assert Training(tmp_path, epochs=epochs).fitted.steps == steps


# --- the recipe -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "total", "warmup", "wanted"),
    [
        (0, 10, 0.2, 0.5),
        (1, 10, 0.2, 1.0),
        (2, 10, 0.2, 1.0),
        (3, 10, 0.2, 0.875),
        (9, 10, 0.2, 0.125),
        (0, 4, 0, 1.0),
        (3, 4, 0, 0.25),
        (0, 1, 0.1, 1.0),
        (3, 4, 1, 1.0),
        (0, 15, 0.1, 0.5),  # 1.5 steps of warm-up are two
    ],
)
def test_learning_rate_factor(step, total, warmup, wanted):
    assert learning_rate_factor(step, total, warmup) == pytest.approx(wanted)


@pytest.mark.parametrize("warmup", [0, 0.06, 0.1, 0.5, 1])
@pytest.mark.parametrize("total", [1, 2, 7, 100])
def test_learning_rate_rises_once_then_falls(total, warmup):
    factors = [learning_rate_factor(step, total, warmup) for step in range(total)]
    assert all(0 < f <= 1 for f in factors), f"a step without effect, or above the peak: {factors}"
    assert max(factors) == 1, "the peak is never reached"
    top = factors.index(1)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_history_has_the_rates_that_were_used(tmp_path):
    history = Training(tmp_path, warmup=0.25).history
    assert [row["step"] for row in history] == list(range(1, 9))
    wanted = [3e-3 * learning_rate_factor(step, 8, 0.25) for step in range(8)]
    assert [row["learning_rate"] for row in history] == pytest.approx(wanted)
    assert [row["loss"] for row in history] == [row["hard"] for row in history]


def test_history_is_short_and_its_rows_are_means(tmp_path):
    history = Training(tmp_path, epochs=26, batch_size=15).history
    assert [row["step"] for row in history] == [*range(2, 53, 2)], "52 steps, 50 rows at most"
    recorder = _Recorder(every=2)
    for step in range(1, 6):
        recorder.add(step, step == 5, 0.1, {"loss": torch.tensor(float(step))})
    rows = [(row["step"], row["loss"]) for row in recorder.rows]
    assert rows == [(2, 1.5), (4, 3.5), (5, 5.0)], "a row is not the mean since the row before"


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 1e-3},
        {"weight_decay": 0.5},
        {"warmup": 0.8},
        {"max_grad_norm": 0.01},
        {"batch_size": 4},
        {"epochs": 3},
        {"precision": "bf16"},
        {"seed": 5},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_field_of_the_recipe_changes_the_student(tmp_path, changed):
    one, two = Training(tmp_path), Training(tmp_path, **changed)
    assert differs(one.state(), two.state()), f"{changed} is inert"
    assert one.fitted.precision == "fp32"
    assert two.fitted.precision == changed.get("precision", "fp32")


def test_precision_without_a_gpu():
    assert [choose_precision(p, CPU) for p in ("auto", "fp32", "bf16")] == ["fp32", "fp32", "bf16"]
    with autocast("fp32", CPU):
        assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.float32
    with autocast("bf16", CPU):
        assert (torch.ones(1, 1) @ torch.ones(1, 1)).dtype == torch.bfloat16


def test_bf16_trains_every_knowledge_type_to_finite_numbers(tmp_path):
    training = Training(tmp_path, *map(term, KNOWLEDGE), precision="bf16", epochs=1)
    assert all(math.isfinite(v) for row in training.history for v in row.values())
    for name, tensor in training.state().items():
        assert tensor.dtype in (torch.float32, torch.int64), f"{name} is {tensor.dtype}"
        assert tensor.isfinite().all(), name


def test_inputs_of_the_encoder_leave_labels_and_ids_out():
    assert set(model_inputs(make_split().batch(torch.tensor([0])))) == {
        "input_ids",
        "attention_mask",
    }


# --- it learns --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWLEDGE)
def test_each_knowledge_type_is_learnt(tmp_path, name):
    """Its own loss, alone, falls; the student is narrower than the teacher."""
    taught = term(name)
    history = Training(
        tmp_path, taught, hard_weight=0, epochs=12, learning_rate=1e-2, warmup=0.05
    ).history
    losses = [row[str(taught)] for row in history]
    first, last = sum(losses[:3]) / 3, sum(losses[-3:]) / 3
    assert last < 0.8 * first, f"{taught}: {first:.4f} -> {last:.4f}"
    assert [row["loss"] for row in history] == pytest.approx(losses), "the hard loss takes part"


def test_labels_alone_are_learnt(tmp_path):
    history = Training(tmp_path, epochs=15, learning_rate=1e-2).history
    assert history[-1]["hard"] < 0.5 * history[0]["hard"]


def test_projections_are_trained(tmp_path):
    before = make_objective(term("hidden")).state_dict()
    after = Training(tmp_path, term("hidden")).objective.state_dict()
    assert set(differs(before, after)) == set(before), "a projection stays as it was"


def test_the_teacher_stays_as_it_was(tmp_path):
    training = Training(tmp_path, *TERMS)
    assert training.teacher is not None and not training.teacher.training
    fresh = tiny_model(shape=SHAPE, seed=7).state_dict()
    assert not differs(fresh, training.teacher.state_dict()), "the teacher was trained"
    assert all(p.grad is None for p in training.teacher.parameters())


def test_the_trained_student_has_no_hooks_left(tmp_path):
    for model in vars(Training(tmp_path, *TERMS)).values():
        if isinstance(model, PreTrainedModel):
            left = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
            assert not left, "a capture was not closed"


# --- failures ---------------------------------------------------------------------------------


class Poisoned(nn.Module):
    """An objective whose loss is NaN in one step."""

    def __init__(self, step: int, bad: float) -> None:
        super().__init__()
        self.terms: tuple[Term, ...] = ()
        self.inner, self.step, self.bad, self.calls = make_objective(), step, bad, 0

    def forward(self, *args: Any) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        loss, parts = self.inner(*args)
        return loss * (self.bad if self.calls == self.step else 1), parts


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, step, bad):
    with pytest.raises(UserError, match=rf"not finite by step {step} \(.*loss") as caught:
        Training(tmp_path, objective=Poisoned(step, bad))
    assert "learning_rate" in str(caught.value), "what can be done about it?"


# --- evaluation -------------------------------------------------------------------------------


def test_predictions_are_in_the_order_of_the_split(tmp_path):
    model, split = tiny_model(), make_split(100)
    model.train()
    logits = predict(model, split, CPU, Progress(tmp_path, "test"))
    assert logits.shape == (100, 2) and not model.training
    for row in (0, 17, 99):
        with torch.no_grad():
            alone = model(**model_inputs(split.batch(torch.tensor([row])))).logits
        assert torch.allclose(logits[row], alone[0], atol=1e-5), f"row {row} is not its own"


def test_the_student_trains_with_dropout(tmp_path):
    assert Training(tmp_path).student.training, "trained in eval mode: no dropout"
