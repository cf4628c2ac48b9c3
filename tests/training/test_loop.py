"""The training loop on models of a few thousand parameters."""

import itertools
import json
import math
from types import MethodType
from typing import Any

import pytest
import torch
from helpers import SHAPE, VOCABULARY, tiny_config, tiny_model
from torch import Tensor, nn
from trainings import (
    CPU,
    NARROW,
    SEEN,
    TERMS,
    Training,
    Watched,
    differs,
    make_objective,
    make_split,
    term,
)
from transformers import PreTrainedModel

from kd.axes.kinds import CLASSES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS, resolve_mapping
from kd.data.tokens import Split
from kd.encoders.build import build_random
from kd.losses.moving import Moment
from kd.losses.objective import Objective
from kd.runtime.device import autocast, choose_precision, model_inputs
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress
from kd.training.checkpoint import Checkpoint
from kd.training.evaluation import predict
from kd.training.history import Recorder
from kd.training.optimiser import adamw
from kd.training.schedule import learning_rate_factor, training_batches
from kd.training.watch import Watch

# --- reproducible -----------------------------------------------------------------------------


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
    result = Training(tmp_path, split=make_split(kind=Watched)).result
    first, second = SEEN[:4], SEEN[4:]
    for epoch in (first, second):
        assert sorted(row for rows in epoch for row in rows) == list(range(30))
    assert first != second
    assert (result.steps, result.examples) == (8, 60)


def test_a_part_of_the_examples_is_all_that_is_seen(tmp_path):
    """As a split of these alone would be; the teacher is asked for them by their own numbers."""
    SEEN.clear()
    chosen = torch.tensor([1, 4, 5, 7, 11, 12, 18, 20, 29])
    split = make_split(kind=Watched)
    part = Training(tmp_path, *TERMS, split=split, examples=chosen, epochs=2)
    seen = [row for rows in SEEN for row in rows]
    assert sorted(seen) == sorted(2 * chosen.tolist())
    assert (part.result.steps, part.result.examples) == (4, 18)
    alone = Split(
        {k: v[split.places(chosen)] for k, v in split.flat.items()},
        torch.cat([torch.zeros(1, dtype=torch.int64), split.lengths[chosen].cumsum(0)]),
        split.labels[chosen],
        split.ids[chosen],
        padding=0,
    )
    assert not differs(part.state(), Training(tmp_path, *TERMS, split=alone, epochs=2).state())


def test_the_seed_decides_the_order_of_the_data(tmp_path):
    orders = []
    for seed in (1, 1, 2):
        SEEN.clear()
        Training(tmp_path, split=make_split(kind=Watched), seed=seed)
        orders.append(list(SEEN))
    assert orders[0] == orders[1], "one seed, two orders"
    assert orders[0] != orders[2], "another seed, the same order"


@pytest.mark.parametrize(
    ("epochs", "steps"),
    [(0.5, 2), (1.25, 5), (0.01, 1), (3, 12), (0.4, 2), (0.35, 1), (1.7, 7), (0.65, 3)],
)
def test_epochs_may_be_fractions(tmp_path, epochs, steps):
    assert Training(tmp_path, epochs=epochs).result.steps == steps


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
        (0, 11, 0.1, 0.5),  # so are 1.1
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


def test_biases_and_layer_norms_do_not_decay(tmp_path):
    """One step from the same gradients: only what decays differs."""
    one, two = (
        Training(tmp_path, term("hidden"), weight_decay=decay, epochs=0.25, warmup=0)
        for decay in (0, 0.5)
    )
    assert one.result.steps == 1
    parameters = {**dict(one.student.named_parameters()), **dict(one.objective.named_parameters())}
    matrices = {name for name, parameter in parameters.items() if parameter.ndim > 1}
    moved = {name for name in parameters if not torch.equal(one.state()[name], two.state()[name])}
    assert moved == matrices - {n for n in matrices if not parameters[n].any()}
    assert {"LayerNorm.bias", "LayerNorm.weight"} <= {".".join(n.split(".")[-2:]) for n in
                                                     parameters.keys() - moved}  # fmt: skip


def test_the_gradients_of_student_and_projections_are_clipped_together(tmp_path, monkeypatch):
    norms: list[tuple[float, float]] = []

    def watching(groups: list[dict[str, Any]], rate: float) -> torch.optim.AdamW:
        optimiser = adamw(groups, rate)
        step = optimiser.step

        def watched(self: torch.optim.AdamW) -> Any:
            grads = [p.grad for group in self.param_groups for p in group["params"]]
            whole = torch.stack([g.norm() for g in grads if g is not None]).norm()
            norms.append((whole.item(), len(grads)))
            return step()

        optimiser.step = MethodType(watched, optimiser)
        return optimiser

    monkeypatch.setattr("kd.training.loop.adamw", watching)
    training = Training(tmp_path, term("hidden"), max_grad_norm=0.01)
    count = len([*training.student.parameters(), *training.objective.parameters()])
    assert norms == [(pytest.approx(0.01, rel=1e-3), count)] * 8


def test_weights_are_calibrated_on_the_student_alone(tmp_path, monkeypatch):
    """A projection learns its own term only: its gradient says nothing of the student's."""
    asked: list[list[Tensor]] = []
    calibrate = Objective.calibrate

    def watched(self: Objective, parts: dict[str, Tensor], parameters: Any) -> None:
        asked.append(list(parameters))
        calibrate(self, parts, asked[-1])

    monkeypatch.setattr(Objective, "calibrate", watched)
    training = Training(tmp_path, term("hidden"), weights="calibrated")
    assert [id(p) for p in asked[0]] == [id(p) for p in training.student.parameters()]
    assert len(asked) == 1 and list(training.objective.parameters())


def test_history_has_the_rates_that_were_used(tmp_path):
    history = Training(tmp_path, warmup=0.25).history
    assert [row["step"] for row in history] == list(range(1, 9))
    wanted = [3e-3 * learning_rate_factor(step, 8, 0.25) for step in range(8)]
    assert [row["learning_rate"] for row in history] == pytest.approx(wanted)
    assert [row["loss"] for row in history] == [row["hard"] for row in history]


def test_history_has_the_factors_of_balanced_weights(tmp_path):
    terms = [term("logits"), term("hidden")]
    training = Training(tmp_path, *terms, weights="balanced", epochs=2)
    for row in training.history:  # a row is one step
        found = row[f"factor of {terms[1]}"]
        assert found == pytest.approx(row[str(terms[0])] / row[str(terms[1])], rel=1e-5)
        assert row["loss"] == pytest.approx(row["hard"] + 2 * row[str(terms[0])], rel=1e-4)
    assert f"factor of {terms[0]}" not in training.history[0]
    fixed = Training(tmp_path, *terms, epochs=2)
    assert not [name for name in fixed.history[0] if name.startswith("factor")]
    assert differs(fixed.state(), training.state())


def test_the_history_can_be_watched_while_it_grows(tmp_path):
    made = Training(tmp_path)
    made.progress.write()
    state = json.loads((tmp_path / "state/state.json").read_text())
    assert state["history"] == made.history and state["phase"] == "testing"


def test_history_is_short_and_its_rows_are_means(tmp_path):
    history = Training(tmp_path, epochs=26, batch_size=15).history
    assert [row["step"] for row in history] == [*range(2, 53, 2)], "52 steps, 50 rows at most"
    recorder = Recorder(every=2)
    for step in range(1, 6):
        recorder.add(step, step == 5, 0.1, {"loss": torch.tensor(float(step))})
    rows = [(row["step"], row["loss"]) for row in recorder.rows]
    assert rows == [(2, 1.5), (4, 3.5), (5, 5.0)], "a row is not the mean since the row before"


def test_a_part_that_some_steps_lack_is_the_mean_of_the_others():
    recorder = Recorder(every=3)
    for step, parts in enumerate(({"early": 4.0}, {"early": 6.0, "late": 3.0}, {}), start=1):
        values = {"loss": 1.0, **parts}
        recorder.add(step, False, 0.1, {name: torch.tensor(v) for name, v in values.items()})
    assert recorder.rows == [
        {"step": 3, "learning_rate": 0.1, "loss": 1.0, "early": 5.0, "late": 3.0}
    ]


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
    assert one.result.precision == "fp32"
    assert two.result.precision == changed.get("precision", "fp32")


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
        assert tensor.dtype != torch.bfloat16, f"{name} is {tensor.dtype}"
        assert tensor.isfinite().all(), name


def test_inputs_of_the_encoder_leave_labels_and_ids_out():
    assert set(model_inputs(make_split().batch(torch.tensor([0])))) == {
        "input_ids",
        "attention_mask",
    }


# --- it learns --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWLEDGE)
@pytest.mark.slow
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
    before = dict(make_objective(term("hidden")).named_parameters())
    after = dict(Training(tmp_path, term("hidden")).objective.named_parameters())
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


# --- weights, errata, moving pairs --------------------------------------------------------------


def test_a_calibrated_training_differs_in_its_weights_alone(tmp_path):
    """The same data, dropout and start: what the first step measures is equal to the bit."""
    orders, trainings = [], []
    for weights in ("fixed", "calibrated"):
        SEEN.clear()
        split = make_split(kind=Watched)
        trainings.append(Training(tmp_path, *TERMS, weights=weights, split=split))
        orders.append(list(SEEN))
    fixed, calibrated = trainings
    names = ["hard", *map(str, TERMS)]
    assert [fixed.history[0][n] for n in names] == [calibrated.history[0][n] for n in names]
    assert orders[0] == orders[1], "another order of the data"
    assert fixed.history[0]["loss"] != calibrated.history[0]["loss"], "the weights are inert"
    scales = calibrated.objective.scales
    parts = [calibrated.history[0][name] for name in names]
    wanted = sum(scale * part for scale, part in zip(scales, parts, strict=True))
    assert calibrated.history[0]["loss"] == pytest.approx(wanted, rel=1e-5)
    assert len(set(scales)) == len(scales) and all(map(math.isfinite, scales))


def test_a_teacher_in_training_does_not_shift_the_students_dropout(tmp_path):
    right = Training(tmp_path, *TERMS)
    wrong = Training(tmp_path, *TERMS, errata="teacher-in-training")
    assert wrong.teacher is not None and wrong.teacher.training
    first, other = right.history[0], wrong.history[0]
    assert first["hard"] == other["hard"], "the student's first step is another"
    for taught in map(str, TERMS):
        assert first[taught] != other[taught], f"{taught}: the teacher's dropout is inert"
    again = Training(tmp_path, *TERMS, errata="teacher-in-training")
    assert again.history == wrong.history, "the teacher's dropout does not follow the seed"


def test_a_teacher_in_training_draws_other_dropout_at_every_step(tmp_path, monkeypatch):
    """A student without dropout that does not move, on one batch: only the teacher changes."""
    monkeypatch.setattr("kd.training.schedule.epoch_batches", lambda *_: [torch.arange(30)])
    still: dict[str, Any] = {"batch_size": 30, "epochs": 4, "learning_rate": 1e-12}
    taught = term("logits")
    for errata, moves in (("none", False), ("teacher-in-training", True)):
        training = Training(tmp_path, taught, errata=errata, student_dropout=0.0, **still)
        losses = [row[str(taught)] for row in training.history]
        for one, two in itertools.pairwise(losses):
            assert (one != pytest.approx(two, rel=1e-3)) == moves, errata


def test_the_objective_is_told_where_the_training_stands(tmp_path):
    told: list[Moment] = []

    class Listening(Objective):
        def parts(self, *args: Any) -> dict[str, Tensor]:
            told.append(args[4])
            return super().parts(*args)

    objective = Listening((), CLASSES, NARROW, SHAPE, {})
    Training(tmp_path, objective=objective, epochs=2.5, seed=9)
    assert told == [Moment(step, 10, step // 4, 9) for step in range(10)]


def test_terms_with_windows_are_recorded_where_they_count(tmp_path):
    early, late = term("hidden", weight="1%0-50"), term("logits", weight="1%50-100")
    history = Training(tmp_path, early, late, hard_weight=0).history
    assert [str(early) in row for row in history] == [True] * 4 + [False] * 4
    assert [str(late) in row for row in history] == [False] * 4 + [True] * 4
    for row in history:
        assert row["loss"] == pytest.approx(row.get(str(early), row.get(str(late))))


@pytest.mark.parametrize("weight", ["1%51-52", "0..1"])
def test_a_weight_that_no_step_sees_is_an_error(tmp_path, weight):
    taught = term("logits", weight=weight)
    epochs = 0.25 if weight == "0..1" else 2
    with pytest.raises(UserError, match=rf"logits.*its weight {weight} is 0 at each of the [18] "):
        Training(tmp_path, taught, epochs=epochs)


@pytest.mark.parametrize("mapping", [name for name, row in MAPPINGS.items() if row.moving])
def test_moving_pairs_are_learnt_and_reproducible(tmp_path, mapping):
    pairs = resolve_mapping(mapping, SHAPE.layers, NARROW.layers, 1)
    taught = term("hidden", pairs, moving=mapping)
    settings: dict[str, Any] = {"hard_weight": 0, "epochs": 12, "learning_rate": 1e-2}
    one, two = (Training(tmp_path, taught, **settings) for _ in range(2))
    assert one.history == two.history
    losses = [row[str(taught)] for row in one.history]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5]), f"{losses[0]:.4f} -> {losses[-1]:.4f}"


# --- failures ---------------------------------------------------------------------------------


class Poisoned(nn.Module):
    """An objective whose loss is NaN in one step."""

    def __init__(self, step: int, bad: float) -> None:
        super().__init__()
        self.inner, self.step, self.bad, self.calls = make_objective(), step, bad, 0
        self.terms, self.weights = self.inner.terms, self.inner.weights
        self.waits, self.parts, self.factors = False, self.inner.parts, self.inner.factors
        self.labelled = self.inner.labelled

    def total(self, *args: Any) -> Tensor:
        self.calls += 1
        return self.inner.total(*args) * (self.bad if self.calls == self.step else 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, step, bad):
    with pytest.raises(UserError, match=rf"not finite at step {step} \(loss is {bad}") as caught:
        Training(tmp_path, objective=(objective := Poisoned(step, bad)))
    assert objective.calls == step, "a CPU waits for nothing: the step itself ends it"
    assert "learning_rate" in str(caught.value), "what can be done about it?"


@pytest.mark.parametrize("step", [1, 8])
def test_a_gradient_that_is_not_finite_ends_the_training_in_its_step(tmp_path, step):
    """Also in the last one, after which no loss would show it."""

    class Steep(Poisoned):
        def total(self, *args: Any) -> Tensor:
            loss = super().total(*args)
            return loss + (loss * 0).sqrt() if self.calls == self.step else loss

    with pytest.raises(UserError, match=rf"not finite at step {step} \(gradient is nan\)"):
        Training(tmp_path, objective=Steep(step, 1.0))


def with_bias(model: PreTrainedModel, label: int, value: float) -> PreTrainedModel:
    """A model with one broken number in its last layer."""
    with torch.no_grad():
        model.classifier.bias[label] = value
    return model


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", ["student", "teacher"])
def test_logits_that_are_not_finite_end_the_training(tmp_path, monkeypatch, side, value):
    """Also -inf for the class that is never the label: the loss is finite then."""
    split = make_split()
    ones = Split(split.flat, split.offsets, torch.ones_like(split.labels), split.ids, 0)
    shape, sound = NARROW if side == "student" else SHAPE, tiny_model

    def broken(*args: Any, **more: Any) -> PreTrainedModel:
        model = sound(*args, **more)
        return with_bias(model, 0, value) if more["shape"] == shape else model

    monkeypatch.setattr("trainings.tiny_model", broken)
    terms = () if side == "student" else (term("logits", matching="mse"),)
    with pytest.raises(UserError) as caught:
        Training(tmp_path, *terms, split=ones)
    message = str(caught.value)
    assert "not finite at step 1 (" in message and "\n" not in message
    assert f"largest logit of the {side} is {abs(value)}" in message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("regression", [False, True])
def test_predictions_that_are_not_finite_are_refused(tmp_path, value, regression):
    """argmax takes NaN for class 0, and a correlation with NaN counts as 0."""
    model = with_bias(tiny_model(labels=1 if regression else 2), 0, value)
    split = make_split(20, regression=regression)
    with pytest.raises(UserError, match=r"^the model: its logits are not finite for 20 of 20 ex"):
        predict(model, split, CPU, Progress(tmp_path, "test"))


def test_one_example_whose_prediction_is_not_finite_is_named(tmp_path):
    model, split = tiny_model(), make_split(20)
    with torch.no_grad():
        model.get_input_embeddings().weight[VOCABULARY - 1] = math.nan
    bad = [i for i in range(20) if VOCABULARY - 1 in split.batch(torch.tensor([i]))["input_ids"]]
    assert 0 < len(bad) < 20
    model.name_or_path = "a/folder"
    wanted = rf"a/folder: .* for {len(bad)} of 20 examples, the first has the id {bad[0]};"
    with pytest.raises(UserError, match=wanted):
        predict(model, split, CPU, Progress(tmp_path, "test"))


@pytest.mark.parametrize("patience", [1, 4, 32])
@pytest.mark.parametrize("name", ["loss", "hidden:mse", "gradient"])
def test_the_first_bad_step_is_named_however_late_it_is_read(patience, name):
    """With its term and the ids of its examples; later steps are bad too."""
    watch = Watch(patience)
    with pytest.raises(UserError) as caught:
        for step in range(1, 100):
            values = dict.fromkeys(("loss", "hidden:mse", "gradient"), torch.tensor(1.0))
            values |= {name: torch.tensor(math.nan)} if step >= 37 else {}
            watch.add(step, values, torch.tensor([step, 1000 + step]), last=False)
    assert f"at step 37 ({name} is nan), of the examples 37, 1037;" in str(caught.value)
    assert step - 37 < patience


def test_the_last_step_is_read_however_few_are_unread():
    watch = Watch(32)
    watch.add(1, {"loss": torch.tensor(1.0)}, torch.tensor([0]), last=False)
    with pytest.raises(UserError, match="not finite at step 2"):
        watch.add(2, {"loss": torch.tensor(math.nan)}, torch.tensor([0]), last=True)


def test_a_bad_step_is_found_before_its_state_is_saved(tmp_path, monkeypatch):
    class Saved(Checkpoint):
        def due(self) -> bool:
            return True

        def save(self, tensors: Any, facts: Any) -> bool:
            steps.append(facts["step"])
            return True

    steps: list[int] = []
    monkeypatch.setattr("kd.training.loop.Watch", lambda patience: Watch(32))  # as on a GPU
    with pytest.raises(UserError, match="not finite at step 3"):
        Training(
            tmp_path, objective=Poisoned(3, math.nan), checkpoint=Saved(tmp_path / "c", {"a": 1})
        )
    assert steps == [1, 2]


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 9])
def test_batches_from_a_step_on_are_those_of_the_whole_training(first):
    lengths = make_split().lengths
    whole = [rows.tolist() for rows in training_batches(lengths, 8, 1, 0, 10)]
    assert len(whole) == 10
    assert [rows.tolist() for rows in training_batches(lengths, 8, 1, first, 10)] == whole[first:]


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


def test_a_model_that_was_loaded_trains_with_dropout_too(tmp_path, monkeypatch):
    """`from_pretrained` gives a model in eval mode: a teacher that is fine-tuned starts so."""
    fresh = Training(tmp_path)
    sound = tiny_model
    monkeypatch.setattr("trainings.tiny_model", lambda *a, **k: sound(*a, **k).eval())
    loaded = Training(tmp_path)
    assert loaded.student.training
    assert loaded.history == fresh.history, "no dropout, or another"
