"""Learning curves from the history in runs.csv."""

import pytest
from drawn import full_grid, marked, texts
from fake_runs import grid

from kd.results.figures.curves import curves_figure, curves_of
from kd.results.statistics.pairing import prepare


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


STAGED = (
    "step=25 50 75 100;loss=2 1.5 1 0.9;hard=0.8 0.7 0.6 0.5;"
    "hidden*1%0-50=1 0.5 nan nan;logits*1%50-100=nan nan 0.4 0.3"
)


def of_all(frame):
    """(runs, means) drawn in the first panel, the label of its y axis, and the caption."""
    figure = curves_figure(prepare(frame))
    ax = figure.axes[0]
    caption = " ".join(next(text for text in texts(figure) if "n = " in text).split())
    return marked(ax, "runs"), marked(ax, "mean"), ax.get_ylabel(), caption


def with_histories(*histories):
    """One run a seed, with these histories."""
    frame = grid(lambda c: 0.5, seed=[str(i) for i in range(len(histories))])
    return frame.assign(history=list(histories))


def test_a_staged_run_is_drawn_like_the_others():
    plain = "step=50 100;loss=3 2;hard=0.7 0.6"
    runs, (mean,), label, caption = of_all(with_histories(plain, STAGED, plain))
    assert label == "hard-label loss" and caption.endswith("(n = 3).")
    assert runs[1].get_xydata().tolist() == [[25, 0.8], [50, 0.7], [75, 0.6], [100, 0.5]]
    assert mean.get_xdata()[[0, -1]].tolist() == [50, 100]
    assert mean.get_ydata()[[0, -1]] == pytest.approx([0.7, (0.6 + 0.5 + 0.6) / 3])


@pytest.mark.parametrize("old", ["step=", "step=100;loss=2;hard=0.5", "", "step=50 100;loss=2 1"])
def test_a_run_without_the_curve_is_not_drawn_nor_counted_nor_does_it_change_the_others(old):
    """Records of staged runs from before had one point, or none."""
    plain = "step=50 100;loss=3 2;hard=0.7 0.6"
    runs, (mean,), label, caption = of_all(with_histories(plain, old, plain))
    assert label == "hard-label loss" and len(runs) == 2 and caption.endswith("(n = 2).")
    assert mean.get_xdata()[[0, -1]].tolist() == [50, 100]


def test_where_a_series_begins_late_it_is_drawn_from_there():
    late = "step=25 50 75 100;loss=4 3 2 1;hard=nan nan 0.6 0.5"
    plain = "step=25 50 75 100;loss=4 3 2 1;hard=0.8 0.7 0.6 0.5"
    runs, (mean,), _, caption = of_all(with_histories(plain, late))
    assert runs[1].get_xydata().tolist() == [[75, 0.6], [100, 0.5]] and caption.endswith("(n = 2).")
    assert mean.get_xdata()[0] == 75 and mean.get_ydata()[[0, -1]] == pytest.approx([0.6, 0.5])


def test_trainings_that_share_no_step_have_no_mean():
    runs, means, *_ = of_all(
        with_histories("step=1 2;loss=3 2;hard=1 1", "step=50 100;loss=3 2;hard=1 1")
    )
    assert len(runs) == 2 and not means, "a mean of other runs at each step, or backwards"


def test_more_values_than_colours_show_both_ends_and_the_control_in_colour():
    """Twelve kinds of knowledge on two tasks: the legend names seven and says how many are grey."""
    names = ["logits", *(f"logits+hidden*{i}" for i in range(2, 13))]
    frame = grid(lambda c: 0.5, task=["rte", "cola"], knowledge=names)
    place = frame["knowledge"].map(names.index)
    rank = [(7 * i + 4) % 12 for i in range(12)]  # of each value: logits is in the middle
    ends = [rank[i] / 10 + (task == "cola") for i, task in zip(place, frame["task"], strict=True)]
    figure = curves_figure(prepare(frame.assign(history=[f"step=1 2;hard=3 {e}" for e in ends])))
    for ax in figure.axes:
        assert (len(marked(ax, "mean")), len(marked(ax, "others"))) == (7, 5)
        colours = {line.get_color() for line in marked(ax, "mean")}
        greys = {line.get_color() for line in marked(ax, "others")}
        assert len(colours) == 7 and not colours & greys
    shown = [name for name, at in zip(names, rank, strict=True) if at in (0, 1, 2, 4, 9, 10, 11)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*shown, "5 other values"]


def test_values_with_an_order_all_have_a_colour_of_a_scale():
    rates = [f"{i}e-05" for i in range(1, 10)]
    figure = curves_figure(prepare(grid(lambda c: 0.5, learning_rate=rates)))
    assert len({line.get_color() for line in marked(figure.axes[0], "mean")}) == 9
