"""Optimal transport between the layers of teacher and student (BERT-EMD, arXiv:2010.06133)."""

import numpy as np

_SMALLEST = 1e-6  # a layer's cost counts as at least this share of the mean cost


def transport_plan(
    cost: np.ndarray, teacher_weights: np.ndarray, student_weights: np.ndarray
) -> np.ndarray:
    """The flow (T, S) of least cost between weights (T,) and (S,), which sum to 1 each."""
    import ot

    plan: np.ndarray = ot.emd(teacher_weights, student_weights, cost)
    return plan


def layer_weights(
    cost: np.ndarray, plan: np.ndarray, teacher_weights: np.ndarray, student_weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The weights (T,) and (S,) of the layers in the next step.

    `cost` and `plan` are (T, S). The cost of a layer is the cost of its flow per unit of its
    weight. The new weights are the normalised inverses of the costs. This is the paper's cost
    attention without the temperature, which the released code never reads.
    """
    paid = cost * plan
    return _inverse(paid.sum(1) / teacher_weights), _inverse(paid.sum(0) / student_weights)


def _inverse(cost: np.ndarray) -> np.ndarray:
    weights = 1 / np.maximum(cost, max(_SMALLEST * float(cost.mean()), 1e-30))
    normalised: np.ndarray = weights / weights.sum()
    return normalised
