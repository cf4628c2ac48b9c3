"""The teacher's classifier on the student's representation (SRRL): by loops, on encoders."""

import math

import pytest
import torch
from features import LABELS, MASK, NARROW, SAME, START, TEACHER, classifier, features, term
from helpers import SHAPE, tiny_inputs, tiny_model

from kd import Distillation
from kd.axes import kinds
from kd.axes.kinds import KINDS
from kd.axes.shapes import Shape
from kd.axes.terms import matchings_of
from kd.encoders.build import classifier_of
from kd.encoders.capture import Capture
from kd.losses.objective import Objective

NAME = "teacher-classifier"
THIN = Shape(layers=2, hidden=12, heads=2, ffn=20)


def of_matching(matching, student=SAME, kind=kinds.CLASSES, outputs=3, **settings):
    """An objective of this term alone."""
    made = term(NAME, matching)
    settings = {"hard_weight": 0, **settings}
    return Objective((made,), kind, student, TEACHER, settings, classifier=classifier(outputs))


def labels_of(kind, outputs):
    if kind is kinds.LABELS:
        return torch.nn.functional.one_hot(LABELS, outputs)
    return LABELS.float() if kind is kinds.SCORES else LABELS


def slow(student, teacher, projection, outputs):
    """mean (W_T r_S + b_T - logits)^2, one number at a time."""
    head, squares = classifier(outputs), []
    for x, wanted in zip(student, teacher, strict=True):
        if projection is not None:
            x = [
                sum(w * v for w, v in zip(row, x.tolist(), strict=True)) + b
                for row, b in zip(projection.weight.tolist(), projection.bias.tolist(), strict=True)
            ]
        else:
            x = x.tolist()
        for c in range(outputs):
            logit = sum(w * v for w, v in zip(head.weight[c].tolist(), x, strict=True))
            squares.append((logit + head.bias[c].item() - wanted[c].item()) ** 2)
    return math.fsum(squares) / len(squares)


@pytest.mark.parametrize("student", [SAME, NARROW], ids=["as wide", "narrow"])
@pytest.mark.parametrize(("kind", "outputs"), zip(KINDS.values(), (3, 1, 3), strict=True))
def test_the_default_is_the_squared_error_of_the_logits(student, kind, outputs):
    s, t = features(student, 1, outputs), features(TEACHER, 100, outputs)
    assert next(iter(matchings_of(NAME, kind))) == "mse"
    made = of_matching("mse", student, kind, outputs)
    _, parts = made(s, t, MASK, labels_of(kind, outputs), START)
    projections = list(made.term_losses[0].student_projections.values())
    assert len(projections) == (student is NARROW)
    wanted = slow(
        s["representation", 0], t["logits", 0], projections[0] if projections else None, outputs
    )
    assert parts[f"{NAME}:mse"].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("kind", "outputs"), zip(KINDS.values(), (3, 1, 3), strict=True))
def test_a_student_with_the_teachers_representation_has_no_loss(kind, outputs):
    """Whatever its own logits are; with another representation it has one."""
    student, teacher = features(SAME, 1, outputs), features(TEACHER, 100, outputs)
    with torch.no_grad():
        teacher["logits", 0] = classifier(outputs)(teacher["representation", 0])
    for name, row in matchings_of(NAME, kind).items():
        made = of_matching(name, SAME, kind, outputs)
        values = []
        for x in (teacher["representation", 0], student["representation", 0]):
            side = {**student, ("representation", 0): x}
            loss, _ = made(side, teacher, MASK, labels_of(kind, outputs), START)
            values.append(loss.item())
        assert values[1] > values[0] + 1e-3, f"{name}: the representation is inert"
        if row.floor == "0":
            assert values[0] == pytest.approx(0, abs=1e-5), name


def test_the_students_own_logits_change_nothing():
    made = of_matching("kl")
    teacher, values = features(TEACHER, 100), []
    for seed in (1, 2):
        student = {**features(SAME, 1), ("logits", 0): features(SAME, seed)["logits", 0]}
        values.append(made(student, teacher, MASK, LABELS, START)[0].item())
    assert values[0] == values[1] > 0


def test_the_classifier_is_neither_trained_nor_saved_nor_the_teachers_own_tensor():
    head = classifier()
    made = Objective((term(NAME),), kinds.CLASSES, SAME, TEACHER, {}, classifier=head)
    assert not list(made.parameters())
    assert not any("classifier" in name for name in made.state_dict())
    (loss,) = made.term_losses
    assert torch.equal(loss.classifier_weight, head.weight)
    assert loss.classifier_weight.data_ptr() != head.weight.data_ptr()
    assert not loss.classifier_weight.requires_grad


def test_a_classifier_in_half_precision_is_used_in_fp32():
    made = Objective(
        (term(NAME),), kinds.CLASSES, SAME, TEACHER, {}, classifier=classifier().bfloat16()
    )
    student = {key: x.bfloat16() for key, x in features(SAME, 1).items()}
    loss, _ = made(student, features(TEACHER, 100), MASK, LABELS, START)
    assert loss.dtype == torch.float32 and loss.isfinite()


def test_a_step_on_encoders_reaches_all_but_the_students_own_classifier():
    student, teacher = tiny_model(shape=THIN, seed=1).train(), tiny_model(seed=2)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    batch = {**tiny_inputs(teacher), "labels": torch.tensor([0, 1, 1])}
    with Distillation(student, teacher, NAME, hard_weight=0) as distillation:
        shapes = {tuple(p.shape) for p in distillation.parameters()}
        assert shapes == {(SHAPE.hidden, THIN.hidden), (SHAPE.hidden,)}
        trained = [*student.parameters(), *distillation.parameters()]
        optimiser = torch.optim.SGD(trained, lr=0.01)
        student.eval()  # without dropout the loss of one batch must fall
        values = []
        for _ in range(4):
            optimiser.zero_grad()
            loss = distillation(batch)
            loss.backward()
            optimiser.step()
            values.append(loss.item())
    assert values == sorted(values, reverse=True) and values[-1] < values[0], "nothing is learnt"
    assert all(p.grad.abs().max() > 0 for p in distillation.parameters())
    still = {n for n, p in student.named_parameters() if p.grad is None or not p.grad.any()}
    assert {n for n in still if "embeddings" not in n} == {"classifier.weight", "classifier.bias"}
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize("arch", ["bert", "roberta", "distilbert", "modernbert"])
def test_a_copy_of_the_teacher_has_no_loss(arch):
    teacher = tiny_model(arch, seed=2).eval()
    batch = {**tiny_inputs(teacher), "labels": torch.tensor([0, 1, 1])}
    student = tiny_model(arch, seed=2).eval()
    with torch.no_grad():
        classifier_of(student).weight.zero_()  # not part of it
        with Distillation(student, teacher, NAME, hard_weight=0) as distillation:
            assert distillation(batch).item() == pytest.approx(0, abs=1e-9)
        inputs = tiny_inputs(teacher)
        with Capture(student, {("representation", 0)}) as capture:
            found = capture(**inputs)["representation", 0]
        logits = classifier_of(teacher)(found)
        assert torch.allclose(logits, teacher(**inputs).logits, atol=1e-6)
