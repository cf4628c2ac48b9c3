"""Score against agreement: every run, and the means of each knowledge."""

import numpy as np
import pytest
from drawn import marked, texts
from fake_runs import grid

from kd.results.figures.agreement import agreement_figure
from kd.results.figures.curves import dev_curves_figure
from kd.results.figures.draw import possible
from kd.results.statistics.pairing import prepare

SCORES = {"none": 0.6, "logits": 0.7}


def record():
    frame = grid(
        lambda c: SCORES[c["knowledge"]] + 0.01 * int(c["seed"]),
        knowledge=list(SCORES),
        task=["rte", "cola"],
        seed=["1", "2"],
    )
    agreement = {"none": 0.5, "logits": 0.9}
    history = [f"step=1 2;loss=3 2;hard=1 1;dev_score=0.1 {score}" for score in frame["score"]]
    return frame.assign(agreement=frame["knowledge"].map(agreement), history=history)


def test_marks_are_means_and_dots_are_runs():
    figure = agreement_figure(prepare(record()))
    for ax in figure.axes:
        found = {tuple(np.round(m.get_xydata()[0], 6)) for m in marked(ax, "mean")}
        assert found == {(50.0, 61.5), (90.0, 71.5)}
        assert sum(len(m.get_xydata()) for m in marked(ax, "runs")) == 4
    assert "Dots are runs (n = 8)." in " ".join(texts(figure)).replace("\u00a0", " ")


def test_runs_without_agreement_are_left_out():
    frame = record()
    frame.loc[frame["knowledge"] == "none", "agreement"] = np.nan
    figure = agreement_figure(prepare(frame))
    assert all(len(marked(ax, "mean")) == 1 for ax in figure.axes)


def test_it_is_drawn_where_it_can_be():
    drawings, why = possible(record())
    assert {"agreement", "dev-curves"} <= set(drawings)
    drawings, why = possible(record().assign(agreement=np.nan, history="step=1 2;loss=3 2"))
    assert why["agreement"] == "runs.csv has no agreement with the teacher"
    assert why["dev-curves"] == "no run has dev scores in its history (evaluate_every)"


def test_dev_scores_are_drawn_in_points():
    figure = dev_curves_figure(prepare(record()))
    mean = marked(figure.axes[0], "mean")[0].get_ydata()
    assert mean[0] == pytest.approx(10) and mean[-1] == pytest.approx(61.5)
    assert "dev score" in texts(figure)
