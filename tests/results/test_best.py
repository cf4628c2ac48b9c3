"""Which student of a record is the best, and what is said of it."""

import math

import pytest
from fake_runs import frame_of, grid, one_run, three_seeds

from kd.results.best import best_students
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
