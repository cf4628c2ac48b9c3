"""What students cost: the formula against a real encoder, fronts and groups by hand."""

import math

import pandas as pd
import pytest
import torch
from fake_runs import grid
from helpers import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from kd.axes.shapes import Shape
from kd.results.statistics.cost import (
    equal_cost,
    forward_flops,
    iso_cost,
    pareto,
    student_costs,
    with_costs,
)
from kd.results.statistics.pairing import prepare


def test_flops_are_those_that_an_encoder_does():
    shape, length = Shape(layers=3, hidden=48, heads=4, ffn=80), 16
    model = tiny_model(shape=shape).eval()
    model.set_attn_implementation("eager")  # the counter does not see into fused attention
    ids = torch.full((1, length), 7)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))
    pooler = 2 * shape.hidden**2
    assert counter.get_total_flops() - pooler == forward_flops(str(shape), length)


def test_bert_base_needs_the_known_number_of_flops():
    # Clark et al. 2020 (ELECTRA), table 8, give 2.9e10 for BERT-base at length 128 with embeddings'
    # output layer; without it, 85 M weights x 2 x 128 = 2.2e10.
    assert forward_flops("bert-base") == pytest.approx(2.23e10, rel=0.02)
    assert math.isnan(forward_flops("a shape of tomorrow"))


def test_costs_of_runs():
    runs = with_costs(grid(lambda c: 0.5))
    row = runs.iloc[0]
    assert row.parameters == 12 * 6 * 768**2
    assert row.latency == pytest.approx(1e-9 * row.parameters)
    assert row.speedup == pytest.approx(0.085 / row.latency)
    assert row.teacher_flops == pytest.approx(2 * row.flops)


def test_times_of_two_devices_give_no_speedup():
    frame = grid(lambda c: 0.5, seed=["1", "2", "3"])
    frame["evaluated_on"] = ["gpu", "cpu", ""]
    assert with_costs(frame)["speedup"].isna().tolist() == [True, False, False]
    frame["evaluated_on"], frame["teacher_evaluated_on"] = "gpu", ["gpu", "cpu", ""]
    assert with_costs(frame)["speedup"].isna().tolist() == [False, True, False]
    old = frame.drop(columns=["evaluated_on", "teacher_evaluated_on"])  # not recorded then
    assert with_costs(old)["speedup"].notna().all()


def test_latencies_are_those_of_the_tasks_that_all_students_have():
    """The average over tasks has no time of its own, and a task of long texts counts for all."""
    small, large = "3L-384-12h-1536", "6L-768-12h-3072"
    cells = {"student": [small, large], "task": ["rte", "qnli", "imdb"]}
    frame = grid(lambda c: None if (c["student"], c["task"]) == (large, "imdb") else 0.5, **cells)
    seconds = {
        (small, "rte"): 2.0,
        (small, "qnli"): 10.0,
        (large, "rte"): 3.0,
        (large, "qnli"): 9.0,
    }
    places = zip(frame["student"], frame["task"], strict=True)
    frame["latency_seconds"] = [seconds.get(place, 90.0) for place in places]
    frame.loc[frame["score"].isna(), "latency_seconds"] = math.nan
    found = student_costs(with_costs(prepare(frame)), "latency")
    assert found.to_dict() == {small: 6.0, large: 6.0}


def test_pareto_by_hand():
    cost = pd.Series([1.0, 2.0, 2.0, 3.0, 4.0, float("nan")])
    score = pd.Series([0.5, 0.7, 0.6, 0.7, 0.8, 0.9])
    assert pareto(cost, score).tolist() == [True, True, False, False, True, False]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_every_point_is_on_the_front_or_beaten_by_one_that_is(points):
    cost, score = (pd.Series(list(values), dtype=float) for values in zip(*points, strict=True))
    front = pareto(cost, score)
    assert front.any()
    for x, y, on in zip(cost, score, front, strict=True):
        at_least = (cost[front] <= x) & (score[front] >= y)
        assert at_least.any()
        assert on == (not ((cost <= x) & (score >= y) & ((cost < x) | (score > y))).any())


def test_a_rounding_error_puts_no_point_on_the_front():
    assert 0.1 + 0.2 > 0.3
    assert pareto(pd.Series([1.0, 2.0]), pd.Series([0.3, 0.1 + 0.2])).tolist() == [True, False]


def test_equal_cost_groups():
    costs = pd.Series({"a": 10.0, "b": 10.9, "c": 11.2, "d": 30.0, "e": float("nan")})
    assert equal_cost(costs) == [["a", "b"]]


def test_students_of_equal_size_are_compared_with_each_other_alone():
    students = ["12L-300-12h-1200", "2L-744-12h-2976", "4L-312-12h-1200"]
    frame = grid(lambda c: 0.5 + 0.01 * int(c["student"].split("L")[0]), student=students,
                 seed=["1", "2"])  # fmt: skip
    found = iso_cost(prepare(frame))
    assert set(zip(found["a"], found["b"], strict=True)) == {tuple(students[:2])}
    assert set(found["cost"]) == {"parameters", "flops", "latency"}
    assert found["mean"].tolist() == pytest.approx([-0.1] * 3)
    assert iso_cost(prepare(grid(lambda c: 0.5, mapping=["first", "last"]))).empty


def test_one_slow_measurement_does_not_make_a_student_another_cost():
    """Latencies are compared by their median: a busy machine once in three runs changes nothing."""
    students = ["3L-384-12h-1536", "6L-768-12h-3072"]
    frame = grid(lambda c: 0.5, student=students, seed=["1", "2", "3"])
    slow = (frame["student"] == students[0]) & (frame["seed"] == "2")
    latency = [0.5 if one else 0.01 for one in slow]
    found = iso_cost(prepare(frame.assign(latency_seconds=latency)))
    assert set(found["cost"]) == {"latency"}
    assert (found["a"].iloc[0], found["b"].iloc[0]) == tuple(students)
