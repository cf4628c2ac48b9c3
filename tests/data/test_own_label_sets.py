"""The labels of multi-label tasks: how they are read, split and drawn."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kd.axes.kinds import LABELS
from kd.data import own_hub
from kd.data.own_hub import _numbers, read_hub_split
from kd.data.own_label_sets import label_sets
from kd.data.own_reading import own_splits
from kd.data.own_tasks import own_facts
from kd.data.strata import strata_of, systematic_share
from kd.data.tokens import labels_tensor
from kd.runtime.errors import UserError
from kd.study.task_keys import own_tasks

# Numbers of the labels in their order: blue, green, red.
SETS = [["red", "blue"], [], ["green"], ["blue"], ["red"]]
NUMBERS = [[0, 2], [], [1], [0], [2]]


def task(folder, train, labels=None, **keys):
    labels = {"from": "tags", "multi": True, **(labels or {})}
    keys = {"train": train, "dev": train, "text": "text", "labels": labels, **keys}
    return own_tasks({"mine": keys}, folder / "study.yaml")["mine"]


def texts():
    return [f"text {i}" for i in range(len(SETS))]


def test_lists_texts_and_columns_give_the_same_labels(tmp_path):
    rows = [{"text": text, "tags": tags} for text, tags in zip(texts(), SETS, strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for name, mark in (("a.csv", ";"), ("a.tsv", " | ")):
        text = pd.DataFrame({"text": texts(), "tags": [mark.join(tags) for tags in SETS]})
        text.to_csv(tmp_path / name, index=False, sep="\t" if name == "a.tsv" else ",")
    flags = {name: [int(name in tags) for tags in SETS] for name in ("blue", "green", "red")}
    pd.DataFrame({"text": texts(), **flags}).to_csv(tmp_path / "flags.csv", index=False)
    tasks = [
        *(task(tmp_path, f"a.{kind}") for kind in ("jsonl", "parquet", "csv")),
        task(tmp_path, "a.tsv", {"separator": "|"}),
        task(tmp_path, "flags.csv", {"from": list(flags)}),
    ]
    for own in tasks:
        frame = own_splits(own)["train"]
        assert frame["label"].tolist() == NUMBERS, own.source
        assert own_facts(own).labels == ("blue", "green", "red")
    whole = replace(tasks[0], labels=("blue", "green", "red"))
    assert labels_tensor(NUMBERS, whole).tolist() == [
        [1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]
    ]  # fmt: skip


def test_labels_have_the_given_names_and_order(tmp_path):
    (tmp_path / "a.csv").write_text("text,tags\nx,2;10\ny,\nz,2\n")
    assert own_facts(task(tmp_path, "a.csv")).labels == ("2", "10")
    given = own_splits(task(tmp_path, "a.csv", {"names": [10, 2]}))["train"]
    assert given["label"].tolist() == [[0, 1], [], [1]]
    (tmp_path / "f.csv").write_text("text,0,1\nx,1,0\ny,TRUE,false\nz,0,1\n")
    flags = task(tmp_path, "f.csv", {"from": ["0", "1"], "names": ["no", "yes"]})
    assert own_facts(flags).labels == ("no", "yes")
    assert own_splits(flags)["train"]["label"].tolist() == [[0], [0], [1]]


WRONG = {
    "unknown": ("text,tags\nx,a;b\n", "text,tags\ny,a;c\n", r"row 1: label 'c', allowed: the labe"),
    "one set": ("text,tags\nx,a;b\ny,b;a\n", "", r"every label is 'a;b': nothing to learn"),
    "one label": ("text,tags\nx,a\ny,\n", "", r"'a' is the only label; .* two or more"),
    "a list as text": (
        "text,tags\nx,\"['a', 'b']\"\ny,a\n",
        "",
        r".* with ';' between them",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_in_the_labels_is_one_sentence(tmp_path, case):
    train, dev, message = WRONG[case]
    (tmp_path / "a.csv").write_text(train + "z,a\n" * (case == "unknown"))
    (tmp_path / "dev.csv").write_text(dev or train)
    with pytest.raises(UserError, match=message):
        own_facts(task(tmp_path, "a.csv", dev="dev.csv"))


def test_a_missing_value_is_not_the_same_as_no_label(tmp_path):
    source = task(tmp_path, "a.csv").source
    missing = r"here, row 3: the labels \(tags\) are missing; an example"
    table = pd.DataFrame({"label": [["a"], [], None]})
    for own in (table, pd.DataFrame({"label": ["a", "", pd.NA]})):
        with pytest.raises(UserError, match=missing):
            list(label_sets(own, source, "here"))
    assert list(label_sets(table[:2], source, "here")) == [("a",), ()]
    with pytest.raises(UserError, match=r"here, row 1: a label \(tags\) is empty"):
        list(label_sets(pd.DataFrame({"label": [["a", ""]]}), source, "here"))
    flags = task(tmp_path, "a.csv", {"from": ["a", "b"]}).source
    with pytest.raises(UserError, match=r"here, row 2: b: found '2', allowed: 0, 1"):
        list(label_sets(pd.DataFrame({"flag0": [0, 1], "flag1": [1, 2]}), flags, "here"))


@pytest.mark.parametrize("value", [{"toxic": 0, "obscene": 1}, b"ab", ["a", ["b"]]])
def test_what_is_no_list_of_labels(tmp_path, value):
    """The keys of a mapping are not labels, since their values may be 0."""
    source, table = task(tmp_path, "a.csv").source, pd.DataFrame({"label": [["a"], value]})
    with pytest.raises(UserError, match=r"here, row 2: labels \(tags\): found .*allowed: a list"):
        list(label_sets(table, source, "here"))


def test_a_list_is_no_label_of_classes(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x", "tags": "a"}\n{"text": "y", "tags": ["b"]}\n')
    keys = {"train": "a.jsonl", "dev": "a.jsonl", "text": "text", "label": "tags"}
    own = own_tasks({"mine": keys}, tmp_path / "study.yaml")["mine"]
    with pytest.raises(
        UserError, match=r"row 2: label \(tags\): found a list of 1, .*from: tags, mul"
    ):
        own_facts(own)


def test_a_given_label_needs_a_training_example(tmp_path):
    (tmp_path / "a.csv").write_text("text,tags\nx,a;b\ny,a\n")
    with pytest.raises(UserError, match="no training example has the label 'c'"):
        own_facts(task(tmp_path, "a.csv", {"names": ["a", "b", "c"]}))
    many = "".join(f"text {i},a{';b' if i == 0 else ''}\n" for i in range(40))
    (tmp_path / "a.csv").write_text("text,tags\n" + many)
    seeds = []
    for seed in range(8):  # where the one example with b becomes a dev example
        try:
            own_facts(task(tmp_path, "a.csv", dev={"share": 0.5, "seed": seed}))
        except UserError as error:
            assert "has the label 'b' once a share of 0.5 is the dev split" in str(error)
            seeds.append(seed)
    assert 0 < len(seeds) < 8


def test_a_share_has_its_part_of_each_set(tmp_path):
    rows = "".join(f"text {i},{('a', 'a;b', '')[i % 10 // 6 + (i % 10 > 8)]}\n" for i in range(200))
    (tmp_path / "a.csv").write_text("text,tags\n" + rows)
    found = own_splits(task(tmp_path, "a.csv", dev={"share": 0.2, "seed": 3}))
    assert [len(frame) for frame in found.values()] == [160, 40]
    counts = found["dev"]["label"].map(tuple).value_counts().to_dict()
    assert counts == {(0,): 24, (0, 1): 12, (): 4}
    again = own_splits(task(tmp_path, "a.csv", dev={"share": 0.2, "seed": 3}))["dev"]
    assert again["id"].tolist() == found["dev"]["id"].tolist()


def test_a_rare_set_joins_its_rarest_label():
    gold = np.zeros((40, 3), dtype=bool)
    gold[:20, 0] = True  # {0}: 20 examples
    gold[20:23, :2] = True  # {0, 1}: 3
    gold[23:25, 1] = True  # {1}: 2
    gold[25:27, 2] = True  # {2}: 2, and 13 without a label
    strata = strata_of(gold, LABELS)
    groups = [sorted(np.flatnonzero(strata == s)) for s in np.unique(strata)]
    assert sorted(groups) == [list(range(20)), list(range(20, 25)), [25, 26], list(range(27, 40))]


@pytest.mark.parametrize("share", [0.05, 0.33, 0.9])
def test_a_systematic_share_is_even(share):
    strata = np.repeat([3, 1, 8], [100, 37, 4])
    chosen = systematic_share(strata, share, seed=1)
    assert len(chosen) == len(set(chosen.tolist())) == round(share * 141)
    for stratum, count in ((3, 100), (1, 37), (8, 4)):
        assert abs((strata[chosen] == stratum).sum() - len(chosen) * count / 141) < 1
    assert systematic_share(strata, share, 2).tolist() != chosen.tolist()


def test_the_hub_gives_lists_of_numbers_names_or_flags(tmp_path, monkeypatch):
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    names = ["blue", "green", "red"]
    flags = {"x": [1, 0, 1, 0, 0], "y": [0, 0, 1, 1, 1]}
    loaded = Dataset.from_dict(
        {"text": texts(), "tags": NUMBERS, "words": SETS, **flags},
        features=Features(
            text=Value("string"), tags=Sequence(ClassLabel(names=names)),
            words=Sequence(Value("string")), x=Value("int64"), y=Value("int64"),
        ),
    )  # fmt: skip
    monkeypatch.setattr(own_hub, "load_hub_split", lambda *_, **__: (loaded, None))
    hub = {"hub": "some/dataset", "revision": "0" * 40,
           "splits": {"train": "train", "dev": "validation"}}  # fmt: skip

    def source_of(column):
        keys = {"text": "text", "labels": {"from": column, "multi": True}, **hub}
        return own_tasks({"mine": keys}, tmp_path / "study.yaml")["mine"].source

    for column, known in (("tags", tuple(names)), ("words", ()), (["x", "y"], ())):
        source = source_of(column)
        frame, found = read_hub_split(source, "train")
        sets = list(label_sets(frame, source, "here"))
        assert found == known
        assert sets[:3] == (
            [("x",), (), ("x", "y")] if column == ["x", "y"] else [("blue", "red"), (), ("green",)]
        )
    with pytest.raises(UserError, match=r"some/dataset, split train, row 2: it has no label \(3\)"):
        list(_numbers([[0], [3]], tuple(names), source_of("tags"), "train"))
    with pytest.raises(UserError, match=r"row 2: the labels \(tags\) are missing; an example wi"):
        list(_numbers([[0], None], tuple(names), source_of("tags"), "train"))
