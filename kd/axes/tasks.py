"""The tasks: GLUE's nine with their official columns, labels and metrics, and the synthetic ones.

A study file can add users' own tasks (`kd.study.tasks`), which are rows with a `source`.

Source of columns, labels and metrics: Wang et al. 2018, GLUE (arXiv:1804.07461).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kd.axes.kinds import CLASSES, LABELS, SCORES, Kind


@dataclass(frozen=True)
class Source:
    """Where the examples of a user's own task come from, and how they are read.

    `splits` names for train and each dev split a file (absolute), or a split of the hub's dataset.
    """

    splits: tuple[tuple[str, str], ...]
    text: tuple[str | int, ...]  # one column, or two for pairs: names, or positions from 0
    label: str | int  # column; 'labels' where `flags` has the columns
    format: str = ""  # csv, tsv, lines, jsonl, parquet; '' for the hub
    encoding: str = "utf-8"
    header: bool = True
    quotes: bool = True  # whether " quotes a field
    share: float | None = None  # of the training file, which becomes the dev split
    share_seed: int = 0
    labels: tuple[str, ...] = ()  # as the study gives them, in order; (): those that are found
    hub: str = ""
    config: str = ""
    revision: str = ""
    multi: bool = False  # the label column has any number of labels
    separator: str = ";"  # of several labels in a text
    flags: tuple[str | int, ...] = ()  # a column of 0 and 1 for each label, in place of one column


@dataclass(frozen=True)
class Task:
    """One task. `columns` are the text columns on the hub; `labels` is empty for a regression.

    Of a task with a `source`, `labels`, `examples`, `tokens` and `name` may stand empty until its
    data are read (`kd.study.tasks.task_of`).
    """

    title: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    examples: int  # training examples of the official split
    tokens: int  # mean WordPiece tokens of a training example, special tokens included
    folder: str = ""  # name in the official glue_data/ layout; '' for a synthetic task
    text: tuple[str | int, ...] = ()  # text columns of the TSV: header names, or positions
    label: str | int = "label"  # label column of the TSV
    dev: tuple[tuple[str, str], ...] = (("dev", "dev"),)  # (split, TSV file without .tsv)
    names: tuple[tuple[str, ...], ...] = ()  # of each label, as published models call them
    corrupted: bool = False  # official files with broken rows, which the hub's copy leaves out too
    name: str = ""  # in ids and in the names of folders
    range: tuple[float, float] | None = None  # of a regression's scores
    multi: bool = False  # an example may have any number of the labels
    others: tuple[str, ...] = ()  # metrics that are no part of the score
    source: Source | None = None  # only of a user's own task
    plugins: tuple[str, ...] = ()  # hashes of the plugins that its metrics are from

    @property
    def kind(self) -> Kind:
        """What the task asks of a text: a class, a score (as STS-B), or any number of labels."""
        if self.range is not None:
            return SCORES
        return LABELS if self.multi else CLASSES

    @property
    def words(self) -> tuple[str, ...]:
        """The labels in words, for example `equivalent` where the official files say 1."""
        if not self.names:
            return self.labels
        named = zip(self.labels, self.names, strict=True)
        return tuple(names[0] if label.isdecimal() else label for label, names in named)

    @property
    def outputs(self) -> int:
        """Size of the classification head: number of labels, or 1."""
        return max(1, len(self.labels))

    @property
    def synthetic(self) -> bool:
        """Whether the task is generated."""
        return not self.folder and self.source is None

    @property
    def scored(self) -> tuple[str, ...]:
        """The dev splits whose mean is the score: one for a user's own task, otherwise all."""
        return ("dev",) if self.source else tuple(split for split, _ in self.dev)

    @property
    def splits(self) -> tuple[str, ...]:
        """train and every dev split."""
        return ("train", *(split for split, _ in self.dev))


_PAIR = ("sentence1", "sentence2")
_BINARY = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_ENTAILS = ("entails", "entailed", "yes")
_NOT_ENTAILS = ("non_entailment", "no_entailment", "not_entailed", "no")
_SAME = ("equivalent", "paraphrase", "is_paraphrase", "duplicate", "is_duplicate", "yes")
_OTHER = (
    *("not_equivalent", "non_equivalent", "not_paraphrase", "non_paraphrase", "no_paraphrase"),
    *("not_duplicate", "non_duplicate", "different", "no"),
)
_ACCURACY, _BOTH, _CORRELATIONS = ("accuracy",), ("accuracy", "f1"), ("pearson", "spearman")

# Label order is the order of the integers on the hub.
_ROWS: dict[str, Task] = {
    "cola": Task(
        "CoLA",
        ("sentence",),
        _BINARY,
        ("matthews",),
        8551,
        11,
        "CoLA",
        text=(3,),
        label=1,
        names=(
            ("unacceptable", "not_acceptable", "ungrammatical", "not_grammatical", "incorrect"),
            ("acceptable", "grammatical", "correct"),
        ),
    ),
    "sst2": Task(
        "SST-2",
        ("sentence",),
        _BINARY,
        _ACCURACY,
        67349,
        13,
        "SST-2",
        ("sentence",),
        names=(("negative", "neg"), ("positive", "pos")),
    ),
    "mrpc": Task(
        "MRPC",
        _PAIR,
        _BINARY,
        _BOTH,
        3668,
        53,
        "MRPC",
        ("#1 String", "#2 String"),
        "Quality",
        names=(_OTHER, _SAME),
    ),
    "stsb": Task(
        "STS-B", _PAIR, (), _CORRELATIONS, 5749, 31, "STS-B", _PAIR, "score", range=(0, 5)
    ),
    "qqp": Task(
        "QQP",
        ("question1", "question2"),
        _BINARY,
        _BOTH,
        363846,
        30,
        "QQP",
        ("question1", "question2"),
        "is_duplicate",
        names=(("not_duplicate", *_OTHER), ("duplicate", *_SAME)),
        corrupted=True,
    ),
    "mnli": Task(
        "MNLI",
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        _ACCURACY,
        392702,
        40,
        "MNLI",
        _PAIR,
        "gold_label",
        dev=(("dev", "dev_matched"), ("dev_mismatched", "dev_mismatched")),
        names=(("entail", "entails", "e"), ("n",), ("contradict", "contradicts", "c")),
    ),
    "qnli": Task(
        "QNLI",
        ("question", "sentence"),
        _ENTAILMENT,
        _ACCURACY,
        104743,
        50,
        "QNLI",
        ("question", "sentence"),
        names=(_ENTAILS, _NOT_ENTAILS),
    ),
    "rte": Task(
        *("RTE", _PAIR, _ENTAILMENT, _ACCURACY, 2490, 65, "RTE", _PAIR),
        names=(_ENTAILS, _NOT_ENTAILS),
    ),
    "wnli": Task(
        *("WNLI", _PAIR, _BINARY, _ACCURACY, 635, 37, "WNLI", _PAIR),
        names=(("not_entailment", *_NOT_ENTAILS), ("entailment", *_ENTAILS)),
    ),
    "toy-single": Task("toy single", ("sentence",), _BINARY, _ACCURACY, 0, 16),
    "toy-pair": Task("toy pair", _PAIR, _BINARY, _ACCURACY, 0, 20),
    "toy-similarity": Task("toy similarity", _PAIR, (), _CORRELATIONS, 0, 20, range=(0, 5)),
}


def describe(task: Task) -> dict[str, Any]:
    """The facts of a task for records: title, labels, range, metrics and dev splits."""
    names = ("title", "columns", "labels", "range", "metrics", "others", "dev", "multi")
    return {name: getattr(task, name) for name in names}


def described(name: str, record: Mapping[str, Any]) -> Task:
    """The task with this name in ids, from the facts of `describe` as JSON."""
    dev = tuple((str(split), str(file)) for split, file in record["dev"])
    columns, labels, metrics, others = (
        tuple(record[n]) for n in ("columns", "labels", "metrics", "others")
    )
    span = record["range"] and (record["range"][0], record["range"][1])
    return Task(
        title=record["title"],
        columns=columns,
        labels=labels,
        metrics=metrics,
        examples=0,
        tokens=0,
        dev=dev,
        name=name,
        range=span,
        multi=record.get("multi", False),  # older records lack it
        others=others,
        source=Source((), (), ""),
    )


TASKS = {name: replace(row, name=name) for name, row in _ROWS.items()}
HUB_SPLITS = {"train": "train", "dev": "validation"}
HUB_SPLITS_MNLI = {
    "train": "train",
    "dev": "validation_matched",
    "dev_mismatched": "validation_mismatched",
}
