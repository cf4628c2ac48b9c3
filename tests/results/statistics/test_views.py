"""What may be compared with what along an axis."""

import pandas as pd
import pytest
from fake_runs import frame_of, grid, one_run

from kd.results.statistics.cells import describe
from kd.results.statistics.pairing import prepare
from kd.results.statistics.views import at_base, axis_view, base_of, grid_view


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
    assert note == (
        "only settings that were planned with every value count, which are 4 of 5 cells"
    )


def test_axis_view_says_so_when_nothing_is_alike():
    frame = frame_of(
        one_run({"student": "3L-384-12h-1536", "mapping": "first", "epochs": "3"}, 0.5),
        one_run({"student": "6L-768-12h-3072", "mapping": "last", "epochs": "9"}, 0.6),
    )
    view, note = axis_view(prepare(frame), "mapping")
    assert len(view) == 2 and "NOT compare like with like" in note


def one_at_a_time():
    cells = [{}, {"mapping": "first"}, {"mapping": "last"}, {"temperature": "8"}, {"epochs": "9"}]
    return frame_of(*(one_run(cell, 0.6 + 0.01 * i) for i, cell in enumerate(cells)))


def test_one_at_a_time_is_seen_and_held_at_its_base():
    runs = prepare(one_at_a_time())
    view, note = axis_view(runs, "mapping")
    assert view["value"].tolist() == ["uniform", "first", "last"]
    assert note == "all other axes are at the study's base"
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


STUDENTS = ["3L-384-12h-1536", "6L-768-12h-3072"]


def larger_teacher(lost=False):
    """Distillation gains 5 points, the teacher's size nothing; `none` is bert-base's alone."""
    frame = grid(
        lambda c: {"none": 0.6}.get(c["knowledge"], 0.65) + 0.1 * (c["student"][0] == "6"),
        teacher=["bert-base", "bert-large"],
        student=STUDENTS,
        knowledge=["none", "logits", "logits+hidden"],
    )
    gone = (frame["teacher"] == "bert-large") & (frame["knowledge"] == "none")
    if lost:
        return frame.assign(score=frame["score"].mask(gone), status="done")
    return frame[~gone]


def test_a_larger_teacher_without_the_weak_control_does_not_look_better():
    view, note = grid_view(prepare(larger_teacher()), ["student", "teacher"])
    means = describe(view, ["teacher", "student"])["mean"]
    assert means.tolist() == pytest.approx([0.65, 0.75] * 2)
    assert note == (
        "only settings that were planned with every value count, which are 8 of 10 cells"
    )


def test_runs_that_were_lost_do_not_make_a_value_look_better_and_are_counted():
    view, note = grid_view(prepare(larger_teacher(lost=True)), ["student", "teacher"])
    table = describe(view, ["teacher", "student"])
    assert table["mean"].tolist() == pytest.approx([0.65, 0.75] * 2)
    assert table["n"].tolist() == [2, 2, 2, 2] and table["n_expected"].tolist() == [2, 2, 3, 3]
    assert note.endswith(
        "2 cells are left out, because their settings are not done with every value"
    )


def test_a_lost_setting_is_left_out_of_every_value():
    """'emd' failed on the small student: on it no mapping is compared."""
    frame = grid(lambda c: 0.5 if c["student"] == STUDENTS[0] else 0.7, student=STUDENTS,
                 mapping=["first", "last", "emd"], seed=["1", "2"])  # fmt: skip
    frame.loc[(frame["mapping"] == "emd") & (frame["student"] == STUDENTS[0]), "score"] = None
    view, note = axis_view(prepare(frame), "mapping")
    table = describe(view, ["value"]).set_index("value")
    assert table["mean"].tolist() == pytest.approx([0.7] * 3)
    assert table.loc[["first", "last", "emd"], "n_expected"].tolist() == [2, 2, 4]
    assert table["n"].tolist() == [2, 2, 2]
    assert "2 cells are left out, because their settings are not done" in note
    everything = frame.assign(score=frame["score"].where(frame["mapping"] != "emd"))
    view, _ = axis_view(prepare(everything), "mapping")  # a value of which nothing is done
    means = describe(view, ["value"]).set_index("value")["mean"]
    assert means[["first", "last"]].tolist() == pytest.approx([0.6, 0.6])


def test_one_lost_seed_is_no_lost_setting():
    frame = grid(lambda c: 0.5, student=STUDENTS, mapping=["first", "last"], seed=["1", "2"])
    frame.loc[0, "score"] = None
    view, note = axis_view(prepare(frame), "mapping")
    assert describe(view, ["value"])["n"].tolist() == [3, 4]
    assert note == "the means are over all settings of the other axes"


def test_an_idle_row_of_a_map_is_the_control_alone():
    """Mapping cannot matter to `none` and `logits`: only the control stands beside."""
    frame = grid(lambda c: {"none": 0.4, "logits": 0.5}.get(c["knowledge"], 0.6),
                 knowledge=["none", "logits", "logits+hidden"], mapping=["first", "last"],
                 student=STUDENTS)  # fmt: skip
    view, _ = grid_view(prepare(frame), ["mapping", "student"])
    assert describe(view, ["mapping"]).set_index("mapping")["mean"].to_dict() == pytest.approx(
        {"-": 0.5, "first": 0.6, "last": 0.6}
    )
    whole, _ = grid_view(prepare(frame), ["knowledge", "mapping"])
    assert len(whole) == len(frame)


def test_what_an_axis_cannot_affect_is_no_value_that_every_setting_needs():
    """The idle run is one of one student; the other student's mappings are compared too."""
    rows = [one_run({"student": s, "mapping": m}, 0.5) for s in STUDENTS for m in ("first", "last")]
    rows.append(one_run({"student": STUDENTS[0]}, 0.5) | {"mapping": "-"})
    view, note = axis_view(prepare(frame_of(*rows)), "mapping")
    assert set(view.loc[view["value"] != "-", "student"]) == set(STUDENTS)
    assert note == "the means are over all settings of the other axes"


def test_two_cells_that_could_be_the_base_are_none():
    """Each of the two differs in one axis from all others: the design is not one at a time."""
    rows = [one_run({"mapping": m}, 0.5) for m in ("first", "last")]
    rows.append(one_run({"knowledge": "logits"}, 0.5))
    assert base_of(prepare(frame_of(*rows))) is None


def test_a_control_that_an_axis_cannot_affect_is_no_base():
    """It differs in one axis from each of the others, because it agrees with every mapping."""
    frame = grid(lambda c: 0.5, knowledge=["logits", "logits+hidden", "logits+cls"],
                 mapping=["first", "last"])  # fmt: skip
    assert base_of(prepare(frame)) is None


def test_a_task_of_which_nothing_is_done_makes_nothing_unlike():
    frame = grid(lambda c: None if c["task"] == "cola" else 0.5, task=["rte", "cola"],
                 student=STUDENTS, mapping=["first", "last"])  # fmt: skip
    view, note = axis_view(prepare(frame), "mapping")
    assert "NOT compare" not in note
    assert describe(view[view["task"] == "rte"], ["value"])["n"].tolist() == [2, 2]


def test_a_control_stands_beside_the_settings_that_are_compared_alone():
    """The large student has one mapping: neither it nor its control is shown."""
    rows = [one_run({"student": STUDENTS[0], "mapping": m}, 0.5) for m in ("first", "last", "emd")]
    rows.append(one_run({"student": STUDENTS[1], "mapping": "first"}, 0.7))
    rows += [one_run({"student": s, "knowledge": "logits"}, 0.4) for s in STUDENTS]
    view, _ = axis_view(prepare(frame_of(*rows)), "mapping")
    assert set(view["student"]) == {STUDENTS[0]}
    assert view["series"].value_counts().to_dict() == {"main": 3, "control": 1}


def test_a_value_of_which_nothing_is_done_still_says_what_was_planned():
    """'emd' was planned for the small student alone, and lost: the large one is not compared."""
    rows = [one_run({"student": s, "mapping": m}, 0.5) for s in STUDENTS for m in ("first", "last")]
    rows.append(one_run({"student": STUDENTS[0], "mapping": "emd"}, None))
    view, note = axis_view(prepare(frame_of(*rows)), "mapping")
    assert set(view["student"]) == {STUDENTS[0]}
    assert "planned with every value count, which are 3 of 5 cells" in note


def test_where_nothing_is_comparable_what_was_planned_to_be_is_shown():
    """Each of two students lost one of its mappings; the third was to have one alone."""
    lost = {(STUDENTS[0], "first"), (STUDENTS[1], "last")}
    rows = [one_run({"student": s, "mapping": m}, None if (s, m) in lost else 0.5)
            for s in STUDENTS[:2] for m in ("first", "last")]  # fmt: skip
    rows.append(one_run({"student": "12L-256-4h-1024", "mapping": "first"}, 0.7))
    view, note = axis_view(prepare(frame_of(*rows)), "mapping")
    assert "NOT compare like with like" in note
    assert set(view["student"]) == set(STUDENTS[:2])
