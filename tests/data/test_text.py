"""Loading GLUE: the quirks of the official TSV files, their errors, and the hub's columns."""

from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from kd.axes.tasks import TASKS
from kd.data.identity import tsv_files
from kd.data.text import load_rows, prepare
from kd.data.tsv import check_tsv, tsv_rows
from kd.runtime.errors import UserError
from kd.runtime.files import read_json

GLUE = Path(__file__).parents[3] / "shared" / "glue"
GLUE_TASKS = [name for name, row in TASKS.items() if not row.synthetic]

# A header and one good row of each task, with more columns than are read, as in the official files.
OFFICIAL = {
    "cola": (None, "gj04\t0\t*\tThey drank the pub."),
    "sst2": ("sentence\tlabel", "hide new secretions \t0"),
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "1\t702876\t702977\tHe said so .\tSo he said .",
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tmain\tfile\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t4.600",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "133273\t213221\t213222\tHow so?\tWhy so?\t1",
    ),
    "mnli": (
        "index\tpromptID\tsentence1\tsentence2\tlabel1\tgold_label",
        "0\t31193\tIt has rained.\tIt is dry.\tneutral\tcontradiction",
    ),
    "qnli": ("index\tquestion\tsentence\tlabel", "0\tWhen?\tIn May.\tentailment"),
    "rte": ("index\tsentence1\tsentence2\tlabel", "0\tNo one.\tSome one.\tnot_entailment"),
    "wnli": ("index\tsentence1\tsentence2\tlabel", "0\tIt fell.\tThe cup fell.\t1"),
}
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


def text_of(task: str, *rows: str) -> str:
    header, row = OFFICIAL[task]
    return "\n".join([*([header] if header else []), *(rows or (row,))]) + "\n"


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


# --- TSV --------------------------------------------------------------------------------------


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


def glue_folder(root: Path, task: str, *splits: str) -> Path:
    folder = root / TASKS[task].folder
    folder.mkdir(parents=True)
    for split in splits:
        (folder / f"{split}.tsv").write_text(text_of(task), encoding="utf-8")
    return root


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


# --- prepare ----------------------------------------------------------------------------------


def test_prepare_writes_every_split_and_a_manifest(tmp_path):
    root, out = (
        glue_folder(tmp_path / "glue", "mnli", "train", "dev_matched", "dev_mismatched"),
        (tmp_path / "out"),
    )
    prepare({"source": "tsv", "path": str(root)}, TASKS["mnli"], out)
    manifest = read_json(out / "manifest.json")
    assert manifest["examples"] == {"train": 1, "dev": 1, "dev_mismatched": 1}
    assert manifest["data"]["source"] == "tsv" and str(root) not in str(manifest), (
        "a local path became part of the identity"
    )
    for split in TASKS["mnli"].splits:
        frame = pd.read_parquet(out / f"{split}.parquet")
        assert list(frame.columns) == ["id", "sentence1", "sentence2", "label"]
        assert frame["label"].tolist() == [2]


def test_prepare_leaves_nothing_behind_where_it_fails(tmp_path):
    root = glue_folder(tmp_path / "glue", "rte", "train", "dev")
    (root / "RTE" / "dev.tsv").write_text(text_of("rte", "0\ta\tb\tmaybe"), encoding="utf-8")
    with pytest.raises(UserError):
        prepare({"source": "tsv", "path": str(root)}, TASKS["rte"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["glue"]


def test_fingerprint_follows_the_text(tmp_path):
    prints = []
    for name, row in (("a", "0\ta\tb\tentailment"), ("b", "0\ta\tc\tentailment")):
        root = glue_folder(tmp_path / name, "rte", "train", "dev")
        (root / "RTE" / "train.tsv").write_text(text_of("rte", row), encoding="utf-8")
        prepare({"source": "tsv", "path": str(root)}, TASKS["rte"], tmp_path / name / "out")
        manifest = read_json(tmp_path / name / "out" / "manifest.json")
        prints.append((manifest["fingerprint"], manifest["data"]["fingerprint"]))
    assert all(a != b for a, b in zip(*prints, strict=True)), "another text, the same fingerprint"


def test_broken_rows_of_qqp_are_counted_and_said(tmp_path, capsys):
    root = glue_folder(tmp_path / "glue", "qqp", "train", "dev")
    good, bad = OFFICIAL["qqp"][1], "1\t2\t3\tHow"
    (root / "QQP/train.tsv").write_text(text_of("qqp", good, bad, good, bad, bad, good))
    prepare({"source": "tsv", "path": str(root)}, TASKS["qqp"], tmp_path / "out")
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert manifest["broken_rows"] == {"train": 3, "dev": 0}
    assert manifest["examples"] == {"train": 3, "dev": 1}
    assert pd.read_parquet(tmp_path / "out/train.parquet")["id"].tolist() == [0, 2, 5]
    said = capsys.readouterr().out
    assert f"{root / 'QQP/train.tsv'}: 3 broken rows left out, the first in line 3" in said
    assert "dev.tsv" not in said


def test_a_task_whose_files_are_whole_has_no_count(tmp_path):
    root = glue_folder(tmp_path / "glue", "rte", "train", "dev")
    prepare({"source": "tsv", "path": str(root)}, TASKS["rte"], tmp_path / "out")
    assert not {"broken_rows", "revision"} & set(read_json(tmp_path / "out" / "manifest.json"))


def test_synthetic_rows():
    rows = list(load_rows({"source": "synthetic", "train": 20, "seed": 0}, "toy-pair", "train"))
    assert [r["id"] for r in rows] == list(range(20))
    assert {r["label"] for r in rows} == {0, 1} and all(r["sentence2"] for r in rows)


# --- the hub ----------------------------------------------------------------------------------

HUB_COLUMNS = {
    "cola": ("sentence",),
    "sst2": ("sentence",),
    "mrpc": ("sentence1", "sentence2"),
    "stsb": ("sentence1", "sentence2"),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
    "qnli": ("question", "sentence"),
    "rte": ("sentence1", "sentence2"),
    "wnli": ("sentence1", "sentence2"),
}


def hub_dataset(task: str, split: str, label: float) -> datasets.Dataset:
    """Two rows as on the hub: the text columns, label, idx."""
    columns = {name: [f" {split} {name} {i} " for i in range(2)] for name in HUB_COLUMNS[task]}
    return datasets.Dataset.from_dict({**columns, "label": [label] * 2, "idx": [7, 8]})


@pytest.mark.parametrize("task", GLUE_TASKS)
def test_hub(task, monkeypatch, tmp_path):
    calls = []
    label = 4.25 if task == "stsb" else 1

    def load_dataset(path: str, name: str, *, revision: str, split: str) -> datasets.Dataset:
        calls.append((path, name, revision, split))
        return hub_dataset(task, split, label)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    prepare({"source": "hub", "revision": "abc123"}, TASKS[task], tmp_path / "out")
    dev = ["validation_matched", "validation_mismatched"] if task == "mnli" else ["validation"]
    wanted = [("nyu-mll/glue", task, "abc123", split) for split in ("train", *dev)]
    assert calls == wanted, f"{task}: other splits or another revision were asked for"

    names = HUB_COLUMNS[task]
    for split, (*_, source) in zip(TASKS[task].splits, calls, strict=True):
        frame = pd.read_parquet(tmp_path / "out" / f"{split}.parquet")
        assert frame["id"].tolist() == [0, 1]
        for column, name in zip(("sentence1", "sentence2"), names, strict=False):
            assert frame[column].tolist() == [f"{source} {name} {i}" for i in range(2)], task
        assert len(names) == 2 or frame["sentence2"].isna().all()
        assert frame["label"].tolist() == [label] * 2
    identity = read_json(tmp_path / "out" / "manifest.json")["data"]
    assert identity == {"source": "hub", "revision": "abc123"}


def hub_rows(monkeypatch: pytest.MonkeyPatch, load_dataset: Any) -> list[dict[str, Any]]:
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return list(load_rows({"source": "hub", "revision": "main"}, "rte", "train"))


def test_hub_out_of_reach_is_a_sentence(monkeypatch):
    def load_dataset(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto host")

    with pytest.raises(UserError, match=r"nyu-mll/glue \(rte, train, revision main\)") as caught:
        hub_rows(monkeypatch, load_dataset)
    assert "ConnectionError: no route to host" in str(caught.value)


def test_hub_without_a_column_is_a_sentence(monkeypatch):
    def load_dataset(*_: Any, **__: Any) -> datasets.Dataset:
        return datasets.Dataset.from_dict({"sentence1": ["a"], "label": [0]})

    with pytest.raises(UserError, match="'sentence2' is missing; found sentence1, label"):
        hub_rows(monkeypatch, load_dataset)


@pytest.mark.parametrize("label", [-1, 2])
def test_hub_labels_out_of_range_are_a_sentence(monkeypatch, tmp_path, label):
    """-1 is what the hub has in the place of the labels of a test split."""
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: hub_dataset("rte", "x", label))
    with pytest.raises(UserError, match=rf"rte, split train: labels from {label} to {label}"):
        prepare({"source": "hub", "revision": "main"}, TASKS["rte"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def from_commits(monkeypatch, *commits):
    """`load_dataset` gives splits that came from these commits, one after the other."""
    left = list(commits)

    def load_dataset(*_: Any, split: str, **__: Any) -> datasets.Dataset:
        found = hub_dataset("rte", split, 1)
        address = f"hf://datasets/nyu-mll/glue@{left.pop(0)}/rte/{split}.parquet"
        found.info.download_checksums = {address: {}}
        return found

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


def test_the_commit_that_was_loaded_is_in_the_manifest(monkeypatch, tmp_path):
    from_commits(monkeypatch, "a" * 40, "a" * 40)
    prepare({"source": "hub", "revision": "main"}, TASKS["rte"], tmp_path / "out")
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert manifest["revision"] == "a" * 40
    assert manifest["data"] == {"source": "hub", "revision": "main"}, "the identity is as before"


def test_where_the_commit_is_not_known_the_revision_is(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: hub_dataset("rte", "x", 1))
    prepare({"source": "hub", "revision": "v1"}, TASKS["rte"], tmp_path / "out")
    assert read_json(tmp_path / "out" / "manifest.json")["revision"] == "v1"


def test_splits_of_two_commits_are_a_sentence(monkeypatch, tmp_path):
    from_commits(monkeypatch, "a" * 40, "b" * 40)
    with pytest.raises(
        UserError, match=r"data\.revision main: nyu-mll/glue changed while"
    ) as caught:
        prepare({"source": "hub", "revision": "main"}, TASKS["rte"], tmp_path / "out")
    assert "a" * 40 in str(caught.value) and "b" * 40 in str(caught.value)
    assert not (tmp_path / "out").exists()


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
