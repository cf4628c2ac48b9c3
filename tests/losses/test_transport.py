"""Optimal transport between layers against a linear program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from kd.losses.transport import layer_weights, transport_plan

sizes = st.integers(1, 6)


def uniform(layers):
    return np.full(layers, 1 / layers)


def drawn(teacher, student, seed):
    """Random costs and layer weights."""
    generator = np.random.default_rng(seed)
    weights = [generator.dirichlet(np.ones(n)) + 1e-3 for n in (teacher, student)]
    return generator.random((teacher, student)), *(w / w.sum() for w in weights)


def cheapest(cost, a, b):
    """The least cost of a transport, by a linear program over the flattened flow."""
    teacher, student = cost.shape
    rows = np.kron(np.eye(teacher), np.ones(student))
    columns = np.kron(np.ones(teacher), np.eye(student))
    found = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    assert found.success
    return found.fun


@settings(max_examples=40, deadline=None)
@given(teacher=sizes, student=sizes, seed=st.integers(0, 10**6))
def test_the_plan_is_a_flow_of_least_cost(teacher, student, seed):
    cost, a, b = drawn(teacher, student, seed)
    plan = transport_plan(cost, a, b)
    assert plan.shape == cost.shape and (plan >= 0).all()
    assert plan.sum(1) == pytest.approx(a, abs=1e-9)
    assert plan.sum(0) == pytest.approx(b, abs=1e-9)
    assert (plan * cost).sum() == pytest.approx(cheapest(cost, a, b), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(teacher=sizes, student=sizes, seed=st.integers(0, 10**6))
def test_layer_weights_are_shares_and_cheap_layers_get_more(teacher, student, seed):
    cost, a, b = drawn(teacher, student, seed)
    plan = transport_plan(cost, a, b)
    for axis, old, new in zip((1, 0), (a, b), layer_weights(cost, plan, a, b), strict=True):
        assert (new > 0).all() and new.sum() == pytest.approx(1)
        paid = [sum(c * f for c, f in zip(*row, strict=True)) for row in lines(cost, plan, axis)]
        unit = np.array(paid) / old
        assert (new[np.argsort(unit)][:-1] >= new[np.argsort(unit)][1:] - 1e-12).all()
        assert new * unit == pytest.approx((new * unit)[0], rel=1e-6), "not the inverse of the cost"


def lines(cost, plan, axis):
    """(costs, flows) of each layer of one side."""
    pairs = (cost, plan) if axis == 1 else (cost.T, plan.T)
    return zip(*pairs, strict=True)


def test_by_hand():
    cost = np.array([[1.0, 4.0], [4.0, 3.0]])
    plan = transport_plan(cost, uniform(2), uniform(2))
    assert plan.tolist() == [[0.5, 0.0], [0.0, 0.5]]
    for weights in layer_weights(cost, plan, uniform(2), uniform(2)):
        assert weights == pytest.approx([0.75, 0.25]), "a layer of a third of the cost: thrice"


@pytest.mark.parametrize(("teacher", "student"), [(1, 1), (1, 4), (4, 1)])
def test_one_layer_takes_all(teacher, student):
    cost, a, b = drawn(teacher, student, 0)
    plan = transport_plan(cost, a, b)
    assert plan == pytest.approx(np.outer(a, b))
    assert all(w.sum() == pytest.approx(1) for w in layer_weights(cost, plan, a, b))


def test_costs_of_zero_leave_the_layers_alike():
    cost = np.zeros((3, 2))
    plan = transport_plan(cost, uniform(3), uniform(2))
    new = layer_weights(cost, plan, uniform(3), uniform(2))
    assert [w.tolist() for w in new] == [pytest.approx(uniform(3)), pytest.approx(uniform(2))]


def test_a_layer_without_cost_takes_most_but_not_all():
    """A student layer that agrees with the teacher must not end the transport to the others."""
    cost = np.array([[0.0, 1.0], [1.0, 1.0]])
    plan = transport_plan(cost, uniform(2), uniform(2))
    for weights in layer_weights(cost, plan, uniform(2), uniform(2)):
        assert 0 < weights[1] < 1e-5 and weights.sum() == pytest.approx(1)
        again = transport_plan(cost, weights, weights)
        assert np.isfinite(again).all() and again.sum() == pytest.approx(1)
