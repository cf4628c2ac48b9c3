"""What may be compared with what along an axis."""

import pandas as pd
import pytest
from fake_runs import frame_of, grid, one_run

from kd.statistics.cells import describe
from kd.statistics.pairing import prepare
from kd.statistics.views import at_base, axis_view


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
