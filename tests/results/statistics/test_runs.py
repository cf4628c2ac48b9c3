"""What is read from runs.csv, and which columns are axes."""

import pandas as pd
import pytest
from fake_runs import frame_of, grid, one_run, row_of, three_seeds, write

from kd.results.record import read_runs
from kd.results.statistics.cells import summarise
from kd.results.statistics.runs import (
    axes,
    control_of,
    disagreements,
    followers,
    levels,
    metric,
    studied,
    values_of,
)
from kd.runtime.errors import UserError


def test_axes_are_what_varies_in_the_fixed_order():
    frame = grid(lambda cell: 0.5, seed=["1", "2"], mapping=["first", "last"], task=["rte", "cola"])
    assert axes(frame) == ["task", "mapping", "seed"]
    assert studied(frame) == ["mapping"]


def test_what_follows_another_axis_is_no_axis():
    frame = frame_of(
        one_run({"knowledge": "logits+hidden", "matching": "mse"}, 0.5),
        one_run({"knowledge": "logits+attention", "matching": "kl"}, 0.5),  # follows the knowledge
        one_run({"knowledge": "logits"}, 0.5),  # mapping '-': it cannot matter
        one_run({"knowledge": "logits+hidden", "task": "mnli", "epochs": "10"}, 0.5),  # the task
    )
    assert axes(frame) == ["task", "knowledge"]


def test_control_falls_back_to_none():
    frame = three_seeds().replace({"knowledge": {"logits": "none"}})
    assert control_of(frame) == "none"
    assert row_of(summarise(frame), knowledge="logits+hidden").control == "none"
    assert control_of(frame[frame.knowledge != "none"]) == ""


def test_score_of_a_run_that_is_not_done_does_not_count(tmp_path):
    frame = three_seeds()
    frame.loc[5, "status"] = "failed"
    row = row_of(
        summarise(read_runs(write(frame, tmp_path / "runs.csv"))), knowledge="logits+hidden"
    )
    assert (row.n, row["mean"]) == (2, pytest.approx(0.63))


def test_read_runs_keeps_text_and_names_a_wrong_file(tmp_path):
    frame = read_runs(write(three_seeds().assign(warmup=None), tmp_path / "runs.csv"))
    assert frame["learning_rate"].iloc[0] == "5e-05"
    assert frame["warmup"].iloc[0] == "-"
    assert frame["error"].iloc[0] == ""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"not a runs\.csv"):
        read_runs(tmp_path / "other.csv")


def test_levels_and_disagreements():
    assert levels(pd.Series(["10", "-", "2 = 4", "1e-05"])) == ["-", "1e-05", "2", "4", "10"]
    assert levels(pd.Series(["uniform", "first = last", "uniform"])) == ["uniform", "first", "last"]
    frame = pd.DataFrame({"a": ["x", "x = y", "y", "-"], "b": ["1", "1", "2", "2"]})
    assert disagreements(frame, ["a", "b"]).tolist() == [
        [0, 0, 2, 1],
        [0, 0, 1, 1],
        [2, 1, 0, 0],
        [1, 1, 0, 0],
    ]


NO_RUNS = pd.DataFrame({"task": []})


def test_metric_names():
    assert metric("cola", NO_RUNS) == "Matthews"
    assert metric("stsb", NO_RUNS) == "mean of Pearson and Spearman"
    assert metric("mrpc", NO_RUNS) == "mean of accuracy and F1"
    assert metric("rte", NO_RUNS) == metric("toy-pair", NO_RUNS) == "accuracy"


def test_a_column_that_follows_another_axis_is_named_with_it():
    students = ["3L-384-12h-1536", "6L-768-12h-3072"]
    frame = grid(lambda c: 0.5, student=students, mapping=["first", "last"])
    frame["learning_rate"] = frame["student"].map(
        dict(zip(students, ["1e-4", "5e-5"], strict=True))
    )
    assert followers(frame) == {"learning_rate": "student"}
    assert studied(frame) == ["student", "mapping"]


def test_what_is_set_for_each_student_on_each_task_follows_the_student():
    """On one task it is one value a student, though the tasks differ."""
    students = ["3L-384-12h-1536", "6L-768-12h-3072"]
    frame = grid(lambda c: 0.5, student=students, task=["rte", "cola"])
    rate = {
        ("rte", "3"): "1e-4",
        ("rte", "6"): "5e-5",
        ("cola", "3"): "2e-5",
        ("cola", "6"): "1e-5",
    }
    frame["learning_rate"] = [rate[t, s[0]] for t, s in zip(frame.task, frame.student, strict=True)]
    assert followers(frame) == {"learning_rate": "student"}
    assert axes(frame) == ["task", "student"]


def test_what_a_preset_sets_is_no_axis_of_its_own():
    """A preset stands for knowledge, mapping, initialisation, ...: it leads, wherever it stands."""
    rows = [
        one_run({"knowledge": "logits", "init": "teacher-uniform", "temperature": "2"}, 0.5),
        one_run({"knowledge": "hidden", "init": "teacher-last", "temperature": "8"}, 0.6),
        one_run({"knowledge": "attention", "init": "random", "temperature": "4"}, 0.7),
    ]
    frame = frame_of(*rows).assign(preset=["distilbert", "pkd", "tinybert"])
    assert axes(frame) == ["preset"]
    assert followers(frame) == dict.fromkeys(["init", "knowledge", "temperature"], "preset")


def test_controls_beside_presets_are_values_of_the_same_axis(tmp_path):
    cells = [
        ({"knowledge": "none"}, 0.5),
        ({"knowledge": "logits"}, 0.55),
        ({"preset": "minilm", "knowledge": "attention", "mapping": "last-only"}, 0.6),
        ({"preset": "pkd-skip", "knowledge": "cls", "temperature": "10"}, 0.7),
    ]
    path = write(frame_of(*(one_run(*cell) for cell in cells)), tmp_path / "runs.csv")
    frame = read_runs(path)
    assert list(frame["preset"]) == ["none", "logits", "minilm", "pkd-skip"]
    assert axes(frame) == ["preset"]


def test_a_file_from_before_a_column_existed_is_read(tmp_path):
    old = three_seeds().drop(columns=["history", "latency_seconds", "teacher_shape", "precision"])
    frame = read_runs(write(old, tmp_path / "runs.csv"))
    assert (frame["precision"] == "auto").all()  # what the code did then
    assert frame["latency_seconds"].isna().all() and (frame["history"] == "").all()
    assert len(summarise(frame)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.assign(score="good"),
            r"line 2 \(run rte-.*\): score: found 'good', allowed: a number",
        ),
        (lambda f: pd.concat([f, f[:1]]), "is there twice"),
        (lambda f: f.drop(columns=["seed", "task"]), "it has no column task, seed"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        read_runs(write(change(three_seeds()), tmp_path / "runs.csv"))
    with pytest.raises(UserError, match="no such file"):
        read_runs(tmp_path / "none.csv")


def test_a_column_that_follows_a_follower_alone_is_an_axis():
    """A temperature for each student; epochs differ between the runs of a student too."""
    small, large = "3L-384-12h-1536", "6L-768-12h-3072"
    cells = [(small, "none", "-", "1"), (small, "logits", "2", "3"),
             (large, "none", "-", "1"), (large, "logits", "4", "5")]  # fmt: skip
    names = ("student", "knowledge", "temperature", "epochs")
    frame = frame_of(*(one_run(dict(zip(names, cell, strict=True)), 0.5) for cell in cells))
    assert followers(frame) == {"temperature": "student"}
    assert "epochs" in studied(frame)


def test_values_come_in_the_order_of_the_study_though_its_first_setting_lacks_one():
    """'uniform' is excluded for the first student; 'random' is 'uniform' at the first seed."""
    frame = grid(lambda c: 0.5, student=["3L-384-12h-1536", "6L-768-12h-3072"], seed=["1", "2"],
                 mapping=["uniform", "first", "last", "random"])  # fmt: skip
    small = frame["student"].str.startswith("3")
    late = frame[~(small & (frame["mapping"] == "uniform"))]
    assert levels(late["mapping"])[0] == "first"
    assert values_of(late, "mapping") == ["uniform", "first", "last", "random"]
    drawn = frame["mapping"].isin(["uniform", "random"]) & (frame["seed"] == "1")
    alike = frame.assign(mapping=frame["mapping"].mask(drawn, "uniform = random"))
    alike = alike.drop_duplicates(["student", "mapping", "seed"])
    assert levels(alike["mapping"]) == ["uniform", "first", "last", "random"]
    assert values_of(alike, "mapping") == ["uniform", "first", "last", "random"]


def test_values_of_settings_that_disagree_stand_as_they_appear():
    rows = [("1", "first"), ("1", "last"), ("2", "last"), ("2", "first")]
    frame = frame_of(*(one_run({"epochs": e, "mapping": m}, 0.5) for e, m in rows))
    assert values_of(frame, "mapping") == ["first", "last"]


def test_students_and_teachers_stand_by_their_size():
    shapes = ["12L-768", "2L-128", "6L-768-12h-3072", "3L-768"]
    assert levels(pd.Series(shapes)) == ["2L-128", "3L-768", "6L-768-12h-3072", "12L-768"]
    assert levels(pd.Series(["bert-large", "bert-base"])) == ["bert-base", "bert-large"]
