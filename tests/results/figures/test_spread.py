"""Variance, seeds and the distance to the teacher."""

import pytest
from drawn import full_grid, marked, texts
from fake_runs import grid

from kd.results.figures.spread import seeds_figure, teacher_gap_figure, variance_figure
from kd.results.statistics.pairing import prepare


def test_variance_bars_are_the_shares_largest_first():
    def score(c):
        size = 0.02 if c["student"][0] == "6" else -0.02
        return 0.6 + size + (0.01 if c["mapping"] == "last" else -0.01) + 0.001 * int(c["seed"])

    frame = grid(score, student=["3L-384-12h-1536", "6L-768-12h-3072"],
                 mapping=["first", "last"], seed=["1", "2"])  # fmt: skip
    figure = variance_figure(frame)
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "student", "mapping", "student × mapping", "seeds"
    ]  # fmt: skip
    total = 4 + 1 + 0.0025
    widths = [bar.get_width() for bar in marked(ax, "share")]
    assert widths == pytest.approx([400 / total, 100 / total, 0, 0.25 / total])
    assert " 80.0*" in texts(figure) and "n = 8 runs" in " ".join(texts(figure))


def test_variance_of_one_seed_says_that_nothing_is_tested():
    frame = grid(lambda c: 0.5 + 0.1 * (c["mapping"] == "last"), mapping=["first", "last", "emd"])
    assert any("Nothing is tested" in text for text in texts(variance_figure(frame)))


def test_seeds_show_every_run_about_its_cell():
    frame = grid(lambda c: 0.6 + 0.1 * (c["mapping"] == "last") + 0.01 * int(c["seed"]),
                 mapping=["first", "last"], seed=["1", "2", "3"])  # fmt: skip
    figure = seeds_figure(prepare(frame))
    (ax,) = figure.axes
    (dots,) = marked(ax, "runs")
    assert sorted(dots.get_xdata()) == pytest.approx([-1, -1, 0, 0, 1, 1])
    assert marked(ax, "sd")[0].get_xdata() == pytest.approx([-1, 1])
    assert "sd 1.00" in texts(figure)
    assert marked(ax, "range")[0].get_xdata() == pytest.approx([-5, 5])


def test_runs_are_counted_once_though_the_average_is_drawn_too():
    frame = grid(lambda c: 0.6 + 0.01 * int(c["seed"]), mapping=["first", "last"],
                 task=["rte", "cola"], seed=["1", "2", "3"])  # fmt: skip
    assert any(
        "n = 12 runs" in " ".join(text.split()) for text in texts(seeds_figure(prepare(frame)))
    )


def test_one_seed_has_no_sd():
    figure = seeds_figure(prepare(grid(lambda c: 0.6, mapping=["first", "last"])))
    assert "one seed" in texts(figure) and not marked(figure.axes[0], "sd")


def test_distance_to_the_teacher_by_task():
    rte, cola, average = teacher_gap_figure(prepare(full_grid())).axes
    assert [ax.get_title() for ax in (rte, cola, average)] == ["rte", "cola", "average"]
    rows = [t.get_text() for t in rte.get_yticklabels()]
    assert rows == ["none", "logits", "logits+hidden"]
    # cola: 55 + 2 for controls, 60 + 2 for hidden, against a teacher of 70
    gaps = [m.get_xdata()[0] for m in marked(cola, "mean")]
    assert gaps == pytest.approx([-13, -13, -8])
    assert marked(cola, "teacher")[0].get_xdata()[0] == 0
    assert rte.get_xlim() == cola.get_xlim()  # distances on two tasks compare


def test_a_task_without_a_run_is_missing():
    frame = grid(lambda c: None if c["task"] == "rte" else 0.5, task=["rte", "cola"],
                 knowledge=["none", "logits"])  # fmt: skip
    rte, cola, average = teacher_gap_figure(prepare(frame)).axes
    assert [len(marked(ax, "missing")) for ax in (rte, cola, average)] == [2, 0, 2]
