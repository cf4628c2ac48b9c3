"""Agreement and calibration against slow computations by hand, and on answers that are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd.training.fidelity import (
    BINS,
    calibration,
    fidelity,
    label_calibration,
    label_fidelity,
    score_fidelity,
)


def softmax(row):
    exps = [math.exp(x - max(row)) for x in row]
    return [e / sum(exps) for e in exps]


def slow_calibration(logits, labels):
    """One example after another."""
    nll = brier = 0.0
    bins = [[] for _ in range(BINS)]
    for row, gold in zip(logits.tolist(), labels.tolist(), strict=True):
        p = softmax(row)
        nll -= math.log(p[gold]) / len(labels)
        brier += sum((x - (c == gold)) ** 2 for c, x in enumerate(p)) / len(labels)
        top = max(range(len(p)), key=p.__getitem__)
        bins[min(int(p[top] * BINS), BINS - 1)].append((p[top], top == gold))
    ece = sum(abs(sum(right for _, right in b) - sum(p for p, _ in b)) for b in bins if b) / len(
        labels
    )
    return {"nll": nll, "brier": brier, "ece": ece}


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_calibration_is_that_of_the_slow_computation(classes):
    rng = np.random.default_rng(classes)
    logits, labels = 3 * rng.normal(size=(200, classes)), rng.integers(0, classes, 200)
    assert calibration(logits, labels) == pytest.approx(slow_calibration(logits, labels))


def test_answers_that_are_sure_and_right_have_no_error():
    logits = np.array([[50.0, 0.0], [0.0, 50.0]])
    found = calibration(logits, np.array([0, 1]))
    assert found == pytest.approx({"nll": 0, "brier": 0, "ece": 0}, abs=1e-12)
    wrong = calibration(logits, np.array([1, 0]))
    assert wrong == pytest.approx({"nll": 50, "brier": 2, "ece": 1}, rel=1e-9)


def test_the_calibration_error_of_a_coin_is_its_confidence_over_a_half():
    """Always 80 % sure, right half of the time: 0.3."""
    logits = np.tile([math.log(0.8), math.log(0.2)], (100, 1))
    found = calibration(logits, np.arange(100) % 2)
    assert found["ece"] == pytest.approx(0.3)
    assert found["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.8**2) / 2)


def test_fidelity_by_hand():
    """Both choose 0, 1, 1, 0 and 0, 0, 1, 1; the teacher errs on the second and the fourth."""
    teacher = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    student = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = np.array([0, 0, 1, 1])
    found = fidelity(student, teacher, labels)
    assert found["agreement"] == 0.5 and found["agreement_where_teacher_errs"] == 0.0
    kl = 0.0
    for t, s in zip(teacher.tolist(), student.tolist(), strict=True):
        kl += sum(p * math.log(p / q) for p, q in zip(softmax(t), softmax(s), strict=True)) / 4
    assert found["teacher_kl"] == pytest.approx(kl)


def test_a_student_that_is_its_teacher_agrees_with_it():
    logits = np.random.default_rng(0).normal(size=(30, 3))
    found = fidelity(logits, logits, logits.argmax(-1))
    assert found["agreement"] == 1 and found["teacher_kl"] == 0
    assert math.isnan(found["agreement_where_teacher_errs"]), "the teacher is never wrong"


@given(st.floats(-50, 50), st.integers(0, 2**31))
def test_a_shift_of_the_logits_changes_nothing(shift, seed):
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(size=(2, 10, 3))
    labels = rng.integers(0, 3, 10)
    assert fidelity(student + shift, teacher - shift, labels) == pytest.approx(
        fidelity(student, teacher, labels), abs=1e-9, nan_ok=True
    )
    assert calibration(student + shift, labels)["nll"] == pytest.approx(
        calibration(student, labels)["nll"]
    )


def test_extreme_logits_give_finite_numbers():
    student, teacher = np.array([[1e4, -1e4]]), np.array([[-1e4, 1e4]])
    found = {**fidelity(student, teacher, np.array([0])), **calibration(student, np.array([1]))}
    assert all(map(math.isfinite, found.values()))
    assert found["teacher_kl"] == pytest.approx(2e4) and found["nll"] == pytest.approx(2e4)


def test_scores_agree_by_correlation_and_differ_by_their_mean():
    teacher = np.array([1.0, 2.0, 3.0, 5.0])
    assert score_fidelity(2 * teacher + 1, teacher) == pytest.approx(
        {"agreement": 1.0, "teacher_difference": 3.75}
    )
    assert score_fidelity(np.ones(4), teacher)["agreement"] == 0.0


def test_fit_of_labels_by_hand():
    """Probabilities 0.5, 0.9 and 0.1; the labels are there, there, and not."""
    z = math.log(9)
    logits, labels = np.array([[0.0, z, -z]]), np.array([[1, 1, 0]])
    found = label_calibration(logits, labels)
    assert found["nll"] == pytest.approx(-(math.log(0.5) + 2 * math.log(0.9)) / 3)
    assert found["brier"] == pytest.approx((0.25 + 2 * 0.01) / 3)
    assert found["ece"] == pytest.approx((0.5 + 0.1 + 0.1) / 3)


def test_fidelity_of_labels_by_hand():
    """They agree on three of four labels; the teacher errs on the second and the third."""
    student, teacher = np.array([[1.0, -2.0], [1.0, 3.0]]), np.array([[2.0, -1.0], [1.0, -1.0]])
    found = label_fidelity(student, teacher, np.array([[1, 1], [0, 0]]))
    assert found["agreement"] == 0.75 and found["agreement_where_teacher_errs"] == 1.0
    kl = 0.0
    for s, t in zip(student.ravel().tolist(), teacher.ravel().tolist(), strict=True):
        p, q = 1 / (1 + math.exp(-t)), 1 / (1 + math.exp(-s))
        kl += (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))) / 4
    assert found["teacher_kl"] == pytest.approx(kl)
    far = np.array([[1e4, -1e4]])
    assert all(map(math.isfinite, label_fidelity(far, -far, np.array([[1, 0]])).values()))
