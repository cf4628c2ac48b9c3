"""How well a model's probabilities fit the labels, and how far a student agrees with its teacher.

Sources: Stanton et al. 2021 (arXiv:2106.05945) on fidelity, Xu et al. 2021 (arXiv:2109.03228) on
loyalty, Guo et al. 2017 (arXiv:1706.04599) on calibration. All in float64, from logits at
temperature 1.
"""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit, log_expit, log_softmax

from kd.axes.kinds import LABELS, SCORES
from kd.axes.tasks import Task
from kd.runtime.errors import UserError
from kd.training.predictions import Predictions, aligned

BINS = 15  # of the calibration error: equal width, as Guo et al. have it


def calibration(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`nll`, `brier` and `ece` of a classification.

    `nll` is the mean negative log-likelihood of the labels, in nats. `brier` is the mean over
    examples of sum_c (p_c - [c = y])^2, from 0 to 2. `ece` is the expected calibration error: over
    15 bins of equal width of the highest probability, the mean of |accuracy - confidence|, weighted
    by the examples in each.

    Args:
        logits: (n, C).
        labels: (n,) class indices.
    """
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    p = np.exp(log_p)
    gold = labels.astype(int)
    rows = np.arange(len(gold))
    squares = (p**2).sum(-1) - 2 * p[rows, gold] + 1
    confidence, right = p.max(-1), p.argmax(-1) == gold
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return {
        "nll": float(-log_p[rows, gold].mean()),
        "brier": float(squares.mean()),
        "ece": float(np.abs(gaps).sum() / len(gold)),
    }


def label_calibration(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The same of a multi-label task: each label of each example is a question of yes or no.

    With p = sigmoid(logit), `nll` is the mean binary cross-entropy and `brier` the mean of
    (p - y)^2, from 0 to 1. `ece` is the mean over 15 bins of equal width of p of
    |share that has the label - mean p|, weighted by the labels in each.

    Args:
        logits: (n, C).
        labels: (n, C) of 0 and 1.
    """
    z, gold = logits.astype(np.float64), labels > 0
    p = expit(z)
    bins = np.minimum((p * BINS).astype(int), BINS - 1).ravel()
    gaps = np.bincount(bins, weights=(gold - p).ravel(), minlength=BINS)
    return {
        "nll": float(-np.where(gold, log_expit(z), log_expit(-z)).mean()),
        "brier": float(((p - gold) ** 2).mean()),
        "ece": float(np.abs(gaps).sum() / p.size),
    }


def fit_of(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The numbers of `calibration` or `label_calibration`; a score has no probability, so none."""
    if task.kind is SCORES:
        return {}
    return (label_calibration if task.kind is LABELS else calibration)(logits, labels)


def fidelity(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """How far a student agrees with its teacher, on the same examples, of a classification.

    `agreement` is the share of examples for which both choose the same class;
    `agreement_where_teacher_errs` the same where the teacher is wrong (NaN where it never is);
    `teacher_kl` is KL(teacher || student) of the probabilities, mean over examples, in nats.

    Args:
        student: (n, C) logits.
        teacher: (n, C) logits.
        labels: (n,) class indices.
    """
    log_s, log_t = (log_softmax(x.astype(np.float64), axis=-1) for x in (student, teacher))
    chosen = teacher.argmax(-1)
    same, errs = student.argmax(-1) == chosen, chosen != labels
    return {
        "agreement": float(same.mean()),
        "agreement_where_teacher_errs": float(same[errs].mean()) if errs.any() else math.nan,
        "teacher_kl": float((np.exp(log_t) * (log_t - log_s)).sum(-1).mean()),
    }


def label_fidelity(
    student: np.ndarray, teacher: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """The same of a multi-label task, over the labels of all examples: `agreement` is the share of
    labels for which both say yes or both say no, `agreement_where_teacher_errs` the same of those
    that the teacher gets wrong, `teacher_kl` the mean of KL(teacher || student) of yes and no.

    Args:
        student: (n, C) logits.
        teacher: (n, C) logits.
        labels: (n, C) of 0 and 1.
    """
    s, t = student.astype(np.float64), teacher.astype(np.float64)
    same, errs = (s > 0) == (t > 0), (t > 0) != (labels > 0)
    yes = expit(t) * (log_expit(t) - log_expit(s))
    no = expit(-t) * (log_expit(-t) - log_expit(-s))
    return {
        "agreement": float(same.mean()),
        "agreement_where_teacher_errs": float(same[errs].mean()) if errs.any() else math.nan,
        "teacher_kl": float((yes + no).mean()),
    }


def score_fidelity(student: np.ndarray, teacher: np.ndarray) -> dict[str, float]:
    """The same of a regression: `agreement` is the Pearson correlation of the scores (0 where one
    side is constant), `teacher_difference` the mean of student minus teacher.

    Args:
        student: (n,) scores.
        teacher: (n,) scores.
    """
    from scipy.stats import pearsonr  # here, because it takes half a second to load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant input: handled as 0 below
        found = float(pearsonr(student.astype(np.float64), teacher.astype(np.float64)).statistic)
    return {
        "agreement": found if found == found else 0.0,
        "teacher_difference": float((student.astype(np.float64) - teacher).mean()),
    }


def agreement(
    student: Mapping[str, Predictions], teacher: Mapping[str, Predictions], task: Task
) -> dict[str, float]:
    """How far a student's answers are its teacher's: the numbers of `fidelity`, `label_fidelity` or
    `score_fidelity`, by the task's kind. They are means over the dev splits that make up the
    score, without those that no split has.

    Raises:
        UserError: they answered other examples.
    """
    found = []
    for name in task.scored:
        for who, answers in (("student", student), ("teacher", teacher)):
            if name not in answers:
                raise UserError(f"the {who} has no answers on the split {name}")
        ours, theirs = aligned(student[name], teacher[name])
        if task.kind is SCORES:
            found.append(score_fidelity(ours[:, 0], theirs[:, 0]))
        else:
            compare = label_fidelity if task.kind is LABELS else fidelity
            found.append(compare(ours, theirs, student[name].labels))
    return mean_of(found)


def mean_of(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The means by name; NaN counts as missing, and a name without a number is left out."""
    names = dict.fromkeys(name for one in found for name in one)
    values = {name: [one[name] for one in found if not math.isnan(one[name])] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items() if numbers}
