"""Which columns of a record are axes of the study, and which values they take."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from kd.axes import labels
from kd.axes.fields import RUN_FIELDS
from kd.axes.labels import parts as values_in
from kd.axes.shapes import parse_shape
from kd.axes.tasks import TASKS
from kd.runtime.errors import UserError

AXES = list(RUN_FIELDS)
CELL = [axis for axis in AXES if axis not in ("task", "seed")]
# What a control lacks. A preset stands for several fields at once.
TERMS = ["knowledge", "matching", "mapping", "relation_heads"]
BUNDLE = "preset"
NEEDED = ["run", "status", "score", "task", "student", "knowledge", "seed"]
CONTROLS = ["none", "logits"]  # knowledge of the runs that others are compared with
IDLE = labels.INERT  # the value of an axis that cannot affect the run
ALIAS = labels.ALIAS  # joins the values of cells that are the same run
AVERAGE = "average"  # the pseudo-task that holds the mean over all tasks


def metrics_of(task: str, runs: pd.DataFrame) -> tuple[str, ...]:
    """The metrics of the score of `task`; () if the record does not name them."""
    if task in TASKS:
        return TASKS[task].metrics
    named = runs.loc[runs["task"] == task, "metrics"].dropna() if "metrics" in runs else ()
    return next((tuple(text.split("+")) for text in named if text), ())


def metric(task: str, runs: pd.DataFrame) -> str:
    """The name of what the score of `task` measures."""
    if task == AVERAGE:
        return "mean over tasks"
    names = [_TITLES.get(name, name) for name in metrics_of(task, runs) or ("score",)]
    return f"mean of {' and '.join(names)}" if len(names) > 1 else names[0]


_TITLES = {
    **{name: name.title() for name in ("f1", "matthews", "pearson", "spearman")},
    **{f"{kind}-f1": f"{kind} F1" for kind in ("macro", "micro", "weighted")},
}


def axes(frame: pd.DataFrame) -> list[str]:
    """The axis columns that vary among the runs, in the fixed order.

    Only variation within a task counts. A column that follows another axis is not an axis itself
    (see `followers`), and neither is a column whose second value is "cannot matter here".
    """
    follows = followers(frame)
    return [axis for axis in _varying(frame) if axis not in follows]


def _varying(frame: pd.DataFrame) -> list[str]:
    tasks = pd.factorize(frame["task"])[0]
    several = []
    for axis in AXES:
        values = frame[axis].to_numpy(object)
        if not (values != values[:1]).any():  # most columns, and this is the quickest to see
            continue
        if axis == "task" or _most(tasks, values) > 1:
            several.append(axis)
    return several


def _most(groups: np.ndarray, values: np.ndarray) -> int:
    """The largest number of different values in a group, without idle ones.

    Args:
        groups: (runs,) codes from 0.
        values: (runs,) of one column.
    """
    codes, known = pd.factorize(values)
    real = (codes >= 0) & (values != IDLE)
    pairs = np.unique(groups[real] * len(known) + codes[real])
    return int(np.bincount(pairs // max(1, len(known))).max(initial=0))


def followers(frame: pd.DataFrame) -> dict[str, str]:
    """Columns that vary only together with another axis: column -> that axis.

    A learning rate that is set for each student is no axis, and neither is a setting of a preset.
    The preset is the axis that is followed, or else the first column; never a task or a seed.
    """
    varying = [axis for axis in _varying(frame) if axis in CELL]
    varying.sort(key=lambda axis: axis != BUNDLE)
    leaders: dict[str, str] = {}
    tasks = pd.factorize(frame["task"])[0]
    columns = {axis: frame[axis].to_numpy(object) for axis in varying}
    for i, axis in enumerate(varying):
        for leader in varying[:i]:
            if leader in leaders:
                continue
            codes, known = pd.factorize(columns[leader])
            if _most(tasks * len(known) + codes, columns[axis]) < 2:
                leaders[axis] = leader
                break
    return leaders


def teacher_names(frame: pd.DataFrame) -> "pd.Series[str]":
    """The teacher of each run. Teachers of one task that were fine-tuned on other fractions of its
    data are different."""
    same = frame["teacher_data"] == "same"
    seen = frame.assign(seen=frame["train_fraction"].where(same, "all"))
    several = seen.groupby(["teacher", "task"])["seen"].transform("nunique") > 1
    on = frame["teacher"] + ", train_fraction " + frame["train_fraction"]
    return frame["teacher"].where(~(same & several), on)


def each(table: pd.DataFrame) -> Iterator[Any]:
    """The rows, their columns as attributes; of any type, which pandas' stubs cannot say."""
    return iter(table.itertuples())


def studied(frame: pd.DataFrame) -> list[str]:
    """The varying axes by which cells differ: all except task and seed."""
    return [axis for axis in axes(frame) if axis in CELL]


def levels(values: "pd.Series[str]") -> list[str]:
    """The single values in a column: numbers and student shapes by size, others as they appear,
    controls first.

    A run that stands for several values has the place of the first. The other values have places of
    their own if a run stands for only that value.
    """
    texts = list(dict.fromkeys(values))
    alone = {text for text in texts if ALIAS not in text}
    single = list(
        dict.fromkeys(
            part
            for text in texts
            for i, part in enumerate(values_in(text))
            if not i or part not in alone
        )
    )
    real = [value for value in single if value != IDLE]
    real.sort(key=lambda value: CONTROLS.index(value) if value in CONTROLS else len(CONTROLS))
    with suppress(ValueError, UserError):  # neither numbers nor shapes: the order of the runs
        real.sort(key=_size)
    return [IDLE] * (IDLE in single) + real


def _size(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return parse_shape(value).layer_parameters


def values_of(runs: pd.DataFrame, axis: str) -> list[str]:
    """The values of an axis in the order in which the study names them.

    Runs are in the order of the study, but a value that its first setting lacks appears late. So
    the order comes from runs that differ only in the axis. If they disagree, it is that of
    `levels`.
    """
    values = levels(runs[axis])
    others = ["task", "seed", *(other for other in studied(runs) if other != axis)]
    before: dict[str, set[str]] = {value: set() for value in values}
    for _, column in runs.groupby(others, sort=False)[axis]:
        row = list(dict.fromkeys(values_in(text)[0] for text in column))
        for first, second in pairwise(row):
            before[second].add(first)
    if levels(pd.Series(values[::-1], dtype=object)) == values:  # by size, whatever the runs say
        return values
    ordered: list[str] = []
    while len(ordered) < len(values):
        ready = [v for v in values if v not in ordered and before[v] <= {*ordered}]
        if not ready:
            return values
        ordered.append(ready[0])
    return levels(pd.Series(ordered, dtype=object))


def disagreements(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """For each pair of rows, in how many `columns` they differ. Idle equals every value."""
    count = np.zeros((len(frame), len(frame)), dtype=np.int8)
    for column in columns:
        own = frame[column].to_numpy(object)
        if not (own != own[:1]).any():  # most columns, and this is the quickest to see
            continue
        codes, values = pd.factorize(own)
        parts = [set(values_in(value)) for value in values]
        differ = [[IDLE not in a | b and not a & b for b in parts] for a in parts]
        if len(parts) > 1:
            count += np.array(differ)[codes][:, codes]
    return count


def control_of(frame: pd.DataFrame) -> str:
    """The study's control: knowledge 'logits', otherwise 'none'; '' if it ran neither."""
    values = levels(frame["knowledge"])
    return next((name for name in reversed(CONTROLS) if name in values), "")
