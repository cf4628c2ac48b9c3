"""Score against cost."""

import numpy as np
import pytest
from drawn import full_grid, marked, texts
from fake_runs import grid

from kd.results.figures.tradeoff import tradeoff_figure
from kd.results.statistics.pairing import prepare


@pytest.fixture(scope="module")
def runs():
    return prepare(full_grid())


def test_a_line_per_knowledge_and_ticks_at_sizes(runs):
    figure = tradeoff_figure(runs, "parameters")
    ax = figure.axes[1]
    assert {"none", "logits", "logits+hidden", "Pareto front"} <= set(texts(figure))
    assert any(text.startswith("teacher") for text in texts(figure)), "in the panel or its legend"
    assert "million parameters\nwithout embeddings" in texts(figure)
    assert len(ax.containers) == 3
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "20"]
    assert [label.get_text() for label in marked(ax, "name")] == ["3L-384", "6L-768"]
    assert not marked(ax, "missing")


def test_the_front_is_what_no_other_matches():
    def score(c):
        return {"3": 0.5, "6": 0.6}[c["student"][0]] + 0.01 * (c["knowledge"] == "logits")

    students = ["3L-384-12h-1536", "6L-768-12h-3072"]
    frame = grid(score, knowledge=["none", "logits"], student=students)
    (ax,) = tradeoff_figure(prepare(frame), "flops").axes
    (front,) = marked(ax, "front")
    assert front.get_ydata() == pytest.approx([51, 61])
    assert np.all(np.diff(front.get_xdata()) > 0)


def test_units_of_flops_and_latency(runs):
    assert "GFLOPs for 128 tokens" in texts(tradeoff_figure(runs, "flops"))
    assert "ms for one example" in texts(tradeoff_figure(runs, "latency"))


def test_what_is_missing_is_an_x_at_the_foot():
    students = ["3L-384-12h-1536", "6L-768-12h-3072"]
    frame = grid(lambda c: None if c["knowledge"] == "none" else 0.5, student=students,
                 knowledge=["none", "logits"])  # fmt: skip
    assert len(marked(tradeoff_figure(prepare(frame), "parameters").axes[0], "missing")) == 2
