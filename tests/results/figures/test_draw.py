"""Which figures there are, and their files."""

import warnings

import numpy as np
import pytest
from drawn import figures_of, full_grid, marked
from fake_runs import grid, write
from matplotlib.figure import Figure
from PIL import Image
from slow import slow

from kd.results.figures.draw import chosen, possible, read_captions, write_figures
from kd.results.figures.style import HEIGHT
from kd.results.record import read_runs


def test_nothing_finished_and_nothing_varied():
    lost = grid(lambda c: None, task=["rte", "cola"], knowledge=["logits", "hidden"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = dict(figures_of(lost))
    for name in ("difference", "effect-knowledge", "heatmap-knowledge-task"):
        for ax in drawn[name].axes:
            assert marked(ax, "missing") and not marked(ax, "mean"), name
    assert not {"variance", "curves", "teacher-gap"} & set(drawn)
    for ax in drawn["effect-knowledge"].axes:
        assert not len(ax.get_yticks())  # no scale of nothing
    few = grid(lambda c: 0.5 if c["seed"] == "1" else None, mapping=["a", "b"], seed=["1", "2"])
    assert possible(few)[1]["seeds"] == "no cell has two seeds that are done"
    plain = grid(lambda c: 0.5)
    assert [name for name, _ in figures_of(plain)] == ["teacher-gap", "curves"]


def names(frame, asked=None):
    """What would be drawn, in order; nothing is."""
    blank = dict.fromkeys(possible(frame)[0], Figure)
    return [name for name, _ in chosen(frame, blank, asked)]


@pytest.fixture(scope="module")
def drawn():
    """Every figure of the full grid, by name: drawing them takes seconds."""
    return dict(figures_of(full_grid()))


def test_what_is_drawn_unasked(drawn):
    assert list(drawn) == [
        "difference",
        "variance",
        "effect-student",
        "effect-knowledge",
        "effect-mapping",
        "heatmap-student-mapping",
        "heatmap-knowledge-student",
        "heatmap-knowledge-mapping",
        "heatmap-knowledge-task",
        "width-depth",
        "score-parameters",
        "score-flops",
        "score-latency",
        "teacher-gap",
        "seeds",
        "curves",
    ]


def test_what_is_asked_for_is_drawn_in_that_order():
    asked = ["heatmap-mapping-student", "effect-mapping"]
    assert names(full_grid(), asked) == asked
    assert names(full_grid(), []) == []


def test_why_a_figure_is_not_there():
    one = grid(lambda c: 0.5, knowledge=["logits", "logits+hidden"])
    _, why = possible(one.assign(history="", latency_seconds=np.nan))
    assert why["seeds"] == "one seed"
    assert why["width-depth"].startswith("one student")
    assert why["curves"] == "runs.csv has no history"
    for short in ("step=", "step=8;loss=1;hard=1"):
        assert "shorter than two points" in possible(one.assign(history=short))[1]["curves"]
    students = grid(lambda c: 0.5, student=["3L-384-12h-1536", "6L-768-12h-3072"])
    assert possible(students.assign(latency_seconds=np.nan))[1]["score-latency"] == (
        "runs.csv has no latency"
    )


@pytest.mark.slow
def test_files_are_whole_and_the_same_each_time(tmp_path):
    source, out = write(full_grid(), tmp_path / "runs.csv"), tmp_path / "figures"
    out.mkdir()
    (out / "stale.png").write_text("from an older study")
    asked = ["effect-mapping", "curves", "effect-init"]
    absent = {"effect-init": "its axes do not vary among the runs"}
    assert write_figures(source, out, asked) == absent
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {"captions.md", "figures.tex", "curves.pdf", "curves.png",
                          "effect-mapping.pdf", "effect-mapping.png"}  # fmt: skip
    paper = first["figures.tex"].decode()
    assert r"\includegraphics[width=\textwidth]{effect-mapping.pdf}" in paper
    assert paper.startswith(r"\begin{figure*}"), "two panels side by side: over both columns"
    assert r"\caption{Effect of mapping. Marks are means with their 95 \% t" in paper
    write_figures(source, out, asked)
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}
    assert b"CreationDate" not in first["effect-mapping.pdf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "runs.csv"]
    captions = read_captions(out)
    assert list(captions) == ["effect-mapping", "curves", "not drawn"]
    assert "Each mark averages 6 runs" in captions["effect-mapping"]
    assert captions["not drawn"] == "- effect-init: its axes do not vary among the runs"


def ink(path):
    """Dark pixels of an image, as (rows, columns) bool."""
    return np.asarray(Image.open(path).convert("L")) < 200


@pytest.mark.parametrize("name", ["effect-mapping", "variance", "width-depth", "score-flops"])
def test_images_have_ink_in_every_corner_but_none_at_the_edge(tmp_path, name):
    """A label that runs out of the figure would leave ink at its edge."""
    write_figures(write(full_grid(), tmp_path / "runs.csv"), tmp_path / "figures", [name])
    found = ink(tmp_path / f"figures/{name}.png")
    height, width = found.shape
    assert width in (680, 1400)  # 3.4 or 7 inches at 200 dpi; the caption is not in the picture
    assert all(
        found[rows, columns].any()
        for rows in (slice(0, height // 2), slice(height // 2, None))
        for columns in (slice(0, width // 2), slice(width // 2, None))
    )
    edges = [found[:2], found[-2:], found[:, :2], found[:, -2:]]
    assert not any(edge.any() for edge in edges)


def outline(label):
    """The four corners of a text as drawn, with its rotation."""
    angle, shown = np.radians(label.get_rotation()), label.get_window_extent()
    label.set_rotation(0)
    flat = label.get_window_extent()
    label.set_rotation(np.degrees(angle))
    middle = np.array([(shown.x0 + shown.x1) / 2, (shown.y0 + shown.y1) / 2])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    half = np.array([flat.width, flat.height]) / 2
    return middle + (half * [[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ turn


def overlap(one, other):
    """Whether two rectangles do: no side of either has all of the other beyond it."""
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[3] - corners[0]):
            a, b = one @ side, other @ side
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True


def test_rectangles_that_overlap():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    assert overlap(square, np.add(square, 0.9)) and not overlap(square, np.add(square, [1.1, 0]))
    # Boxes along the axes around these two overlap either way.
    turned = np.array([[0.5, -0.5], [1.5, 0.5], [0.5, 1.5], [-0.5, 0.5]])
    assert overlap(turned, np.add(turned, 0.9)) and not overlap(turned, np.add(turned, 1.1))


def test_texts_do_not_overlap(drawn):
    """Labels of one panel stay apart, as drawn."""
    compared = 0
    for name, figure in drawn.items():
        figure.draw_without_rendering()
        for ax in figure.axes:
            for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
                shown = [label for label in labels if label.get_text() and label.get_visible()]
                outlines = [outline(label) for label in shown]
                for i, one in enumerate(outlines):
                    for j, other in enumerate(outlines[:i]):
                        texts = shown[j].get_text(), shown[i].get_text()
                        assert not overlap(one, other), (name, *texts)
                        compared += 1
    assert compared > 100


def test_a_plus_adds_to_what_is_drawn_anyway(drawn):
    more = names(full_grid(), ["+heatmap-mapping-task", "+seeds"])
    assert set(more) == {*drawn, "heatmap-mapping-task"} and len(more) == len(drawn) + 1


def test_the_pair_of_axes_that_depend_on_each_other_has_its_map():
    """Of four axes: temperature and learning rate, of no usual pair, interact."""
    axes = {"temperature": ["1", "4"], "learning_rate": ["1e-5", "5e-5"], "epochs": ["3", "9"],
            "hard_weight": ["0.1", "0.5"], "seed": ["1", "2", "3"]}  # fmt: skip
    rng = np.random.default_rng(0)

    def score(c):
        both = c["temperature"] == "4" and c["learning_rate"] == "5e-5"
        return 0.6 + 0.03 * both + rng.normal(0, 0.003)

    maps = [name for name in names(grid(score, **axes)) if name.startswith("heatmap")]
    assert maps == ["heatmap-temperature-learning_rate"]


def test_tasks_come_in_the_order_of_glue(tmp_path):
    frame = grid(lambda c: 0.5, task=["rte", "qnli", "cola"], knowledge=["none", "logits"])
    read = read_runs(write(frame, tmp_path / "runs.csv"))
    assert list(dict.fromkeys(read["task"])) == ["cola", "qnli", "rte"]


KNOWLEDGE = ["none", "logits", *(f"logits+hidden:mse@{i}-1" for i in range(1, 29))]


LEGENDS = {
    "knowledge": ["curves", "teacher-gap"],
    "student": ["curves", "score-flops", "heatmap-knowledge-student"],
}


@pytest.mark.parametrize("count", [2, *slow(30)])
def test_figures_of_many_values_have_room_for_all(tmp_path, count):
    """A legend or foot that does not fit makes matplotlib give up the layout, with a warning."""
    students = [f"{layers}L-{12 * width}-12h-{48 * width}" for layers in (2, 3, 4, 6, 8, 12)
                for width in (12, 16, 26, 32, 64)]  # fmt: skip
    frames = {
        "knowledge": grid(lambda c: 0.6, knowledge=KNOWLEDGE[:count], seed=["1", "2"]),
        "student": grid(lambda c: 0.6 + 0.001 * int(c["seed"]), student=students[:count],
                        knowledge=["none", "logits"], seed=["1", "2"]),
    }  # fmt: skip
    for axis, frame in frames.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            write_figures(write(frame, tmp_path / f"{axis}.csv"), tmp_path / axis, LEGENDS[axis])
        for path in sorted((tmp_path / axis).glob("*.png")):
            found = ink(path)
            edges = [found[:2], found[-2:], found[:, :2], found[:, -2:]]
            assert not any(edge.any() for edge in edges), path.stem


def test_titles_of_a_row_stand_at_one_height():
    """Their metrics have letters of different heights: Matthews, accuracy/F1."""
    frame = grid(lambda c: 0.6, task=["cola", "mrpc", "stsb", "rte"], mapping=["first", "last"])
    ((_, figure),) = figures_of(frame, ["effect-mapping"])
    figure.draw_without_rendering()
    tops = {round(ax.title.get_position()[1], 6) for ax in figure.axes}
    places = {round(ax.title.get_transform().transform(ax.title.get_position())[1], 2)
              for ax in figure.axes}  # fmt: skip
    assert len(tops) == len(places) == 1


def test_learning_curves_are_by_the_axis_with_the_most_values():
    frame = grid(lambda c: 0.6, knowledge=["none", "logits+hidden"],
                 mapping=["first", "last", "uniform"])  # fmt: skip
    ((_, figure),) = figures_of(frame, ["curves"])
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["no mapping", "first", "last", "uniform"]


@pytest.mark.slow
def test_a_figure_that_is_taller_than_a_page_is_drawn_in_parts(tmp_path):
    mappings = [f"last-{n}" for n in range(1, 41)]
    tasks = ["rte", "cola", "mrpc", "stsb", "sst2", "qnli"]
    frame = grid(lambda c: 0.5 + 0.01 * len(c["task"]), task=tasks, mapping=mappings, seed=["1"])
    write_figures(write(frame, tmp_path / "runs.csv"), tmp_path / "figures", ["effect-mapping"])
    captions = read_captions(tmp_path / "figures")
    assert list(captions) == ["effect-mapping", "effect-mapping-2"]
    for number, text in enumerate(captions.values(), 1):
        assert text.endswith(f"Part {number} of 2.")
    heights = [Image.open(p).height / 200 for p in (tmp_path / "figures").glob("*.png")]
    assert len(heights) == 2 and max(heights) < HEIGHT
    # The average over tasks is that of all tasks, in whatever part it is.
    drawing = possible(read_runs(tmp_path / "runs.csv"))[0]["effect-mapping"]
    whole, part = drawing(), drawing(panels_for=["average"])
    of = {ax.get_title(): ax for ax in whole.axes}["average"]
    [alone] = part.axes
    assert of.dataLim.bounds == alone.dataLim.bounds
