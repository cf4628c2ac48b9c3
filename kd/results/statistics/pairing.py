"""Pairs each run with its control, and adds the average over tasks."""

from typing import Any

import numpy as np
import pandas as pd

from kd.axes.labels import parts as values_in
from kd.results.statistics.runs import (
    ALIAS,
    AVERAGE,
    AXES,
    BUNDLE,
    CELL,
    IDLE,
    TERMS,
    control_of,
    disagreements,
    followers,
    studied,
)


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs, with rows for the average over tasks, each run's role and its differences.

    Columns are added: `role` (control, none, distilled), `difference` to the study's control, and
    `difference_none` to the run that learns hard labels only.
    """
    control = control_of(frame)
    plain = _split_chance_aliases(without_controls_matching(frame))
    # A copy is in one piece: exploded frames have a block for each column, and pandas warns.
    runs = _with_average(_spread(plain)).reset_index(drop=True).copy()
    names = runs["knowledge"].map(values_in)
    is_control = names.map(lambda parts: control in parts).astype(bool)
    is_none = names.map(lambda parts: "none" in parts).astype(bool)
    runs["role"] = np.select([is_control, is_none], ["control", "none"], "distilled")
    free = _free(runs)
    runs[["difference", "difference_none"]] = np.nan
    for _, group in runs.groupby(["task", "seed"], sort=False):
        for column, chosen in (("difference", is_control), ("difference_none", is_none)):
            mask = chosen[group.index].to_numpy()
            runs.loc[group.index, column] = _differences(group, mask, free)
    return runs


def control_runs(runs: pd.DataFrame) -> "pd.Series[Any]":
    """For each row of prepared runs, the ids of the runs that its `difference` is taken to.

    Empty for controls, for runs without one, and for the average over tasks.
    """
    controls = pd.Series([()] * len(runs), index=runs.index, dtype=object)
    free = _free(runs)
    for _, group in runs[runs["task"] != AVERAGE].groupby(["task", "seed"], sort=False):
        is_control = (group["role"] == "control").to_numpy()
        names = group.loc[is_control, "run"].to_numpy()
        for row, near in zip(group.index, _nearest(group, is_control, free), strict=True):
            controls[row] = tuple(map(str, names[near]))
    return controls


def _free(runs: pd.DataFrame) -> list[str]:
    """The axes in which a control may differ: its terms, and all that a preset stands for."""
    bundled = [axis for axis, leader in followers(runs).items() if leader == BUNDLE]
    return [*TERMS, BUNDLE, *bundled]


def without_controls_matching(frame: pd.DataFrame) -> pd.DataFrame:
    """Blank the control's own matching, unless it has several: KL here and MSE for a regression
    are one control, and no value on the axis of how the other knowledge is matched."""
    own = frame["knowledge"] == control_of(frame)
    if frame[own].groupby("task")["matching"].nunique().max() > 1:
        return frame
    return frame.assign(matching=frame["matching"].mask(own, IDLE))


def _split_chance_aliases(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat a run for each of its values, if these differ for other seeds or tasks.

    A random mapping can draw the uniform one. Then 'uniform = random' counts for this seed of
    uniform and of random. That is also so if all seeds of a task draw it, because otherwise neither
    value would have an average over tasks. If the values are equal for all seeds and tasks, they
    stay one cell.
    """
    names = studied(frame)
    for axis in names:
        others = [other for other in names if other != axis]
        settings = list(map(tuple, frame[others].to_numpy()))
        alone: dict[tuple[str, ...], set[str]] = {}
        for setting, value in zip(settings, frame[axis], strict=True):
            if ALIAS not in value:
                alone.setdefault(setting, set()).add(value)
        values = [
            parts if alone.get(setting, set()) & set(parts) else [value]
            for setting, value in zip(settings, frame[axis], strict=True)
            for parts in [values_in(value)]
        ]
        frame = frame.assign(**{axis: pd.Series(values, index=frame.index, dtype=object)})
        frame = frame.explode(axis, ignore_index=True)
    return frame


def _spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat a run for each value of an axis that cannot affect it but matters on other tasks.

    Temperature cannot affect a regression. Its one run is the score of that task at each
    temperature.
    """
    names = studied(frame)
    frame = frame.reset_index(drop=True)
    for axis in names:
        others = [other for other in names if other != axis]
        settings = list(map(tuple, frame[others].to_numpy()))
        real: dict[tuple[str, ...], dict[str, None]] = {}
        for setting, value in zip(settings, frame[axis], strict=True):
            if value != IDLE:
                real.setdefault(setting, {})[value] = None
        values = [
            list(real.get(setting, [IDLE])) if value == IDLE else [value]
            for setting, value in zip(settings, frame[axis], strict=True)
        ]
        frame = frame.assign(**{axis: pd.Series(values, dtype=object)})
        frame = frame.explode(axis, ignore_index=True)
    return frame


def _with_average(frame: pd.DataFrame) -> pd.DataFrame:
    """Add one row per cell and seed for the mean over tasks, blank if a task is missing."""
    tasks = frame["task"].nunique()
    if tasks < 2:
        return frame
    keys = [*studied(frame), "seed"]
    rest = [axis for axis in CELL if axis not in keys]
    masked = frame.copy()
    masked[rest] = masked[rest].mask(masked[rest] == IDLE)
    groups = masked.groupby(keys, sort=False)
    rows = groups.first()
    for axis in rest:
        rows[axis] = rows[axis].where(groups[axis].nunique() < 2, "by task").fillna(IDLE)
    for name in ("score", "teacher_score", "majority_score"):
        rows[name] = groups[name].mean().where(groups[name].count() == tasks)
    failed = groups["status"].agg(lambda status: "failed" in set(status))
    rows["status"] = np.select([rows["score"].notna(), failed], ["done", "failed"], "missing")
    rows = rows.reset_index().assign(task=AVERAGE, error="")
    rows["run"] = [f"{AVERAGE} {i}" for i in range(len(rows))]
    return pd.concat([frame, rows[list(frame)]])


def _differences(group: pd.DataFrame, is_control: np.ndarray, free: list[str]) -> np.ndarray:
    """Score minus the mean score of the nearest controls (`_nearest`)."""
    score = group["score"].to_numpy(float)
    near = _nearest(group, is_control, free)
    control = np.where(near, score[is_control], 0.0).sum(axis=1)  # NaN if one of them is missing
    with np.errstate(invalid="ignore"):
        return score - control / near.sum(axis=1)  # 0/0, where there is none, is NaN


def _nearest(group: pd.DataFrame, is_control: np.ndarray, free: list[str]) -> np.ndarray:
    """(runs, controls) bool: the controls that differ from a run only in `free`.

    If several controls share the settings of a run, the nearest in its terms is taken (logits by
    MSE for hidden states by MSE). If all are equally near (one at each temperature, for a run
    without a temperature), all are taken.
    """
    settings = [axis for axis in CELL if axis not in free]
    same = disagreements(group, settings)[:, is_control] == 0
    terms = [axis for axis in TERMS if axis in group]
    far = np.where(same, disagreements(group, terms)[:, is_control], len(AXES))
    nearest: np.ndarray = far == far.min(axis=1, initial=len(AXES))[:, None]
    return same & nearest & ~is_control[:, None]
