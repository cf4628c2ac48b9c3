"""Which student of a record is the best, and what is said of it."""

import math

import pytest
from fake_runs import frame_of, grid, one_run, three_seeds

from kd.results.best_students import best_students
from kd.results.statistics.cells import describe
from kd.results.statistics.near_best import best_cells
from kd.results.statistics.pairing import prepare
from kd.runtime.errors import UserError


def test_the_cell_is_chosen_by_its_mean_and_the_run_by_its_score():
    """logits+hidden: 0.62, 0.64, 0.66; the control has one seed that is higher than its mean."""
    frame = three_seeds(control=(0.50, 0.50, 0.70))
    best = best_students(frame)["rte"]
    row = frame[frame["run"] == best.run].iloc[0]
    assert (row["knowledge"], best.score) == ("logits+hidden", 0.66)
    assert best.mean == pytest.approx(0.64)
    half = 4.302653 * 0.02 / math.sqrt(3)  # t with 2 degrees of freedom
    assert (best.low, best.high) == pytest.approx((0.64 - half, 0.64 + half), abs=1e-6)
    assert (best.seeds, best.expected, best.cells) == (3, 3, 2)


def test_of_equal_cells_the_smallest_student_is_taken():
    frame = grid(lambda cell: 0.6, student=["6L-768-12h-3072", "2L-128-2h-512"], seed=["1", "2"])
    best = best_students(frame)["rte"]
    (student,) = frame.loc[frame["run"] == best.run, "student"]
    assert student == "2L-128-2h-512"


def with_means(**scores):
    """A study of mappings with these scores by seed; None is a lost run."""
    rows = [
        one_run({"mapping": mapping, "seed": str(seed)}, score)
        for mapping, values in scores.items()
        for seed, score in enumerate(values)
    ]
    return frame_of(*rows)


def test_a_cell_that_lost_runs_does_not_win_over_a_complete_one_but_is_named():
    """Its lost seed may be the bad one: 0.70 of two seeds, 0.61 of three."""
    frame = with_means(first=(0.60, 0.61, 0.62), last=(0.70, 0.70, None), emd=(0.5, 0.5, 0.5))
    best = best_students(frame)["rte"]
    (mapping,) = frame.loc[frame["run"] == best.run, "mapping"]
    assert (mapping, best.cells) == ("first", 2)
    assert best.remark == (
        "rte: mapping last has a higher mean (70.0 against 61.0), but 1 of 3 missing (0 failed): "
        "it was not chosen"
    )
    # The table of scores marks the same cell.
    (row,) = best_cells(describe(prepare(frame), ["mapping", "task"])).itertuples()
    assert row.mapping == "first"
    lower = with_means(first=(0.60, 0.61, 0.62), last=(0.50, 0.50, None))
    assert best_students(lower)["rte"].remark == ""


def test_without_a_complete_cell_those_that_lack_the_fewest_runs_are_compared():
    frame = with_means(first=(0.60, 0.61, None), last=(0.70, None, None))
    best = best_students(frame)["rte"]
    assert best.score == 0.61 and (best.seeds, best.expected, best.cells) == (2, 3, 1)
    assert best.remark == (
        "rte: no cell is complete; the best one has 1 of 3 missing (0 failed); mapping last has a "
        "higher mean (70.0 against 60.5), but 2 of 3 missing (0 failed): it was not chosen"
    )


def test_each_task_has_its_own_and_lost_runs_are_counted():
    rows = [
        *(one_run({"task": "rte", "seed": s}, 0.6) for s in "12"),
        *(one_run({"task": "cola", "seed": s}, 0.3 if s == "1" else None) for s in "12"),
    ]
    best = best_students(frame_of(*rows))
    assert list(best) == ["rte", "cola"]
    assert (best["cola"].seeds, best["cola"].expected) == (1, 2)
    assert math.isnan(best["cola"].low)


def test_a_task_without_a_run_is_one_sentence():
    rows = [one_run({"task": "rte"}, 0.6), one_run({"task": "cola"}, None)]
    with pytest.raises(UserError, match="no run on cola is done; done on: rte"):
        best_students(frame_of(*rows))
