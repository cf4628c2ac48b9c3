"""Ranks over tasks by hand."""

import numpy as np
import pytest
from fake_runs import grid, row_of
from scipy import stats

from kd.results.statistics.pairing import prepare
from kd.results.statistics.ranks import rank

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
    assert best.equal == 0, "the sixth is lost, not equal"
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


def test_a_cell_that_lacks_two_tasks_is_one_cell_left_out():
    def score(c):
        return None if c["mapping"] == "last" and c["task"] in ("rte", "qqp") else 0.5

    frame = grid(score, task=TASKS, mapping=["first", "last", "uniform"])
    assert rank(prepare(frame)).left_out == 1


def test_p_values_over_tasks_are_corrected_for_the_number_of_cells():
    """Two cells against the logits, each better on all six tasks: 1/32, and twice that."""
    order = {"logits": 0.5, "logits+hidden": 0.6, "logits+attention": 0.7}
    frame = grid(lambda c: order[c["knowledge"]], task=TASKS, knowledge=list(order))
    table = rank(prepare(frame)).table.set_index("knowledge")
    assert table["p_wilcoxon"].tolist() == pytest.approx([1 / 32, 1 / 32, np.nan], nan_ok=True)
    assert table["p_holm"].tolist() == pytest.approx([1 / 16, 1 / 16, np.nan], nan_ok=True)


def test_one_task_or_one_cell_has_no_ranks():
    assert rank(prepare(grid(lambda c: 0.5, mapping=["first", "last"]))) is None
    assert rank(prepare(grid(lambda c: 0.5, task=TASKS))) is None


# Right answers of 10 by seed: 0.1 + 0.2 and 0.3 + 0.0 are the same number of right answers.
TIED = {"first": ["0.1", "0.2", "0.6"], "last": ["0.3", "0", "0.6"]}


def test_equal_means_are_ties_not_wins_of_a_rounding_error():
    """On every task the seeds' right answers add up to the same: ranks 1.5, no win, no p."""
    assert sum(map(float, TIED["first"])) != sum(map(float, TIED["last"]))
    frame = grid(lambda c: float(TIED[c["mapping"]][int(c["seed"]) - 1]), task=["rte", "cola"],
                 mapping=list(TIED), seed=["1", "2", "3"])  # fmt: skip
    table = rank(prepare(frame)).table
    assert table["rank"].tolist() == [1.5, 1.5]
    assert table["best"].tolist() == [0, 0] and table["shared"].tolist() == [2, 2]


def test_a_difference_of_nothing_is_no_win_over_the_control():
    frame = grid(
        lambda c: (
            float(TIED["last" if c["knowledge"] == "logits" else "first"][int(c["seed"]) - 1])
            + 0.1 * (c["task"] == "cola") * (c["knowledge"] != "logits")
        ),
        task=["rte", "cola", "mrpc"],
        knowledge=["logits", "logits+hidden"],
        seed=["1", "2", "3"],
    )
    table = rank(prepare(frame)).table
    row = row_of(table, knowledge="logits+hidden")
    assert (row["rank"], row.best, row.shared) == (pytest.approx(4 / 3), 1, 2)
    assert (row.wins, row.equal, row.compared) == (1, 2, 3)


def test_a_task_that_three_share_has_no_winner():
    """Ranks are means of those that are shared: 2 of 1, 2, 3; Friedman's test has its ties."""
    score = {"first": 0.5, "last": 0.5, "uniform": 0.5, "reverse": 0.4}
    frame = grid(lambda c: score[c["mapping"]] + 0.1 * (c["task"] == "rte"), mapping=list(score),
                 task=["rte", "cola"])  # fmt: skip
    found = rank(prepare(frame))
    assert found.table["rank"].tolist() == [2, 2, 2, 4] and found.table["best"].sum() == 0
    means = [[0.6, 0.5], [0.6, 0.5], [0.6, 0.5], [0.5, 0.4]]
    assert found.p == pytest.approx(stats.friedmanchisquare(*means).pvalue)


def test_two_tasks_have_a_p_value_of_the_signed_ranks():
    """Two gains of two: each of the four signs is as likely, so that p is 2 / 4."""
    gains = {"rte": 0.1, "cola": 0.3}
    frame = grid(lambda c: 0.5 + gains[c["task"]] * (c["knowledge"] != "logits"),
                 task=list(gains), knowledge=["logits", "logits+hidden"])  # fmt: skip
    row = row_of(rank(prepare(frame)).table, knowledge="logits+hidden")
    assert (row.p_wilcoxon, row.wins, row.compared) == (0.5, 2, 2)


@pytest.mark.filterwarnings("error")
def test_cells_that_are_equal_on_every_task_have_no_test():
    knowledge = ["logits", "logits+hidden", "logits+attention"]
    found = rank(prepare(grid(lambda c: 0.5 + 0.1 * TASKS.index(c["task"]), task=TASKS,
                              knowledge=knowledge)))  # fmt: skip
    assert np.isnan(found.p) and found.table["rank"].tolist() == [2, 2, 2]
    assert found.table["p_wilcoxon"].isna().all()
