"""answers/TASK.parquet: one column a run, what cannot be read is left out and named."""

import csv

import numpy as np
import pandas as pd
import pytest
from studies import tiny_study, write_study

from kd.axes.kinds import SCORES
from kd.monitor.answers import write_answers
from kd.results.answers import read_answers
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.training.predictions import Predictions, write_predictions


@pytest.fixture
def place(tmp_path):
    """A study of two seeds on a classification and a regression, its runs done in runs.csv."""
    axes = {"task": ["toy-pair", "toy-similarity"], "seed": [1, 2]}
    grid = load_grid(write_study(tmp_path, tiny_study(axes=axes)))
    record = tmp_path / "study/runs.csv"
    record.parent.mkdir()
    with record.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerows([["run", "status"], *([run, "done"] for run in grid.runs)])
    return grid, Layout(tmp_path / "results"), record


def leave(layout, run, ids=(3, 5, 8), answer=0):
    """Answers of one run: class `answer` for every example, or a score of 0.5."""
    logits = np.zeros((len(ids), run.task_row.outputs), dtype=np.float32)
    logits[:, 0 if run.task_row.kind is SCORES else answer] = 0.5
    split = Predictions(np.array(ids), np.arange(len(ids)) % 2, logits)
    layout.run(run).mkdir(parents=True, exist_ok=True)
    write_predictions(layout.run(run) / "predictions.parquet", {"dev": split})


def test_a_column_for_each_run_in_small_numbers_and_back(place):
    grid, layout, record = place
    for run in grid.runs.values():
        leave(layout, run, answer=int(run.labels["seed"]) - 1)
    assert write_answers(grid, layout, record) == []
    pair = [run for run in grid.runs.values() if run.task == "toy-pair"]
    table = pd.read_parquet(record.parent / "answers/toy-pair.parquet")
    assert list(table) == ["split", "id", "label", *(run.id for run in pair)]
    assert list(table["id"]) == [3, 5, 8] and list(table["label"]) == [0, 1, 0]
    assert [str(table[run.id].dtype) for run in pair] == ["int8", "int8"]
    assert [set(table[run.id]) for run in pair] == [{0}, {1}]
    scores = pd.read_parquet(record.parent / "answers/toy-similarity.parquet").iloc[:, 3:]
    assert set(scores.dtypes.map(str)) == {"float32"} and (scores == 0.5).all(axis=None)
    found = read_answers(record)
    assert list(found) == ["toy-pair", "toy-similarity"]
    assert found["toy-pair"].metrics == ["accuracy"] and found["toy-pair"].examples == 3
    assert found["toy-similarity"].metrics == ["pearson", "spearman"]
    assert found["toy-pair"].runs == {run.id for run in pair}


def test_examples_in_another_order_are_put_in_that_of_the_first_run(place):
    grid, layout, record = place
    first, second, *_ = grid.runs.values()
    leave(layout, first)
    split = Predictions(np.array([8, 3, 5]), np.array([0, 0, 1]), np.eye(3, 2, dtype=np.float32))
    layout.run(second).mkdir(parents=True)
    write_predictions(layout.run(second) / "predictions.parquet", {"dev": split})
    assert write_answers(grid, layout, record) == []
    table = pd.read_parquet(record.parent / f"answers/{first.task}.parquet")
    assert list(table[second.id]) == [1, 0, 0]


def test_what_is_not_done_damaged_or_of_other_examples_is_left_out(place):
    grid, layout, record = place
    one, two = [run for run in grid.runs.values() if run.task == "toy-pair"]
    leave(layout, one)
    leave(layout, two, ids=(3, 5, 9))
    (remark,) = write_answers(grid, layout, record)
    assert two.id in remark and "other examples" in remark
    (layout.run(two) / "predictions.parquet").write_text("cut off")
    (remark,) = write_answers(grid, layout, record)
    assert two.id in remark and "damaged" in remark
    assert read_answers(record)["toy-pair"].runs == {one.id}
    leave(layout, two)
    record.write_text(record.read_text().replace(f"{two.id},done", f"{two.id},failed"))
    assert write_answers(grid, layout, record) == []
    assert read_answers(record)["toy-pair"].runs == {one.id}


def test_runs_without_answers_give_no_file(place):
    grid, layout, record = place
    assert write_answers(grid, layout, record) == []
    assert read_answers(record) == {} and not (record.parent / "answers").exists()


def test_a_damaged_file_of_answers_is_one_sentence(place):
    _, _, record = place
    (record.parent / "answers").mkdir()
    (record.parent / "answers/toy-pair.parquet").write_text("not one")
    with pytest.raises(UserError, match=r"toy-pair\.parquet: damaged .* makes it again"):
        read_answers(record)


def test_a_dev_split_that_is_not_scored_is_kept_and_not_read(place):
    """A task of the user's own may have several dev splits; its score is of the first."""
    grid, layout, record = place
    run, *_ = grid.runs.values()
    leave(layout, run)
    assert write_answers(grid, layout, record) == []
    path = record.parent / f"answers/{run.task}.parquet"
    table = pd.read_parquet(path)
    assert table.attrs["scored"] == ["dev"] and table.attrs["classes"] == 2
    both = pd.concat([table, table.assign(split="hard")], ignore_index=True)
    both.attrs = table.attrs
    both.to_parquet(path)
    assert read_answers(record)[run.task].examples == 3


def test_answers_of_an_older_version_have_the_classes_that_are_there(place):
    grid, layout, record = place
    run, *_ = grid.runs.values()
    leave(layout, run, answer=1)
    write_answers(grid, layout, record)
    path = record.parent / f"answers/{run.task}.parquet"
    table = pd.read_parquet(path)
    table.attrs = {"metrics": ["accuracy"]}
    table.to_parquet(path)
    (split,) = read_answers(record)[run.task].splits
    assert split.classes == 2
