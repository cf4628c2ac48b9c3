"""What the losses are made of."""

import pytest
import torch

from kd.losses import reduce


def test_mean_is_over_valid_places_of_the_broadcast_mask():
    values = torch.arange(12.0).view(2, 2, 3)
    valid = torch.tensor([[True, False, True], [False, False, True]])[:, None, :]
    assert reduce.mean(values, valid) == pytest.approx((0 + 2 + 3 + 5 + 8 + 11) / 6)
    assert reduce.mean(values, torch.zeros_like(valid)) == 0
    assert reduce.mean(torch.zeros(2, 0), torch.zeros(2, 0).bool()) == 0


def test_a_zero_vector_has_no_direction_and_no_gradient():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    found, defined = reduce.direction(x)
    assert found.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    assert defined.tolist() == [True, False]
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert slope[1].tolist() == [0, 0] and slope[0].abs().max() > 0


def test_turn_is_exact_where_directions_nearly_agree():
    """1 - cosine would be a multiple of fp32's 6e-8, or below 0."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    y = torch.tensor([[1.0, 1e-5], [2.0, 0.0], [0.0, 1.0]])
    found, defined = reduce.turn(x, y)
    assert found.tolist() == [pytest.approx(5e-11), 0, pytest.approx(1)]
    assert defined.all()


@pytest.mark.parametrize("value", [0.1, 1e-8, 12345.678])
def test_equal_numbers_have_no_variance_in_spite_of_rounding(value):
    x = torch.full((4, 1001), value)
    assert reduce.centred(x).abs().max() == 0
    x[0, 0] *= 1.1
    assert reduce.centred(x)[0].abs().max() > 0.05 * value
    assert reduce.centred(x)[0].mean().abs() < 1e-6 * value


def test_centred_knows_the_valid_places_alone():
    x = torch.tensor([1.0, 3.0, 1e6])
    valid = torch.tensor([True, True, False])
    assert reduce.centred(x, valid).tolist() == [-1, 1, 0]


def test_hidden_scores_have_no_part_in_a_softmax():
    scores = torch.tensor([[1.0, 2.0, 1e9], [1.0, 2.0, -1e9]])
    hidden = torch.tensor([False, False, True])
    found = reduce.log_softmax(scores, hidden).exp()
    wanted = torch.tensor([1.0, 2.0]).softmax(-1)
    assert torch.allclose(found, torch.cat([wanted, torch.zeros(1)]).expand(2, 3))
    assert reduce.log_softmax(scores, torch.ones(3).bool()).isfinite().all(), "all are hidden"
