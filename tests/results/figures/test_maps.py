"""Heat maps, and width against depth."""

import numpy as np
import pytest
from drawn import full_grid, marked, texts
from fake_runs import grid
from matplotlib.patches import Patch

from kd.axes.equal_size import parse_iso
from kd.axes.shapes import parse_shape
from kd.results.figures.draw import text_of
from kd.results.figures.maps import heatmap, width_depth_figure
from kd.results.statistics.pairing import prepare


@pytest.fixture(scope="module")
def runs():
    return prepare(full_grid())


def test_heatmap_writes_every_mean_and_hatches_what_is_missing(runs):
    figure = heatmap(runs, "knowledge", "mapping")
    rte = figure.axes[0]
    assert [t.get_text() for t in rte.texts].count("missing") == 1
    assert len(marked(rte, "missing")) == 1 and isinstance(marked(rte, "missing")[0], Patch)
    assert {"57.0", "62.0"} <= {t.get_text() for t in rte.texts}
    assert "no mapping" in texts(figure)


def test_heatmap_by_task_has_a_scale_per_column(runs):
    figure = heatmap(runs, "knowledge", "task")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["rte", "cola", "average"]
    shades = ax.images[0].get_array()
    assert shades.min() == 0 and shades.max() == 1
    assert (np.nanmax(shades, axis=0) == 1).all()
    assert "62.0\n6/12" in [t.get_text() for t in ax.texts]  # rte: 'last' is missing


def test_a_larger_teacher_without_the_weak_control_has_no_better_tiles():
    """`none` is bert-base's alone; over what both teachers have, they are equal."""
    frame = grid(lambda c: 0.5 if c["knowledge"] == "none" else 0.6, seed=["1", "2"],
                 teacher=["bert-base", "bert-large"], knowledge=["none", "logits", "logits+hidden"],
                 student=["3L-384-12h-1536", "6L-768-12h-3072"])  # fmt: skip
    frame = frame[~((frame["teacher"] == "bert-large") & (frame["knowledge"] == "none"))]
    figure = heatmap(prepare(frame), "student", "teacher")
    assert [t.get_text() for t in figure.axes[0].texts if t.get_text() != "accuracy"] == [
        "60.0"
    ] * 4
    assert {"student", "teacher"} <= set(texts(figure))  # the axes are named
    assert "16 of 20 cells" in text_of(figure) or "8 of 10 cells" in text_of(figure)
    assert len(figure.axes) == 2  # the colour bar


def test_what_was_not_planned_is_blank_and_said_so(runs):
    figure = heatmap(runs, "knowledge", "mapping")
    assert "Blank tiles were not planned" in text_of(figure)
    assert figure.axes[1].images[0].get_array().mask.sum() == 5  # none and logits have no mapping


def test_width_against_depth():
    students = ["2L-744-12h-2976", "12L-300-12h-1200", "4L-312-12h-1248"]
    frame = grid(lambda c: None if c["student"][:2] == "4L" else 0.6, student=students)
    (ax,) = width_depth_figure(prepare(frame)).axes
    assert sorted(tuple(dot.get_offsets()[0]) for dot in marked(ax, "student")) == [
        (300, 12), (744, 2)
    ]  # fmt: skip
    assert len(marked(ax, "missing")) == 1 and "missing" in [t.get_text() for t in ax.texts]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["300", "744"]  # 312 is too near
    # On a line of equal size all students have as many parameters: a layer has 12 H² + 13 H, the
    # pooler and the LayerNorm of the embeddings H² + 3 H.
    sizes = []
    for line in marked(ax, "size"):
        widths, layers = line.get_data()
        size = layers * (12 * widths**2 + 13 * widths) + widths**2 + 3 * widths
        assert np.ptp(size) < 1e-6 * size[0]
        sizes.append(size[0])
    wanted = [parse_shape(student).nonembedding_parameters for student in students]
    assert sizes == pytest.approx([wanted[2], min(wanted[:2])])


@pytest.mark.parametrize(("measure", "unit"), [("params", "M"), ("flops", "GFLOPs")])
def test_lines_of_equal_size_are_in_the_measure_that_the_study_names(measure, unit):
    students = [str(s) for s, _ in parse_iso({f"iso-{measure}": "6L-384", "layers": [2, 6, 12]})]
    frame = grid(lambda c: 0.6, student=students).assign(equal_size=measure)
    (ax,) = width_depth_figure(prepare(frame)).axes
    (line,) = marked(ax, "size")
    for student in map(parse_shape, students):
        layers = np.interp(student.hidden, *line.get_data())
        assert layers == pytest.approx(student.layers, rel=0.06)
    assert any(text.get_text().endswith(unit) for text in ax.texts)
