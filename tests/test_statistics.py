"""Numbers worked out by hand, and what may be compared with what."""

import math

import pandas as pd
import pytest
from fake_runs import grid, one_run, write

from kd.errors import UserError
from kd.statistics import (
    AVERAGE,
    at_base,
    axes,
    axis_view,
    control_of,
    describe,
    disagreements,
    levels,
    metric,
    prepare,
    read_runs,
    studied,
    summarise,
)


def frame_of(*rows):
    return pd.DataFrame(rows)


def row_of(table, **where):
    found = table[(table[list(where)] == list(where.values())).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def three_seeds(control=(0.60, 0.61, 0.65), other=(0.62, 0.64, 0.66)):
    return frame_of(
        *(one_run({"knowledge": "logits", "seed": str(i)}, s) for i, s in enumerate(control)),
        *(one_run({"seed": str(i)}, s) for i, s in enumerate(other)),
    )


def test_axes_are_what_varies_in_the_fixed_order():
    frame = grid(lambda cell: 0.5, seed=["1", "2"], mapping=["first", "last"], task=["rte", "cola"])
    assert axes(frame) == ["task", "mapping", "seed"]
    assert studied(frame) == ["mapping"]


def test_what_follows_another_axis_is_no_axis():
    frame = frame_of(
        one_run({"knowledge": "logits+hidden", "matching": "mse"}, 0.5),
        one_run({"knowledge": "logits+attention", "matching": "kl"}, 0.5),  # follows the knowledge
        one_run({"knowledge": "logits"}, 0.5),  # mapping '-': it cannot matter
        one_run({"knowledge": "logits+hidden", "task": "mnli", "epochs": "10"}, 0.5),  # the task
    )
    assert axes(frame) == ["task", "knowledge"]


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


def test_control_falls_back_to_none():
    frame = three_seeds().replace({"knowledge": {"logits": "none"}})
    assert control_of(frame) == "none"
    assert row_of(summarise(frame), knowledge="logits+hidden").control == "none"
    assert control_of(frame[frame.knowledge != "none"]) == ""


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


def test_temperature_of_a_regression_stands_for_every_value():
    rows = [one_run({"temperature": t}, s) for t, s in (("1", 0.6), ("4", 0.7))]
    rows.append(one_run({"task": "stsb", "temperature": "-"}, 0.8))
    table = summarise(frame_of(*rows))
    assert row_of(table, task=AVERAGE, temperature="1")["mean"] == pytest.approx(0.7)
    assert row_of(table, task=AVERAGE, temperature="4")["mean"] == pytest.approx(0.75)
    assert "-" not in set(table["temperature"])
    # but it is one run, not two
    assert describe(prepare(frame_of(*rows)), ["task"]).set_index("task").n["stsb"] == 1


def test_score_of_a_run_that_is_not_done_does_not_count(tmp_path):
    frame = three_seeds()
    frame.loc[5, "status"] = "failed"
    row = row_of(
        summarise(read_runs(write(frame, tmp_path / "runs.csv"))), knowledge="logits+hidden"
    )
    assert (row.n, row["mean"]) == (2, pytest.approx(0.63))


def test_read_runs_keeps_text_and_names_a_wrong_file(tmp_path):
    frame = read_runs(write(three_seeds().assign(warmup=None), tmp_path / "runs.csv"))
    assert frame["learning_rate"].iloc[0] == "5e-05"
    assert frame["warmup"].iloc[0] == "-"
    assert frame["error"].iloc[0] == ""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"not a runs\.csv"):
        read_runs(tmp_path / "other.csv")


def test_levels_and_disagreements():
    assert levels(pd.Series(["10", "-", "2 = 4", "1e-05"])) == ["-", "1e-05", "2", "4", "10"]
    assert levels(pd.Series(["uniform", "first = last", "uniform"])) == ["uniform", "first", "last"]
    frame = pd.DataFrame({"a": ["x", "x = y", "y", "-"], "b": ["1", "1", "2", "2"]})
    assert disagreements(frame, ["a", "b"]).tolist() == [
        [0, 0, 2, 1],
        [0, 0, 1, 1],
        [2, 1, 0, 0],
        [1, 1, 0, 0],
    ]


def test_axis_view_compares_like_with_like():
    """'last' was excluded for the small student: the means are then over the large one alone."""
    frame = grid(
        lambda c: 0.5 if c["student"].startswith("3") else 0.7,
        student=["3L-384-12h-1536", "6L-768-12h-3072"],
        mapping=["first", "last"],
    )
    frame = frame[~(frame.student.str.startswith("3") & (frame.mapping == "last"))]
    # A third setting keeps the design from being one at a time.
    more = grid(lambda c: 0.7, student=["12L-256-4h-1024"], mapping=["first", "last"])
    view, note = axis_view(prepare(pd.concat([frame, more])), "mapping")
    assert describe(view, ["value"])["mean"].tolist() == pytest.approx([0.7, 0.7])
    assert note == "4 of 5 cells: only settings planned with every value"


def test_axis_view_says_so_when_nothing_is_alike():
    frame = frame_of(
        one_run({"student": "3L-384-12h-1536", "mapping": "first", "epochs": "3"}, 0.5),
        one_run({"student": "6L-768-12h-3072", "mapping": "last", "epochs": "9"}, 0.6),
    )
    view, note = axis_view(prepare(frame), "mapping")
    assert len(view) == 2 and note.startswith("NOT like with like")


def one_at_a_time():
    cells = [{}, {"mapping": "first"}, {"mapping": "last"}, {"temperature": "8"}, {"epochs": "9"}]
    return frame_of(*(one_run(cell, 0.6 + 0.01 * i) for i, cell in enumerate(cells)))


def test_one_at_a_time_is_seen_and_held_at_its_base():
    runs = prepare(one_at_a_time())
    view, note = axis_view(runs, "mapping")
    assert view["value"].tolist() == ["uniform", "first", "last"]
    assert note == "all other axes at the study's base"
    assert len(at_base(runs, ["temperature"])) == 2
    factorial = prepare(grid(lambda c: 0.5, mapping=["first", "last"], epochs=["1", "2"]))
    assert len(at_base(factorial, [])) == 4


def test_axis_view_marks_controls_and_leaves_out_what_is_not_distilled():
    frame = grid(
        lambda c: 0.5,
        knowledge=["none", "logits", "logits+hidden"],
        mapping=["first", "last"],
        epochs=["1", "2"],
    )
    view, _ = axis_view(prepare(frame), "mapping")
    assert describe(view, ["value", "series"])[["value", "series", "n"]].values.tolist() == [
        ["-", "control", 2],
        ["first", "main", 2],
        ["last", "main", 2],
    ]
    view, _ = axis_view(prepare(frame), "knowledge")
    assert set(zip(view["value"], view["series"], strict=True)) == {
        ("none", "main"),
        ("logits", "control"),
        ("logits+hidden", "main"),
    }


def test_a_run_that_is_several_cells_counts_for_each_value_once():
    frame = frame_of(
        one_run({"mapping": "first = last"}, 0.6),
        one_run({"mapping": "uniform"}, 0.7),
    )
    view, _ = axis_view(prepare(frame), "mapping")
    means = describe(view, ["value"]).set_index("value")["mean"]
    assert means.to_dict() == {"first": 0.6, "last": 0.6, "uniform": 0.7}
    assert len(summarise(frame)) == 2


def test_metric_names():
    assert metric("cola") == "Matthews"
    assert metric("stsb") == "mean of Pearson and Spearman"
    assert metric("mrpc") == "mean of accuracy and F1"
    assert metric("rte") == metric("toy-pair") == "accuracy"


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
