"""Reads and checks the data of tasks of the user's own: examples by split, and facts of them."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.axes.kinds import CLASSES, LABELS, SCORES
from kd.axes.tasks import Source, Task
from kd.data.corpus_text import check_characters
from kd.data.own_files import read_table
from kd.data.own_label_sets import is_several, label_sets
from kd.data.own_label_sets import text_of as _text
from kd.data.own_tasks import NOTED, Facts
from kd.data.strata import strata_of, systematic_share
from kd.runtime.errors import UserError, listing, nearest, shown

if TYPE_CHECKING:
    import pandas as pd

_WIDE = 10  # a wider range of scores takes long to learn
_PIECES = 1.3  # tokens a word, for estimates of time and disk


def own_splits(task: Task) -> dict[str, "pd.DataFrame"]:
    """The examples by split: id (position in the source), sentence1, sentence2 (None for single
    texts), label (index, score, or list of the indices of several). A task without stated labels
    has those of its training split.

    Raises:
        UserError: the first thing that is wrong with the data.
    """
    frames, labels = _read(task)
    for frame in frames.values():
        number = {name: i for i, name in enumerate(labels)}
        if task.kind is LABELS:
            frame["label"] = [sorted(number[name] for name in own) for own in frame["label"]]
        elif task.kind is CLASSES:
            frame["label"] = frame["label"].map(number)
    return frames


def _read(task: Task) -> tuple[dict[str, "pd.DataFrame"], tuple[str, ...]]:
    """The splits, their labels as text, scores or tuples of text, checked; and the labels in their
    order."""
    source = task.source
    assert source is not None
    frames: dict[str, pd.DataFrame] = {}
    places: dict[str, str] = {}
    named: tuple[str, ...] = ()
    for split, place in source.splits:
        if source.hub:
            from kd.data.own_hub import read_hub_split

            table, named = read_hub_split(source, place)
            where = f"{source.hub}, split {place}"
        else:
            table, where = read_table(Path(place), source), place
        frames[split], places[split] = _checked(table, task, where), where
    train = frames["train"]
    if train["label"].nunique() < 2:
        first = train["label"].iloc[0]
        only = shown(source.separator.join(first) if task.kind is LABELS else first)
        raise UserError(f"{places['train']}: every label is {only}: nothing to learn")
    labels: tuple[str, ...] = ()
    if task.kind is not SCORES:
        found = set(_each_label(train["label"], task))
        labels = source.labels or named or tuple(map(str, source.flags)) or _sorted(found)
        if len(labels) < 2:
            raise UserError(
                f"{places['train']}: {labels[0]!r} is the only label; a multi-label task has two "
                f"or more"
            )
        for split, frame in frames.items():
            _check_labels(frame, labels, places[split], task, split)
    if source.share is not None:
        frames = _shared_out(train, source, task, labels)
    for split, frame in frames.items():
        if task.kind is SCORES and split != "train" and len(frame) < 2:
            where = places.get(split, places["train"])
            raise UserError(f"{where}: one dev example; correlations need two or more")
    return frames, labels


def _checked(table: "pd.DataFrame", task: Task, where: str) -> "pd.DataFrame":
    """A table of text columns and label as id, sentence1, sentence2, label."""
    import pandas as pd

    if table.empty:
        raise UserError(f"{where}: no rows")
    assert task.source is not None
    columns: dict[str, Any] = {"id": range(len(table)), "sentence1": None, "sentence2": None}
    for i, name in enumerate(task.source.text):
        for row, value in enumerate(table[f"text{i}"], 1):
            if is_several(value):
                raise UserError(
                    f"{where}, row {row}: text ({name}): found {shown(value)}, allowed: text"
                )
        values = [_text(value) for value in table[f"text{i}"]]
        if "" in values:
            raise UserError(f"{where}, row {values.index('') + 1}: the text ({name}) is empty")
        for row, value in enumerate(values, 1):
            check_characters(value, f"{where}, row {row}: text ({name})")
        columns[f"sentence{i + 1}"] = values
    if task.kind is LABELS:
        sets = list(label_sets(table, task.source, where))
        for row, own in enumerate(sets, 1):
            check_characters("".join(own), f"{where}, row {row}: label ({task.source.label})")
        return pd.DataFrame(columns | {"label": sets})
    _check_single(table["label"], task.source.label, where)
    raw = [_text(value) for value in table["label"]]
    if "" in raw:
        raise UserError(
            f"{where}, row {raw.index('') + 1}: the label ({task.source.label}) is empty"
        )
    for row, value in enumerate(raw, 1):
        check_characters(value, f"{where}, row {row}: label ({task.source.label})")
    columns["label"] = list(_scores(raw, task, where)) if task.kind is SCORES else raw
    return pd.DataFrame(columns)


def _check_single(column: "pd.Series[Any]", name: str | int, where: str) -> None:
    """Check that no value is a list, which would be taken for one label with brackets."""
    for row, value in enumerate(column, 1):
        if is_several(value):
            raise UserError(
                f"{where}, row {row}: label ({name}): found a list of {len(value)}, allowed: one "
                f"label; for several, the key label gives way to "
                f"labels: {{from: {name}, multi: true}}"
            )


def _each_label(column: "pd.Series[Any]", task: Task) -> Iterator[str]:
    """The labels of all examples, one after the other."""
    for own in column:
        yield from own if task.kind is LABELS else [own]


def _scores(raw: list[str], task: Task, where: str) -> Iterator[float]:
    low, high = task.range or (0, 0)
    for row, text in enumerate(raw, 1):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise UserError(
                f"{where}, row {row}: score {shown(text)}, allowed: a number from {low:g} to "
                f"{high:g}"
            )
        yield value


def _sorted(labels: set[str]) -> tuple[str, ...]:
    """By number where all are whole numbers, else by letter."""
    numbers = all(re.fullmatch(r"-?\d{1,99}", label) for label in labels)
    return tuple(sorted(labels, key=lambda text: (int(text), text)) if numbers else sorted(labels))


def _check_labels(
    frame: "pd.DataFrame", labels: tuple[str, ...], where: str, task: Task, split: str
) -> None:
    known = set(labels)
    rows = enumerate(frame["label"], 1)
    pairs = (
        (row, label) for row, own in rows for label in ([own] if isinstance(own, str) else own)
    )
    unknown = [(row, label) for row, label in pairs if label not in known]
    if unknown:
        row, label = unknown[0]
        few = listing(labels[:20]) + ", ..." * (len(labels) > 20)
        stated = task.source and task.source.labels
        whose = "task's labels" if stated else "labels of the training split"
        raise UserError(
            f"{where}, row {row}: label {shown(label)}, allowed: the {whose}: {few}"
            f"{nearest(label, labels)}"
        )
    if split == "train":
        _check_taught(frame, labels, where, task)


def _check_taught(
    frame: "pd.DataFrame", labels: tuple[str, ...], where: str, task: Task, why: str = ""
) -> None:
    if lacking := sorted(set(labels) - set(_each_label(frame["label"], task))):
        raise UserError(f"{where}: no training example has the label {lacking[0]!r}{why}")


def _shared_out(
    train: "pd.DataFrame", source: Source, task: Task, labels: tuple[str, ...]
) -> dict[str, "pd.DataFrame"]:
    """A share of the training file as dev split, with the same shares of the labels, or of the
    strata of sets of labels (`strata.strata_of`)."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    assert source.share is not None
    if task.kind is LABELS:
        gold = np.array([[label in own for label in labels] for own in train["label"]])
        dev = systematic_share(strata_of(gold, LABELS), source.share, source.share_seed)
        kept = np.setdiff1d(np.arange(len(train)), dev)
        if not len(dev) or not len(kept):
            raise UserError(
                f"{source.splits[0][1]}: a share of {source.share:g} for dev leaves a split "
                f"without examples"
            )
    else:
        _check_pairs(train, source, task)
        try:
            kept, dev = train_test_split(
                range(len(train)),
                test_size=source.share,
                random_state=source.share_seed,
                stratify=None if task.kind is SCORES else train["label"],
            )
        except ValueError as error:
            raise UserError(
                f"{source.splits[0][1]}: a share of {source.share:g} for dev cannot have every "
                f"label ({' '.join(str(error).split())})"
            ) from None
    frames = {
        split: train.iloc[sorted(rows)].reset_index(drop=True)
        for split, rows in (("train", kept), ("dev", dev))
    }
    if task.kind is not SCORES:
        why = f" once a share of {source.share:g} is the dev split"
        _check_taught(frames["train"], labels, source.splits[0][1], task, why)
    return frames


def _check_pairs(train: "pd.DataFrame", source: Source, task: Task) -> None:
    """Check that each label has an example for both splits."""
    once = [label for label, n in Counter(_each_label(train["label"], task)).items() if n == 1]
    if task.kind is not SCORES and once:
        raise UserError(
            f"{source.splits[0][1]}: one example has the label {shown(sorted(once)[0])}, and a "
            f"share of {source.share:g} for dev needs two of each; give a dev file, or drop or "
            f"merge this label"
        )


def facts_of(task: Task) -> Facts:
    """What the data say, all of them read.

    Raises:
        UserError: the first thing that is wrong with them.
    """
    frames, labels = _read(task)
    texts = {
        split: list(zip(frame["sentence1"], frame["sentence2"], strict=True))
        for split, frame in frames.items()
    }
    train = set(texts["train"])
    shared = {s: sum(t in train for t in rows) for s, rows in texts.items() if s != "train"}
    words = sum(len(text.split()) for pair in texts["train"] for text in pair if text)
    pair = len(task.columns)
    counts = Counter(_each_label(frames["train"]["label"], task))
    return Facts(
        labels=labels,
        examples={split: len(frame) for split, frame in frames.items()},
        tokens=round(_PIECES * words / len(texts["train"])) + 1 + pair,
        repeated=len(texts["train"]) - len(train),
        shared=shared,
        rarest=0 if task.kind is SCORES else min(counts.values()),
        warnings=tuple(_warnings(task, frames, len(texts["train"]) - len(train), shared)),
    )


def _warnings(
    task: Task, frames: dict[str, "pd.DataFrame"], repeated: int, shared: dict[str, int]
) -> Iterator[str]:
    counts = Counter(_each_label(frames["train"]["label"], task))
    if task.kind is not SCORES and 1 in counts.values():
        rare = [label for label, count in counts.items() if count == 1]
        few = listing(rare[:5]) + ", ..." * (len(rare) > 5)
        yield f"labels with only one training example: {few}"
    low, high = task.range or (0, 0)
    if high - low > _WIDE:
        yield (
            f"scores from {low:g} to {high:g} are learned as they are, which takes many epochs: "
            f"scale them to a few units"
        )
    size = len(frames["train"])
    if repeated >= NOTED * size:
        yield (
            f"{repeated} of {size} training examples repeat the text of another "
            f"({repeated / size:.1%})"
        )
    for split, count in shared.items():
        size = len(frames[split])
        if count >= NOTED * size:
            yield (
                f"{count} of {size} texts of the split {split} are in the "
                f"training split too ({count / size:.1%}), so its scores say less of new text"
            )
