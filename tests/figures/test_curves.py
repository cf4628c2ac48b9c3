"""Learning curves from the history in runs.csv."""

import pytest
from drawn import full_grid, marked, texts
from fake_runs import grid

from kd.figures.curves import curves_figure, curves_of
from kd.statistics.pairing import prepare


def test_history_is_read_back_and_names_may_hold_colons():
    text = "step=25 50;loss=2 1.5;logits:kl=1e-3 0"
    assert curves_of(text) == {"step": [25, 50], "loss": [2, 1.5], "logits:kl": [0.001, 0]}
    assert curves_of("") == {}


def test_every_run_and_the_mean_by_knowledge():
    figure = curves_figure(prepare(full_grid()))
    rte, cola = figure.axes
    assert (len(marked(rte, "mean")), len(marked(cola, "mean"))) == (3, 3)
    # 2 students x 3 seeds x (none, logits, first, last), of which rte lacks 'last'
    assert (len(marked(rte, "runs")), len(marked(cola, "runs"))) == (18, 24)
    # hard: 0.7 to 0.64 with 3 layers, to 0.58 with 6
    assert marked(cola, "mean")[0].get_ydata()[[0, -1]] == pytest.approx([0.7, 0.61])
    assert "hard-label loss" in texts(figure)


def test_where_no_part_is_shared_the_sum_is_drawn_and_said_not_to_compare():
    frame = grid(lambda c: 0.5, knowledge=["none", "logits"])
    figure = curves_figure(prepare(frame.assign(history="step=1 2;loss=3 2")))
    assert marked(figure.axes[0], "mean")[0].get_ydata()[0] == 3
    assert any("levels do not compare" in text for text in texts(figure))
