"""What a run is compared with, and what runs that stand for several count for."""

import pandas as pd
import pytest
from fake_runs import frame_of, grid, one_run, row_of

from kd.results.statistics.cells import describe, summarise
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE
from kd.results.statistics.views import axis_view


def test_control_must_share_the_settings():
    frame = frame_of(
        one_run({"knowledge": "logits", "temperature": "2"}, 0.60),
        one_run({"temperature": "2"}, 0.63),
        one_run({"temperature": "8"}, 0.70),  # no control was run at 8
        one_run({"knowledge": "none"}, 0.58),  # temperature cannot matter to it
    )
    table = summarise(frame)
    assert row_of(table, knowledge="logits+hidden", temperature="2").difference == pytest.approx(
        0.03
    )
    assert row_of(table, knowledge="logits+hidden", temperature="8").pairs == 0
    assert row_of(table, knowledge="none").difference == pytest.approx(-0.02)


def test_several_controls_nearest_or_their_mean():
    frame = frame_of(
        one_run({"knowledge": "logits", "temperature": "1"}, 0.60),
        one_run({"knowledge": "logits", "temperature": "4"}, 0.64),
        one_run({"knowledge": "none"}, 0.58),  # as near to the one as to the other
        one_run({"knowledge": "logits+hidden", "temperature": "4"}, 0.65),
    )
    table = summarise(frame)
    assert row_of(table, knowledge="none").difference == pytest.approx(-0.04)
    assert row_of(table, knowledge="logits+hidden").difference == pytest.approx(0.01)
    frame.loc[0, ["score", "status"]] = [None, "failed"]
    assert row_of(summarise(frame), knowledge="none").pairs == 0

    frame = frame_of(
        one_run({"knowledge": "logits"}, 0.60) | {"matching": "mse"},
        one_run({"knowledge": "logits"}, 0.62) | {"matching": "kl"},
        one_run({"matching": "mse"}, 0.63),
    )
    assert row_of(summarise(frame), knowledge="logits+hidden").difference == pytest.approx(0.03)


def test_control_is_that_of_the_same_student():
    frame = grid(
        lambda c: {"3": 0.5, "6": 0.6}[c["student"][0]] + 0.01 * (c["knowledge"] != "logits"),
        student=["3L-384-12h-1536", "6L-768-12h-3072"],
        knowledge=["logits", "logits+hidden"],
    )
    table = summarise(frame)
    assert table.loc[table.knowledge == "logits+hidden", "difference"].tolist() == pytest.approx(
        [0.01] * 2
    )


def test_matching_of_the_control_does_not_split_it():
    """Logits are matched by KL, and by MSE where the task is a regression: one control."""
    rows = [
        one_run({"task": task, "knowledge": k, "matching": m}, 0.5)
        for task in ("rte", "stsb")
        for k, m in (("logits+hidden", "mse"), ("logits+hidden", "cosine"))
    ]
    for task, matching in (("rte", "kl"), ("stsb", "mse")):
        rows.append(one_run({"task": task, "knowledge": "logits"}, 0.4) | {"matching": matching})
    table = summarise(frame_of(*rows))
    assert row_of(table, task=AVERAGE, knowledge="logits").n == 1
    assert row_of(table, task=AVERAGE, matching="cosine").difference == pytest.approx(0.1)


def test_a_control_of_several_matchings_on_one_task_is_several_on_all():
    """A regression has one matching of the logits, which does not merge those of the others."""
    logits = (("rte", "kl", 0.3), ("rte", "mse", 0.4), ("stsb", "mse", 0.4))
    frame = frame_of(
        *(one_run({"task": t, "knowledge": "logits"}, s) | {"matching": m} for t, m, s in logits),
        *(one_run({"task": t, "matching": "mse"}, 0.5) for t in ("rte", "stsb")),
    )
    table = summarise(frame)
    assert row_of(table, task="rte", knowledge="logits", matching="kl")["mean"] == 0.3
    row = row_of(table, task="rte", knowledge="logits+hidden")
    assert row.difference == pytest.approx(0.1), "not to the nearest control"


def test_what_a_preset_sets_keeps_no_run_from_its_control():
    """The preset has its own temperature; the control stands beside it at the base's."""
    frame = frame_of(
        one_run({"knowledge": "logits", "temperature": "2"}, 0.5),
        one_run({"preset": "one", "temperature": "8"}, 0.6),
        one_run({"preset": "two", "temperature": "4"}, 0.7),
    )
    table = summarise(frame)
    assert row_of(table, preset="one").difference == pytest.approx(0.1)
    assert row_of(table, preset="two").difference == pytest.approx(0.2)


def test_values_that_are_one_run_at_all_seeds_of_a_task_still_have_an_average():
    """On RTE the random mapping is the uniform one at each seed; on CoLA it is not at seed 2."""
    both = {"mapping": "uniform = random"}
    frame = frame_of(
        *(one_run(both | {"task": "rte", "seed": s}, 0.6) for s in "12"),
        one_run(both | {"task": "cola", "seed": "1"}, 0.6),
        one_run({"mapping": "uniform", "task": "cola", "seed": "2"}, 0.5),
        one_run({"mapping": "random", "task": "cola", "seed": "2"}, 0.7),
    )
    table = summarise(frame)
    assert set(table["mapping"]) == {"uniform", "random"}
    assert row_of(table, task=AVERAGE, mapping="uniform")["mean"] == pytest.approx(0.575)
    assert row_of(table, task=AVERAGE, mapping="random")["mean"] == pytest.approx(0.625)
    assert set(table["n"]) == {2}
    everywhere = summarise(frame[frame["mapping"] == "uniform = random"])
    assert len(everywhere) == 3, "one cell on each task and their average"


def test_temperature_of_a_regression_stands_for_every_value():
    rows = [one_run({"temperature": t}, s) for t, s in (("1", 0.6), ("4", 0.7))]
    rows.append(one_run({"task": "stsb", "temperature": "-"}, 0.8))
    table = summarise(frame_of(*rows))
    assert row_of(table, task=AVERAGE, temperature="1")["mean"] == pytest.approx(0.7)
    assert row_of(table, task=AVERAGE, temperature="4")["mean"] == pytest.approx(0.75)
    assert "-" not in set(table["temperature"])
    # but it is one run, not two
    assert describe(prepare(frame_of(*rows)), ["task"]).set_index("task").n["stsb"] == 1


def test_a_seed_where_two_values_are_one_run_counts_for_both():
    """At seeds 1 and 2 the random mapping is the uniform one; at 3 it is another."""
    rows = [one_run({"mapping": "uniform = random", "seed": s}, 0.6) for s in "12"]
    rows += [one_run({"mapping": "uniform", "seed": "3"}, 0.6)]
    rows += [one_run({"mapping": "random", "seed": "3"}, 0.3)]
    table = summarise(pd.DataFrame(rows))
    uniform, random = row_of(table, mapping="uniform"), row_of(table, mapping="random")
    assert (uniform.n, uniform.n_expected, uniform["mean"]) == pytest.approx((3, 3, 0.6))
    assert (random.n, random.n_expected, random["mean"]) == pytest.approx((3, 3, 0.5))
    assert set(table["mapping"]) == {"uniform", "random"}


def test_a_run_that_is_several_cells_counts_for_each_value_once():
    frame = frame_of(
        one_run({"mapping": "first = last"}, 0.6),
        one_run({"mapping": "uniform"}, 0.7),
    )
    view, _ = axis_view(prepare(frame), "mapping")
    means = describe(view, ["value"]).set_index("value")["mean"]
    assert means.to_dict() == {"first": 0.6, "last": 0.6, "uniform": 0.7}
    assert len(summarise(frame)) == 2


def test_the_average_of_a_seed_that_failed_on_a_task_has_failed():
    frame = grid(lambda c: None if (c["task"], c["seed"]) != ("rte", "1") else 0.5,
                 task=["rte", "cola"], seed=["1", "2"])  # fmt: skip
    frame.loc[(frame["task"] == "cola") & (frame["seed"] == "1"), "status"] = "failed"
    runs = prepare(frame)
    found = runs[runs["task"] == AVERAGE].set_index("seed")["status"]
    assert found.to_dict() == {"1": "failed", "2": "missing"}


def test_a_setting_that_differs_by_task_alone_is_said_so_in_the_average():
    frame = grid(lambda c: 0.5, task=["rte", "cola"], mapping=["first", "last"])
    frame["epochs"] = frame["task"].map({"rte": "9", "cola": "3"})
    runs = prepare(frame)
    average = runs[runs["task"] == AVERAGE]
    assert set(average["epochs"]) == {"by task"} and set(average["batch_size"]) == {"32"}
