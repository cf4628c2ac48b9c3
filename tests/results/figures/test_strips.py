"""Effects and differences: marks, labels, intervals, references, gaps."""

import numpy as np
import pandas as pd
import pytest
from drawn import full_grid, marked, texts
from fake_runs import grid, one_run

from kd.results.figures.strips import difference_figure, effect_figure
from kd.results.statistics.pairing import prepare


@pytest.fixture(scope="module")
def runs():
    return prepare(full_grid())


def test_effect_figure_shows_means_runs_references_and_what_is_missing(runs):
    figure = effect_figure(runs, "mapping")
    rte, cola, average = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["rte", "cola", "average"]
    assert {"accuracy", "Matthews", "mean of 2 tasks"} <= set(texts(figure))
    assert len(marked(cola, "mean")) == 3  # control, first, last
    assert len(marked(rte, "mean")) == len(marked(average, "mean")) == 2
    assert len(marked(rte, "missing")) == len(marked(average, "missing")) == 1
    assert marked(rte, "missing")[0].get_hatch()
    assert "missing" in texts(figure)
    assert [len(line.get_xdata()) for line in marked(cola, "runs")] == [6, 6, 6]  # every run
    close = effect_figure(runs.assign(teacher_score=0.63, majority_score=0.54), "mapping")
    near = close.axes[1]
    keys = {"teacher", "constant answer"}
    far = effect_figure(runs.assign(teacher_score=0.99, majority_score=0.01), "mapping")
    assert keys <= set(texts(close)) and not keys & set(texts(far)), "no key without its line"
    assert marked(near, "teacher")[0].get_linestyle() == "--"
    assert marked(near, "constant answer")[0].get_linestyle() == ":"
    (control, *_), first = marked(cola, "mean"), marked(cola, "mean")[1]
    assert control.get_marker() == "s" != first.get_marker()
    assert "control (logits)" in texts(figure)
    assert {"logits", "first", "last", "mapping"} <= set(texts(figure))
    assert any("Each mark averages 6 runs; 2 of 9 lack runs" in text for text in texts(figure))


def test_mean_and_interval_are_those_of_the_runs():
    scores = {"1": 0.62, "2": 0.64, "3": 0.66}
    frame = grid(lambda c: scores[c["seed"]], mapping=["first", "last"], seed=["1", "2", "3"])
    (ax,) = effect_figure(prepare(frame), "mapping").axes
    assert [line.get_ydata()[0] for line in marked(ax, "mean")] == pytest.approx([64, 64])
    low, high = ax.collections[0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(4.968, abs=1e-3)  # t(0.975, 2) * 2 / sqrt(3)


def test_a_mean_that_lacks_runs_is_hollow():
    frame = grid(lambda c: 0.5, mapping=["first", "last"], seed=["1", "2", "3"])
    frame.loc[0, ["score", "status"]] = [None, "missing"]
    figure = effect_figure(prepare(frame), "mapping")
    faces = [line.get_markerfacecolor() for line in marked(figure.axes[0], "mean")]
    assert faces[0] == "white" != faces[1]
    assert "−1" in texts(figure)


def test_a_reference_far_off_is_told_in_words_and_does_not_squeeze_the_runs():
    frame = grid(lambda c: 0.6 + 0.01 * int(c["seed"]), mapping=["a", "b"], seed=["1", "2", "3"])
    (ax,) = effect_figure(
        prepare(frame.assign(majority_score=0.0, teacher_score=0.65)), "mapping"
    ).axes
    assert not marked(ax, "constant answer") and marked(ax, "teacher")
    assert marked(ax, "far constant answer")[0].get_text() == "const. ↓0.0"
    assert ax.get_ylim()[0] > 50


def test_numbers_are_in_order_and_long_values_go_down_the_side():
    runs = prepare(grid(lambda c: 0.5, temperature=["10", "2", "1"]))
    (ax,) = effect_figure(runs, "temperature").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "10"]
    long = [
        "hidden:mse@2-1,4-2,6-3+logits:kl",
        "attention:kl@12-6+hidden:cosine@12-6",
        "embeddings",
    ]
    (ax,) = effect_figure(prepare(grid(lambda c: 0.5, knowledge=long)), "knowledge").axes
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert [label.replace("\n", "") for label in labels] == long
    assert max(len(line) for label in labels for line in label.split("\n")) <= 34


def test_difference_figure(runs):
    figure = difference_figure(runs)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "3L-384-12h-1536 · none · -" in labels
    assert len(marked(figure.axes[1], "mean")) == 6  # 2 students x (none, first, last)
    assert len(marked(figure.axes[0], "missing")) == 2
    none = marked(figure.axes[1], "mean")[0].get_xdata()[0]
    assert none == pytest.approx(0)


def test_one_wide_interval_does_not_squeeze_the_others():
    """A cell of two pairs (t = 12.7) beside cells of six: its bar is cut, and said so."""
    rng = np.random.default_rng(0)
    frame = grid(lambda c: 0.6 + rng.normal(0, 0.01), seed=list("123456"),
                 knowledge=["logits", "logits+cls", "logits+hidden", "logits+query"])  # fmt: skip
    lost = (frame["knowledge"] == "logits+cls") & ~frame["seed"].isin(["1", "2"])
    frame.loc[lost, "score"] = None
    frame.loc[(frame["knowledge"] == "logits+cls") & (frame["seed"] == "2"), "score"] = 0.65
    figure = difference_figure(prepare(frame))
    assert any("Wide intervals are cut" in text for text in texts(figure))
    low, high = figure.axes[0].get_xlim()
    assert high - low < 40 < 2 * 12.7 * 3.5 / np.sqrt(2)


def test_differences_stand_in_the_order_of_the_study(runs):
    frame = grid(lambda c: 0.5, knowledge=["logits", "logits+hidden"], seed=["1", "2"],
                 mapping=["uniform", "first", "last"], epochs=["3", "9", "10"])  # fmt: skip
    labels = [t.get_text() for t in difference_figure(prepare(frame)).axes[0].get_yticklabels()]
    cells = [label.split(" · ")[1:] for label in labels]
    assert cells[:3] == [["uniform", "3"], ["uniform", "9"], ["uniform", "10"]]
    assert [mapping for mapping, _ in cells[::3]] == ["uniform", "first", "last"]


def test_differences_of_many_cells_are_shown_by_axis():
    runs = prepare(grid(lambda c: 0.5, knowledge=["logits", "hidden"], mapping=["first", "last"],
                        epochs=[str(n) for n in range(9)]))  # fmt: skip
    labels = [label.get_text() for label in difference_figure(runs).axes[0].get_yticklabels()]
    assert labels[:3] == ["knowledge: hidden", "mapping: first", "mapping: last"]
    assert len(labels) == 3 + 9


def test_ten_panels_name_their_rows_at_the_left_and_foot_only():
    tasks = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    figure = effect_figure(
        prepare(grid(lambda c: 0.5, task=tasks, mapping=["first", "last"])), "mapping"
    )
    assert len(figure.axes) == 10
    named = [bool("".join(t.get_text() for t in ax.get_xticklabels())) for ax in figure.axes]
    assert named == [False] * 5 + [True] * 5


def test_run_with_several_teachers_has_a_line_for_each():
    rows = [
        one_run({"teacher": t}, 0.5, teacher_score=s) for t, s in (("base", 0.51), ("large", 0.52))
    ]
    (ax,) = effect_figure(prepare(pd.DataFrame(rows)), "teacher").axes
    assert [line.get_ydata()[0] for line in marked(ax, "teacher")] == pytest.approx([51, 52])
    rows = [row | {"teacher_score": row["teacher_score"] + 0.2} for row in rows]
    (ax,) = effect_figure(prepare(pd.DataFrame(rows)), "teacher").axes
    assert marked(ax, "far teacher")[0].get_text() == "teacher ↑71.0, ↑72.0"
