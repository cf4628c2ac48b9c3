"""GLUE's official TSV files: their quirks, and the errors that are found in them."""

from pathlib import Path
from typing import Any

import pytest
from glue_files import GLUE, GLUE_TASKS, OFFICIAL, glue_folder, text_of

from kd.axes.tasks import TASKS
from kd.data.identity import tsv_files
from kd.data.tsv import check_tsv, tsv_rows
from kd.runtime.errors import UserError

READ = {
    "cola": ("They drank the pub.", None, 0),
    "sst2": ("hide new secretions", None, 0),
    "mrpc": ("He said so .", "So he said .", 1),
    "stsb": ("A plane.", "An air plane.", 4.6),
    "qqp": ("How so?", "Why so?", 1),
    "mnli": ("It has rained.", "It is dry.", 2),
    "qnli": ("When?", "In May.", 0),
    "rte": ("No one.", "Some one.", 1),
    "wnli": ("It fell.", "The cup fell.", 1),
}


def write(folder: Path, content: str | bytes) -> Path:
    file = folder / "train.tsv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(folder: Path, task: str, content: str | bytes) -> list[dict[str, Any]]:
    return list(tsv_rows(write(folder, content), TASKS[task]))


def error(folder: Path, task: str, content: str | bytes) -> str:
    """The message of the error, which must name the file in one line."""
    with pytest.raises(UserError) as caught:
        read(folder, task, content)
    message = str(caught.value)
    assert str(folder / "train.tsv") in message, f"which file? {message}"
    assert "\n" not in message, f"more than one line: {message}"
    return message


@pytest.mark.parametrize("task", GLUE_TASKS)
def test_official_columns(tmp_path, task):
    rows = read(tmp_path, task, text_of(task))
    first, second, label = READ[task]
    assert rows == [{"id": 0, "sentence1": first, "sentence2": second, "label": label}], task
    assert type(rows[0]["label"]) is (float if task == "stsb" else int)


def test_cola_without_header_keeps_its_first_row(tmp_path):
    rows = read(tmp_path, "cola", "a\t1\t\tOne.\na\t0\t*\tTwo.\n")
    assert [(r["id"], r["sentence1"], r["label"]) for r in rows] == [(0, "One.", 1), (1, "Two.", 0)]


def test_a_header_is_no_row_and_ids_start_behind_it(tmp_path):
    rows = read(tmp_path, "sst2", "sentence\tlabel\na\t1\nb\t0\n")
    assert [(r["id"], r["sentence1"]) for r in rows] == [(0, "a"), (1, "b")]


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert read(tmp_path, "mrpc", text_of("mrpc"))[0]["label"] == 1
    without = text_of("mrpc").removeprefix("\ufeff")
    assert read(tmp_path, "mrpc", without)[0]["label"] == 1, "a file without the mark"


@pytest.mark.parametrize(
    "sentence", ['"Open', 'He said "no"', '"', '""', "it's", '"a""b"', '"x" y']
)
def test_quotes_are_no_quotes(tmp_path, sentence):
    rows = read(tmp_path, "sst2", f"sentence\tlabel\n{sentence}\t1\nnext\t0\n")
    assert [r["sentence1"] for r in rows] == [sentence, "next"], "a quote swallowed something"


def test_spaces_at_the_ends_are_taken_off(tmp_path):
    rows = read(tmp_path, "qnli", text_of("qnli", "0\t When ? \t In  May.  \tentailment"))
    assert (rows[0]["sentence1"], rows[0]["sentence2"]) == ("When ?", "In  May.")


@pytest.mark.parametrize("task", GLUE_TASKS)
def test_crlf(tmp_path, task):
    content = text_of(task).replace("\n", "\r\n")
    assert read(tmp_path, task, content) == read(tmp_path, task, text_of(task)), task


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_end_of_the_file(tmp_path, ending):
    rows = read(tmp_path, "rte", text_of("rte").rstrip("\n") + ending)
    assert [r["label"] for r in rows] == [1]


def test_columns_in_another_order(tmp_path):
    content = "label\tsentence2\textra\tsentence1\nentailment\tb\tx\ta\n"
    row = read(tmp_path, "rte", content)[0]
    assert (row["sentence1"], row["sentence2"], row["label"]) == ("a", "b", 0)


def test_characters_that_only_look_like_line_ends(tmp_path):
    """str.splitlines would split at these."""
    sentence = "one\u2028two\u0085three\x0bfour\x0cfive"
    rows = read(tmp_path, "sst2", f"sentence\tlabel\n{sentence}\t1\n")
    assert [r["sentence1"] for r in rows] == [sentence]


def test_text_beyond_ascii(tmp_path):
    rows = read(tmp_path, "sst2", "sentence\tlabel\nnaïve 日本 \U0001f600\t1\n")
    assert rows[0]["sentence1"] == "naïve 日本 \U0001f600"


@pytest.mark.parametrize("score", ["0", "5", "0.000", "2.375"])
def test_scores_up_to_their_bounds(tmp_path, score):
    content = f"sentence1\tsentence2\tscore\na\tb\t{score}\n"
    assert read(tmp_path, "stsb", content)[0]["label"] == float(score)


# --- its errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("task", GLUE_TASKS)
@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_empty_file(tmp_path, task, content):
    message = error(tmp_path, task, content)
    assert "empty" in message and TASKS[task].title in message


def test_header_alone(tmp_path):
    assert "empty" in error(tmp_path, "rte", "index\tsentence1\tsentence2\tlabel\n")


@pytest.mark.parametrize(
    ("task", "column"), [("rte", "sentence2"), ("mnli", "gold_label"), ("mrpc", "#1 String")]
)
def test_missing_column(tmp_path, task, column):
    message = error(tmp_path, task, text_of(task).replace(column, "other"))
    assert f"line 1: column {column!r} is missing" in message and "other" in message


def test_cola_of_too_few_columns(tmp_path):
    assert "line 1: found 2 columns, allowed: at least 4" in error(tmp_path, "cola", "a\t1\n")


@pytest.mark.parametrize(
    ("task", "bad", "allowed"),
    [
        ("cola", "a\t2\t\tOne.", "0, 1"),
        ("sst2", "good\t-1", "0, 1"),
        ("sst2", "good\t", "0, 1"),
        ("mnli", "0\t1\ta\tb\t-\t-", "entailment, neutral, contradiction"),
        ("rte", "0\ta\tb\tneutral", "entailment, not_entailment"),
    ],
)
def test_label_out_of_range(tmp_path, task, bad, allowed):
    good = OFFICIAL[task][1]
    message = error(tmp_path, task, text_of(task, good, bad))
    line = 2 if task == "cola" else 3
    assert f"line {line}: label {bad.split(chr(9))[1 if task == 'cola' else -1]!r}" in message
    assert f"allowed: {allowed}" in message


@pytest.mark.parametrize("score", ["5.1", "-0.2", "high", "", "nan", "inf"])
def test_score_out_of_range(tmp_path, score):
    content = f"sentence1\tsentence2\tscore\na\tb\t1\na\tb\t{score}\n"
    message = error(tmp_path, "stsb", content)
    assert f"line 3: score {score!r}, allowed: a number from 0 to 5" in message


@pytest.mark.parametrize("bad", ["0\tone", "0\ta\tb\tentailment\tmore", ""])
def test_wrong_number_of_columns(tmp_path, bad):
    good = OFFICIAL["rte"][1]
    message = error(tmp_path, "rte", text_of("rte", good, bad, good))
    found = len(bad.split("\t"))
    assert f"line 3: found {found} columns, allowed: 4" in message


def test_not_utf8(tmp_path):
    assert "not UTF-8" in error(tmp_path, "sst2", "sentence\tlabel\nnaïve\t1\n".encode("latin-1"))


def test_missing_folder_and_missing_split(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: found .*nowhere"):
        check_tsv(str(tmp_path / "nowhere"), "rte")
    root = glue_folder(tmp_path, "rte", "train")
    with pytest.raises(UserError, match=r"RTE/dev\.tsv: missing; RTE needs it as its dev split"):
        check_tsv(str(root), "rte")


def test_mnli_needs_both_dev_splits(tmp_path):
    root = glue_folder(tmp_path, "mnli", "train", "dev_matched")
    with pytest.raises(UserError, match=r"dev_mismatched\.tsv: missing"):
        check_tsv(str(root), "mnli")


def test_check_tsv_reads_every_row(tmp_path):
    root = glue_folder(tmp_path, "rte", "train", "dev")
    check_tsv(str(root), "rte")
    (root / "RTE" / "dev.tsv").write_text(text_of("rte", "0\ta\tb\tmaybe"), encoding="utf-8")
    with pytest.raises(UserError, match=r"dev\.tsv, line 2: label 'maybe'"):
        check_tsv(str(root), "rte")


# --- the real files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "train", "dev"),
    [("cola", 8551, 1043), ("mrpc", 3668, 408), ("rte", 2490, 277), ("stsb", 5749, 1500)],
)
def test_row_counts_of_the_official_files(task, train, dev):
    if not (GLUE / TASKS[task].folder).is_dir():
        pytest.skip("the official GLUE files are not beside this checkout")
    files = tsv_files(str(GLUE), task)
    counts = {split: sum(1 for _ in tsv_rows(file, TASKS[task])) for split, file in files.items()}
    assert counts == {"train": train, "dev": dev}
    assert TASKS[task].examples == train, "the table of tasks says another number"
