"""Ranks over tasks by hand."""

import numpy as np
import pytest
from fake_runs import grid, row_of
from scipy import stats

from kd.statistics.pairing import prepare
from kd.statistics.ranks import rank

TASKS = ["rte", "cola", "mrpc", "sst2", "qnli", "qqp"]


def test_ranks_wins_and_tests():
    """The best of three has rank 1 on five tasks and 3 on the sixth."""
    order = {"logits": 0.5, "logits+hidden": 0.6, "logits+attention": 0.7}

    def score(c):
        if c["task"] == "qqp" and c["knowledge"] == "logits+attention":
            return 0.4
        return order[c["knowledge"]]

    found = rank(prepare(grid(score, task=TASKS, knowledge=list(order))))
    best = row_of(found.table, knowledge="logits+attention")
    assert (best["rank"], best.best, best.wins, best.compared) == (pytest.approx(8 / 6), 5, 5, 6)
    second = row_of(found.table, knowledge="logits+hidden")
    assert second["rank"] == pytest.approx((5 * 2 + 1) / 6)
    assert second.p_wilcoxon == pytest.approx(stats.wilcoxon([0.1] * 6).pvalue)
    assert found.tasks == 6 and found.left_out == 0 and found.p < 0.05
    # Demšar 2006, table 5: q = 2.343 for three classifiers
    assert found.critical == pytest.approx(2.343 * np.sqrt(3 * 4 / 36), rel=1e-3)


def test_cells_that_lack_a_task_are_left_out_and_said_so():
    def score(c):
        return None if (c["mapping"], c["task"]) == ("last", "rte") else 0.5

    found = rank(prepare(grid(score, task=TASKS, mapping=["first", "last", "uniform"])))
    assert found.left_out == 1
    assert set(found.table["mapping"]) == {"first", "uniform"}


def test_one_task_or_one_cell_has_no_ranks():
    assert rank(prepare(grid(lambda c: 0.5, mapping=["first", "last"]))) is None
    assert rank(prepare(grid(lambda c: 0.5, task=TASKS))) is None
