"""The text of a task, from TSV files, the hub or the generator, as one Parquet file a split."""

from typing import Any

import datasets
import pandas as pd
import pytest
from glue_files import GLUE_TASKS, OFFICIAL, glue_folder, text_of

from kd.axes.tasks import TASKS
from kd.data.text import load_rows, prepare
from kd.runtime.errors import UserError
from kd.runtime.files import read_json


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
