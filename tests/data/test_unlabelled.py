"""Test sets of the leaderboard: their official layouts, their errors, the hub's splits."""

from pathlib import Path

import datasets
import pytest
from glue_files import GLUE, write_test_set
from test_text import HUB_COLUMNS

from kd.axes.leaderboard import SHEETS
from kd.axes.tasks import TASKS
from kd.data.unlabelled import unlabelled_rows
from kd.runtime.errors import UserError

READ = {
    "CoLA.tsv": ("Bill whistled past the house.", None),
    "SST-2.tsv": ("uneasy mishmash of styles and genres .", None),
    "MRPC.tsv": ('He said " so .', "So he said ."),
    "STS-B.tsv": ("A girl.", "A girl too."),
    "QQP.tsv": ("Would the idea work?", "Should it?"),
    "MNLI-m.tsv": ("Hills.", "High hills."),
    "MNLI-mm.tsv": ("Hills.", "High hills."),
    "QNLI.tsv": ("When?", "In May."),
    "RTE.tsv": ("No one.", "Some one."),
    "WNLI.tsv": ("It fell.", "The cup fell."),
    "AX.tsv": ("The cat sat.", "The cat did not sit."),
}


def read(root: Path, name: str):
    return unlabelled_rows({"source": "tsv", "path": str(root)}, SHEETS[name])


@pytest.mark.parametrize("name", SHEETS)
def test_official_layouts(tmp_path, name):
    write_test_set(tmp_path, name)
    one, two = READ[name]
    assert read(tmp_path, name) == [{"id": 0, "sentence1": one, "sentence2": two}]


def test_the_order_and_the_numbers_are_those_of_the_file(tmp_path):
    write_test_set(tmp_path, "RTE.tsv", "7\ta\tb", "2\tc\td", "40\te\tf")
    rows = read(tmp_path, "RTE.tsv")
    assert [(row["id"], row["sentence1"]) for row in rows] == [(7, "a"), (2, "c"), (40, "e")]


def test_the_diagnostic_set_may_lie_in_a_folder_of_its_own_name(tmp_path):
    write_test_set(tmp_path, "AX.tsv").parent.rename(tmp_path / "AX")
    assert read(tmp_path, "AX.tsv")[0]["sentence1"] == "The cat sat."


def test_a_test_set_that_is_not_there(tmp_path):
    assert read(tmp_path, "RTE.tsv") is None
    with pytest.raises(UserError, match=r"data\.path: found .*nowhere"):
        read(tmp_path / "nowhere", "RTE.tsv")


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("RTE.tsv", ["0\ta\tb", "0\tc\td"], "the example 0 is there twice"),
        ("RTE.tsv", ["0\ta\tb", "1\tc"], "line 3: found 2 columns, allowed: 3"),
        ("RTE.tsv", ["x\ta\tb"], "line 2: index 'x', allowed: a whole number"),
        # Rows of QQP's labelled files may be broken; an example of a test set has to be answered.
        ("QQP.tsv", ["0\ta\tb", "1\tc\td\te"], "line 3: found 4 columns, allowed: 3"),
    ],
)
def test_errors_name_file_and_line(tmp_path, name, rows, message):
    file = write_test_set(tmp_path, name, *rows)
    with pytest.raises(UserError) as caught:
        read(tmp_path, name)
    assert str(file) in str(caught.value) and message in str(caught.value)


def test_a_file_with_a_header_alone(tmp_path):
    file = write_test_set(tmp_path, "RTE.tsv")
    file.write_text("index\tsentence1\tsentence2\n")
    with pytest.raises(UserError, match="empty"):
        read(tmp_path, "RTE.tsv")


@pytest.mark.parametrize("name", SHEETS)
def test_hub(monkeypatch, name):
    sheet = SHEETS[name]
    columns, calls = HUB_COLUMNS[sheet.task], []

    def load_dataset(path, config, *, revision, split):
        calls.append((path, config, revision, split))
        rows = {column: [f" {column} {i} " for i in range(2)] for column in columns}
        return datasets.Dataset.from_dict({**rows, "label": [-1, -1], "idx": [5, 3]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    rows = unlabelled_rows({"source": "hub", "revision": "abc"}, sheet)
    config, split = {
        "AX.tsv": ("ax", "test"),
        "MNLI-m.tsv": ("mnli", "test_matched"),
        "MNLI-mm.tsv": ("mnli", "test_mismatched"),
    }.get(name, (sheet.task, "test"))
    assert calls == [("nyu-mll/glue", config, "abc", split)]
    assert [row["id"] for row in rows] == [0, 1], "the leaderboard counts positions"
    assert rows[1]["sentence1"] == f"{columns[0]} 1"
    assert rows[1]["sentence2"] == (f"{columns[1]} 1" if len(columns) > 1 else None)


@pytest.mark.parametrize("name", SHEETS)
def test_the_official_files_have_the_examples_that_the_leaderboard_wants(name):
    sheet = SHEETS[name]
    if not any((GLUE / file).is_file() for file in sheet.tsv):
        pytest.skip("this official test set is not beside this checkout")
    assert [row["id"] for row in read(GLUE, name)] == list(range(sheet.examples))


def test_answers_are_the_labels_of_the_task_in_their_order():
    for sheet in SHEETS.values():
        assert sheet.answers == TASKS[sheet.task].labels
