"""Cells by numbers worked out by hand."""

import math

import numpy as np
import pytest
from fake_runs import frame_of, grid, one_run, row_of, three_seeds

from kd.results.statistics.cells import summarise
from kd.results.statistics.runs import AVERAGE


def test_summary_by_hand():
    row = row_of(summarise(three_seeds()), knowledge="logits+hidden", task="rte")
    assert (row.n, row.n_expected, row.missing, row.control) == (3, 3, "", "logits")
    assert row["mean"] == pytest.approx(0.64)
    assert row.sd == pytest.approx(0.02)
    half = 4.302652729911275 * 0.02 / math.sqrt(3)  # t(0.975, 2)
    assert (row.low, row.high) == pytest.approx((0.64 - half, 0.64 + half))
    # pairs: 0.02, 0.03, 0.01
    assert (row.pairs, row.difference, row.difference_sd) == pytest.approx((3, 0.02, 0.01))
    assert row.objective == "logits+hidden"
    control = row_of(summarise(three_seeds()), knowledge="logits", task="rte")
    assert control.pairs == 0 and math.isnan(control.difference)


def test_one_seed_has_no_spread_and_no_interval():
    row = row_of(summarise(three_seeds(control=(0.6,), other=(0.7,))), knowledge="logits+hidden")
    assert row["mean"] == 0.7 and row.difference == pytest.approx(0.1)
    assert all(math.isnan(row[name]) for name in ("sd", "low", "high", "difference_sd"))


def test_missing_runs_keep_their_row_and_say_so():
    frame = three_seeds(other=(None, None, None))
    frame.loc[3, "status"] = "failed"
    row = row_of(summarise(frame), knowledge="logits+hidden")
    assert (row.n, row.n_expected) == (0, 3) and math.isnan(row["mean"])
    assert row.missing == "3 of 3 missing (1 failed)"


def test_a_pair_needs_both_runs():
    row = row_of(summarise(three_seeds(control=(0.60, None, 0.65))), knowledge="logits+hidden")
    assert (row.n, row.pairs) == (3, 2)
    assert row.difference == pytest.approx(0.015)


def test_average_takes_only_seeds_that_finished_every_task():
    scores = {("rte", "1"): 0.6, ("cola", "1"): 0.2, ("rte", "2"): 0.8, ("cola", "2"): None}
    table = summarise(
        grid(lambda c: scores[c["task"], c["seed"]], task=["rte", "cola"], seed=["1", "2"])
    )
    row = row_of(table, task=AVERAGE)
    assert (row.n, row.n_expected, row["mean"]) == (1, 2, pytest.approx(0.4))
    assert row.missing == "1 of 2 missing (0 failed)"
    assert row.teacher_score == pytest.approx(0.7)


def test_average_is_missing_where_a_task_was_not_planned():
    frame = grid(lambda c: 0.5, task=["rte", "cola"], mapping=["first", "last"])
    frame = frame[~((frame.task == "cola") & (frame.mapping == "last"))]
    table = summarise(frame)
    assert row_of(table, task=AVERAGE, mapping="first").n == 1
    assert row_of(table, task=AVERAGE, mapping="last").n == 0


def test_one_task_has_no_average():
    assert AVERAGE not in set(summarise(three_seeds())["task"])


def test_interval_of_the_average_rests_on_the_seeds_of_every_task():
    """Two tasks, each with seeds at -1, 0, 1 points: SE² = (1/3 + 1/3) / 4, 4 degrees of freedom.

    That a recipe differs by task, without being an axis, changes nothing.
    """
    shift = {("rte", "1"): -0.01, ("rte", "3"): 0.01, ("cola", "1"): 0.01, ("cola", "3"): -0.01}
    frame = grid(lambda c: 0.5 + shift.get((c["task"], c["seed"]), 0), task=["rte", "cola"],
                 mapping=["first", "last"], seed=["1", "2", "3"])  # fmt: skip
    frame["epochs"] = frame["task"].map({"rte": "10", "cola": "3"})
    row = row_of(summarise(frame), task=AVERAGE, mapping="first")
    assert row["mean"] == pytest.approx(0.5) and row.epochs == "by task"
    assert row.sd == pytest.approx(0)  # the tasks' deviations cancel in every seed's average
    half = 2.7764451051977987 * 0.01 * math.sqrt((1 / 3 + 1 / 3) / 4)  # t(0.975, 4)
    assert (row.low, row.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_holm_families_are_the_average_and_all_cells_on_all_tasks():
    rng = np.random.default_rng(0)
    frame = grid(lambda c: 0.5 + 0.1 * (c["knowledge"] != "logits") + rng.normal(0, 0.01),
                 task=["rte", "cola"], seed=["1", "2", "3"],
                 knowledge=["logits", "logits+hidden", "logits+attention"])  # fmt: skip
    table = summarise(frame)
    average = table[(table["task"] == AVERAGE) & table["p"].notna()]
    single = table[(table["task"] != AVERAGE) & table["p"].notna()]
    assert (len(average), len(single)) == (2, 4)
    assert average["p_holm"].min() == pytest.approx(2 * average["p"].min())
    assert single["p_holm"].min() == pytest.approx(4 * single["p"].min())


def test_difference_to_none_stands_beside_that_to_the_logits():
    scores = {"none": 0.5, "logits": 0.6, "logits+hidden": 0.7}
    table = summarise(grid(lambda c: scores[c["knowledge"]], knowledge=list(scores)))
    row = row_of(table, knowledge="logits+hidden")
    assert (row.difference, row.difference_none) == pytest.approx((0.1, 0.2))
    assert row_of(table, knowledge="logits").difference_none == pytest.approx(0.1)
    assert math.isnan(row_of(table, knowledge="none").difference_none)


def test_bootstrap_stands_beside_the_t_interval_and_within_the_seeds():
    row = row_of(summarise(three_seeds()), knowledge="logits+hidden")
    assert (row.boot_low, row.boot_high) == pytest.approx((0.62, 0.66))
    assert row.low < row.boot_low and row.boot_high < row.high


def test_a_cell_without_control_names_none():
    """Logits were run for the small student alone: the large one is compared with nothing."""
    small, large = {"student": "3L-384-12h-1536"}, {"student": "6L-768-12h-3072"}
    control = one_run({"knowledge": "logits"} | small, 0.5)
    table = summarise(frame_of(control, one_run(small, 0.6), one_run(large, 0.7)))
    assert row_of(table, knowledge="logits+hidden", **small).control == "logits"
    assert row_of(table, **large).control == ""
    assert row_of(table, knowledge="logits").control == ""


def test_an_objective_that_differs_by_seed_is_not_that_of_the_first():
    runs = [one_run({"seed": s}, 0.6) | {"objective": f"pairs of seed {s}"} for s in "12"]
    assert set(summarise(frame_of(*runs))["objective"]) == {"differs by seed"}
