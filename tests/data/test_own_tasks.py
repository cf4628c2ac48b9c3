"""Tasks of the user's own: reading, errors, identity, facts."""

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kd.axes.tasks import Task
from kd.data.own_reading import _sorted, own_splits
from kd.data.own_tasks import own_facts, own_identity
from kd.runtime.errors import UserError
from kd.study.task_keys import own_tasks

PUBLIC = Path(__file__).parents[3] / "shared" / "tasks"
ROWS = [("good film", "yes"), ("bad, bad film", "no"), ('a "fine" one', "yes"), ("dull", "no")]


def task(folder: Path, **keys: Any) -> Task:
    """A task of train.csv and dev.csv in `folder`; a change to None removes the key."""
    usual = {"train": "train.csv", "dev": "dev.csv", "text": "text", "label": "label"}
    given = {k: v for k, v in {**usual, **keys}.items() if v is not None}
    return own_tasks({"mine": given}, folder / "study.yaml")["mine"]


def write(folder: Path, name: str = "train.csv", rows: Any = ROWS, **more: Any) -> Path:
    """Rows of text and label as a file of the format that its name tells."""
    frame, path = pd.DataFrame(rows, columns=more.pop("columns", ["text", "label"])), folder / name
    plain = name.removesuffix(".gz")
    if plain.endswith(".parquet"):
        frame.to_parquet(path, index=False)
    elif plain.endswith(".jsonl"):
        frame.to_json(path, orient="records", lines=True, **more)
    else:
        frame.to_csv(path, index=False, sep="\t" if plain.endswith(".tsv") else ",", **more)
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.ndjson", "a.jsonl.gz", "a.parquet"]
)
def test_every_format_gives_the_same_examples(tmp_path, name):
    write(tmp_path, name.replace("ndjson", "jsonl"))
    if name.endswith("ndjson"):
        (tmp_path / "a.jsonl").rename(tmp_path / name)
    quotes = {"quotes": True} if name.endswith("tsv") else {}
    found = own_splits(task(tmp_path, train=name, dev=name, **quotes))
    assert list(found) == ["train", "dev"]
    assert found["train"]["sentence1"].tolist() == [text for text, _ in ROWS]
    assert found["train"]["label"].tolist() == [1, 0, 1, 0]  # no, yes
    assert found["train"]["id"].tolist() == [0, 1, 2, 3]


def test_windows_files_have_a_mark_and_other_line_ends(tmp_path):
    text = "text,label\r\n" + "".join(f'"{i} ""x""",{i % 2}\r\n' for i in range(4))
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    frame = own_splits(task(tmp_path, dev="train.csv"))["train"]
    assert frame["sentence1"].tolist() == [f'{i} "x"' for i in range(4)]
    assert frame["label"].tolist() == [0, 1, 0, 1]


def test_old_spreadsheets_have_other_line_ends(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\ra,x\rb,y\r", newline="")
    frame = own_splits(task(tmp_path, dev="train.csv"))["train"]
    assert frame["sentence1"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("raw", "likely"),
    [("it\u2019s", "cp1252"), ("caf\u00e9", "iso-8859-1"), ("abc", "utf-16")],
)
def test_another_encoding_is_named(tmp_path, raw, likely):
    (tmp_path / "train.csv").write_bytes(f"text,label\n{raw},x\nb,y\n".encode(likely))
    with pytest.raises(UserError, match=f"give the task the key encoding, such as {likely}"):
        own_facts(task(tmp_path, dev="train.csv"))
    frame = own_splits(task(tmp_path, dev="train.csv", encoding=likely))["train"]
    assert frame["sentence1"].tolist() == [raw, "b"]


def test_half_a_character_is_named(tmp_path):
    lines = [{"text": "a", "label": "x"}, {"text": "b \ud83d", "label": "y"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match=r"a.jsonl, row 2: text \(text\): found \\ud83d, half"):
        own_facts(task(tmp_path, train="a.jsonl", dev="a.jsonl"))


def test_a_column_that_pandas_saved_as_its_index_is_a_column(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["text", "label"]).set_index("text")
    frame.to_parquet(tmp_path / "a.parquet")
    found = own_splits(task(tmp_path, train="a.parquet", dev="a.parquet"))
    assert found["train"]["sentence1"].tolist() == [text for text, _ in ROWS]


def test_positions_need_no_header(tmp_path):
    (tmp_path / "train.csv").write_text("0,so so,x\n1,very good,y\n")
    found = own_splits(task(tmp_path, dev="train.csv", text=1, label=2, header=False))
    assert found["train"]["sentence1"].tolist() == ["so so", "very good"]


def test_labels_are_sorted_by_number_or_by_letter_or_as_given(tmp_path):
    write(tmp_path, rows=[("a", 10), ("b", 9), ("c", 2)])
    numbers = task(tmp_path, dev="train.csv")
    assert own_facts(numbers).labels == ("2", "9", "10")
    given = task(tmp_path, dev="train.csv", labels=[9, 2, 10])
    assert own_splits(given)["train"]["label"].tolist() == [2, 0, 1]
    write(tmp_path, "words.csv")
    assert own_facts(task(tmp_path, train="words.csv", dev="words.csv")).labels == ("no", "yes")


def test_a_share_has_the_shares_of_the_labels_and_stays(tmp_path):
    write(tmp_path, rows=[(f"text {i}", "rare" if i % 10 == 0 else "usual") for i in range(200)])
    found = own_splits(task(tmp_path, dev={"share": 0.2, "seed": 3}))
    assert [len(frame) for frame in found.values()] == [160, 40]
    assert found["dev"]["label"].value_counts().to_dict() == {1: 36, 0: 4}
    assert not set(found["train"]["id"]) & set(found["dev"]["id"])
    again = own_splits(task(tmp_path, dev={"share": 0.2, "seed": 3}))
    assert again["dev"]["id"].tolist() == found["dev"]["id"].tolist()
    other = own_splits(task(tmp_path, dev={"share": 0.2, "seed": 4}))
    assert other["dev"]["id"].tolist() != found["dev"]["id"].tolist()


def test_a_regression_has_its_own_range(tmp_path):
    write(tmp_path, rows=[("a", 1), ("b", 4.5), ("c", 5)])
    keys = {"dev": "train.csv", "regression": [1, 5]}
    assert own_splits(task(tmp_path, **keys))["dev"]["label"].tolist() == [1, 4.5, 5]
    with pytest.raises(
        UserError, match=r"train.csv, row 2: score '4.5', allowed: a number from 1 to 4"
    ):
        own_facts(task(tmp_path, **{**keys, "regression": [1, 4]}))


BROKEN = {
    "text,label\na,x\n,y\n": r"train.csv, row 2: the text \(text\) is empty",
    "text,label\na,x\nb,\n": r"train.csv, row 2: the label \(label\) is empty",
    "txt,label\na,x\nb,y\n": r"column 'text' is missing; found txt, label \(did you mean txt\?\)",
    "text,label\na,x\nb,x\n": "every label is 'x': nothing to learn",
    "text,label\na,x\nb,y,z\n": "row 2 has 3 columns, and the header has 2; a comma in a text",
    "text,label\na,b,x\nc,d,y\n": "row 1 has 3 columns, and the header has 2",
    "text;label\na;x\nb;y\n": "found one column, 'text;label', allowed: columns that are",
    "text,label\na,x\nb\n": r"train.csv, row 2: the label \(label\) is empty",
    "text,label\na,x\n" + '"b,y\n': "not a CSV file",
    "text,label\n": "no rows",
    " ": "empty",
}


@pytest.mark.parametrize("content", BROKEN, ids=list(range(len(BROKEN))))
def test_what_is_wrong_is_one_sentence(tmp_path, content):
    (tmp_path / "train.csv").write_text(content)
    write(tmp_path, "dev.csv", [("a", "x"), ("b", "y")])
    with pytest.raises(UserError, match=BROKEN[content]) as error:
        own_facts(task(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_missing_value_of_pandas_is_empty(tmp_path, column):
    """Its own types have one, which is written as text otherwise."""
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]})
    frame.loc[1, column] = None
    frame.convert_dtypes().to_parquet(tmp_path / "train.parquet")
    write(tmp_path, "dev.parquet", [("a", "x"), ("b", "y")])
    with pytest.raises(UserError, match=rf"row 2: the {column} \({column}\) is empty"):
        own_facts(task(tmp_path, train="train.parquet", dev="dev.parquet"))


@pytest.mark.parametrize("text", [["b", "c"], {"en": "b"}])
def test_text_that_is_a_list_or_a_mapping_is_refused(tmp_path, text):
    rows = [{"text": "a", "label": "x"}, {"text": text, "label": "y"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"train.jsonl, row 2: text \(text\): found .*b.*, allowed"):
        own_facts(task(tmp_path, train="train.jsonl", dev="train.jsonl"))


def test_labels_that_the_training_lacks(tmp_path):
    write(tmp_path)
    write(tmp_path, "dev.csv", [("good", "yes"), ("so so", "maybe")])
    with pytest.raises(UserError, match=r"dev.csv, row 2: label 'maybe', allowed: .*: no, yes"):
        own_facts(task(tmp_path))
    with pytest.raises(UserError, match="no training example has the label 'maybe'"):
        own_facts(task(tmp_path, dev="train.csv", labels=["yes", "no", "maybe"]))


def test_the_encoding_is_named_with_line_and_byte(tmp_path):
    (tmp_path / "train.csv").write_bytes("text,label\nold,x\ncafé,y\n".encode("latin-1"))
    plain = task(tmp_path, dev="train.csv")
    with pytest.raises(
        UserError, match=r"train.csv, line 3: byte 4 of the line is 0xe9.*iso-8859-1"
    ):
        own_facts(plain)
    found = own_splits(task(tmp_path, dev="train.csv", encoding="latin-1"))
    assert found["train"]["sentence1"].tolist() == ["old", "café"]


def test_a_mark_at_the_start_counts_as_bytes(tmp_path):
    text = "text,label\nold,x\ncafé,y\n"
    (tmp_path / "train.csv").write_bytes(codecs.BOM_UTF8 + text.encode("latin-1"))
    with pytest.raises(UserError, match=r"line 3: byte 4 of the line is 0xe9"):
        own_facts(task(tmp_path, dev="train.csv"))


def test_numbers_in_json_stay_as_written(tmp_path):
    values = [0.1, 0.3, 0.7, 123456789012345678, 123456789012345679, 10**25]
    rows = [{"text": f"text {i}", "label": value} for i, value in enumerate(values)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = own_facts(task(tmp_path, train="a.jsonl", dev="a.jsonl"))
    assert set(found.labels) == set(map(str, values))
    scores = task(tmp_path, train="a.jsonl", dev="a.jsonl", regression=[0, 1])
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    assert own_splits(scores)["train"]["label"].tolist() == values[:3]


@pytest.mark.parametrize(
    ("line", "message"),
    [("null", "found "), ("[1, 2]", r"found \[1, 2\]"), ('{"text": ', "not JSON"),
     ("9" * 5000, "not JSON")],
)  # fmt: skip
def test_a_line_that_is_no_object_is_named(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text(f'\n{{"text": "x", "label": 1}}\n{line}\n')
    with pytest.raises(UserError, match=rf"a\.jsonl, line 3: {message}"):
        own_facts(task(tmp_path, train="a.jsonl", dev="a.jsonl"))


@pytest.mark.parametrize(
    ("name", "keys"),
    [("a.jsonl", {"quotes": False}), ("a.jsonl", {"header": False}),
     ("a.parquet", {"encoding": "latin-1"}), ("a.txt", {"format": "lines", "header": True})],
)  # fmt: skip
def test_a_key_that_changes_nothing_is_refused(tmp_path, name, keys):
    key = list(keys)[-1]
    with pytest.raises(UserError, match=rf"mine: {key}: it would change nothing: \w+ files"):
        task(tmp_path, train=name, dev=name, **keys)


def test_words_that_yaml_reads_as_truth_values_are_no_labels(tmp_path):
    with pytest.raises(UserError, match=r"labels: found False, allowed: names; put yes, no"):
        task(tmp_path, labels=[False, True])


def test_files_that_are_not_what_they_say(tmp_path):
    for name, reason in (("train.parquet", "not a Parquet"), ("train.jsonl", "")):
        (tmp_path / name).write_text("text\n{")
        with pytest.raises(UserError, match=f"{name}(: {reason}|, line 1: not JSON)"):
            own_facts(task(tmp_path, train=name, dev=name))
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(b"text,label\n" * 99)[:30])
    with pytest.raises(UserError, match="damaged gzip"):
        own_facts(task(tmp_path, train="train.csv.gz", dev="train.csv.gz"))
    write(tmp_path)
    with pytest.raises(UserError, match=r"dev.csv: missing"):
        own_facts(task(tmp_path))


def test_identity_is_content_and_description(tmp_path):
    """Neither a path nor a name changes it; all that changes the numbers does."""
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write(folder)
        write(folder, "dev.csv", ROWS[:2])
    usual = own_identity(task(first))
    assert own_identity(task(second)) == usual
    (second / "train.csv").rename(second / "other.csv")
    assert own_identity(task(second, train="other.csv")) == usual
    assert str(tmp_path) not in json.dumps(usual) and "mine" not in json.dumps(usual)
    changes: list[dict[str, Any]] = [
        {"labels": ["yes", "no"]}, {"metrics": ["macro-f1"]}, {"text": 0}, {"dev": "train.csv"},
        {"encoding": "latin-1"}, {"quotes": False}, {"dev": {"share": 0.5}},
        {"dev": {"dev": "dev.csv", "hard": "dev.csv"}}, {"dev": {"share": 0.5, "seed": 1}},
    ]  # fmt: skip
    found = [json.dumps(own_identity(task(first, **change))) for change in changes]
    assert len({json.dumps(usual), *found}) == len(changes) + 1


def test_duplicates_are_counted_and_named_from_one_percent_on(tmp_path):
    rows = [(f"text {i}", "yes" if i % 2 else "no") for i in range(200)]
    write(tmp_path, rows=[*rows, rows[0]])
    write(tmp_path, "dev.csv", [*rows[:1], *((f"new {i}", "yes") for i in range(199))])
    facts = own_facts(task(tmp_path))
    assert (facts.repeated, facts.shared, facts.warnings) == (1, {"dev": 1}, ())
    write(tmp_path, "dev.csv", [*rows[:2], *((f"new {i}", "yes") for i in range(198))])
    own_identity.cache_clear()
    own_facts.cache_clear()
    (warning,) = own_facts(task(tmp_path)).warnings
    assert warning.startswith(
        "2 of 200 texts of the split dev are in the training split too (1.0%)"
    )


def test_a_label_with_one_example_is_a_warning_and_no_share(tmp_path):
    write(tmp_path, rows=[*ROWS, ("odd", "maybe")])
    (warning,) = own_facts(task(tmp_path, dev={"dev": "train.csv"})).warnings[:1]
    assert warning == "labels with only one training example: maybe"
    with pytest.raises(UserError, match=r"one example has the label 'maybe', and a share of 0.4"):
        own_facts(task(tmp_path, dev={"share": 0.4}))


@pytest.mark.parametrize(("top", "warned"), [(5, False), (100, True)])
def test_a_wide_range_of_scores_is_a_warning(tmp_path, top, warned):
    write(tmp_path, rows=[(f"text {i}", i) for i in range(6)])
    warnings = own_facts(task(tmp_path, dev={"share": 0.5}, regression=[0, top])).warnings
    assert any("scale them to a few units" in text for text in warnings) == warned


def test_facts_are_remembered_until_the_content_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("KD_CACHE_DIR", str(tmp_path / "cache"))
    write(tmp_path)
    mine = task(tmp_path, dev="train.csv")
    facts = own_facts(mine)
    own_facts.cache_clear()
    monkeypatch.setattr("kd.data.own_reading.facts_of", lambda _: pytest.fail("read again"))
    assert own_facts(mine) == facts
    for record in (tmp_path / "cache/tasks").glob("*.json"):
        record.write_text("{")
    own_facts.cache_clear()
    with pytest.raises(pytest.fail.Exception, match="read again"):
        own_facts(mine)


@pytest.mark.skipif(
    not PUBLIC.is_dir(), reason="the public task files are not beside this checkout"
)
def test_public_files(tmp_path):
    trec = task(PUBLIC, train="trec/TREC.train.all", dev="trec/TREC.test.all", format="lines",
                text=1, label=0, encoding="iso-8859-1")  # fmt: skip
    facts = own_facts(trec)
    assert facts.labels == tuple("012345") and facts.examples == {"train": 5452, "dev": 500}
    assert own_splits(trec)["train"]["label"].value_counts()[2] == 86
    unread = task(PUBLIC, train="trec/TREC.train.all", dev="trec/TREC.test.all", format="lines",
                  text=1, label=0)  # fmt: skip
    with pytest.raises(UserError, match=r"TREC.train.all, line \d+: byte \d+ of the line is 0xf0"):
        own_facts(unread)
    news = task(PUBLIC, train="agnews/dev.csv", dev="agnews/test.csv", text="content")
    facts = own_facts(news)
    assert facts.examples == {"train": 8000, "dev": 7600} and facts.shared == {"dev": 16}
    assert facts.labels == tuple("1234")
    sick = {"train": "sick/SICK_train.txt", "dev": {"dev": "sick/SICK_trial.txt",
            "test": "sick/SICK_test_annotated.txt"}, "format": "tsv",
            "text": ["sentence_A", "sentence_B"]}  # fmt: skip
    entailment = own_facts(task(PUBLIC, **sick, label="entailment_judgment"))
    assert entailment.labels == ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")
    assert entailment.examples == {"train": 4500, "dev": 500, "test": 4927}
    scores = own_splits(task(PUBLIC, **sick, label="relatedness_score", regression=[1, 5]))
    assert scores["test"]["label"].between(1, 5).all()
    assert not scores["test"]["sentence2"].str.contains("\r").any()


def test_a_dataset_of_the_hub(tmp_path, monkeypatch):
    """Its own names of the labels, in its order; what is asked for is the commit."""
    import datasets

    asked = []
    features = datasets.Features(
        {"body": datasets.Value("string"), "tag": datasets.ClassLabel(names=["yes", "no"])}
    )

    def load(path, config, revision, split):
        asked.append((path, config, revision, split))
        rows = {"body": [text for text, _ in ROWS], "tag": [0, 1, 0, 1 if split == "train" else -1]}
        return datasets.Dataset.from_dict(rows, features)

    monkeypatch.setattr(datasets, "load_dataset", load)
    commit = "0123456789" * 4
    keys = {"train": None, "dev": None, "hub": "org/name", "revision": commit, "text": "body",
            "label": "tag", "splits": {"train": "train", "dev": "train"}}  # fmt: skip
    hub = task(tmp_path, **keys)
    assert own_splits(hub)["train"]["label"].tolist() == [0, 1, 0, 1]
    assert own_facts(hub).labels == ("yes", "no")
    assert set(asked) == {("org/name", None, commit, "train")}
    assert own_identity(hub)["source"] == "hub" and own_identity(hub)["revision"] == commit
    hidden = task(tmp_path, **{**keys, "splits": {"train": "train", "dev": "test"}})
    with pytest.raises(UserError, match=r"org/name, split test, row 4: it has no label \(-1\)"):
        own_facts(hidden)
    with pytest.raises(UserError, match=r"column 'boby' is missing; .*did you mean body"):
        own_facts(task(tmp_path, **{**keys, "text": "boby"}))


def test_only_line_ends_end_a_line(tmp_path):
    """A text may have characters that Python's str.splitlines takes for the end of a line."""
    lines = ["pos good\x85film", "neg bad", "neg a\u2028b c", "pos x\x0cy"]
    for end in ("\n", "\r\n"):
        (tmp_path / "a.lines").write_bytes(end.join(lines).encode())
        mine = task(tmp_path, train="a.lines", dev="a.lines", format="lines", text=1, label=0)
        frame = own_splits(mine)["train"]
        assert frame["sentence1"].tolist() == ["good\x85film", "bad", "a\u2028b c", "x\x0cy"]
        assert frame["label"].tolist() == [1, 0, 0, 1]
        assert own_identity(mine)["line_ends"] == 2, "earlier versions saw other examples"
    (tmp_path / "b.lines").write_text("pos good\nneg bad\n")
    plain = task(tmp_path, train="b.lines", dev="b.lines", format="lines", text=1, label=0)
    assert "line_ends" not in own_identity(plain)


def test_the_order_of_equal_numbers_is_that_of_their_text():
    assert _sorted({"1", "01", "2"}) == ("01", "1", "2") == _sorted({"2", "01", "1"})


def test_a_share_must_leave_examples_of_each_label_and_two_scores(tmp_path):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(120)] + [("rare one", "c"), ("rare two", "c")]
    write(tmp_path, rows=rows)
    with pytest.raises(UserError, match="no training example has the label 'c' once a share"):
        own_splits(task(tmp_path, dev={"share": 0.8}))
    write(tmp_path, rows=[(f"text {i}", i) for i in range(10)])
    with pytest.raises(UserError, match="one dev example; correlations need two"):
        own_splits(task(tmp_path, dev={"share": 0.1}, regression=[0, 10]))
