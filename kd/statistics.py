"""From runs to cells: means over seeds, intervals, paired differences to the control."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from kd.errors import UserError, listing
from kd.fields import RUN_FIELDS
from kd.tasks import TASKS

AXES = list(RUN_FIELDS)
CELL = [axis for axis in AXES if axis not in ("task", "seed")]
TERMS = ["knowledge", "matching", "mapping", "relation_heads"]  # what a control lacks
NUMBERS = [
    *("score", "teacher_score", "majority_score", "student_parameters", "teacher_parameters"),
    *("student_nonembedding_parameters", "train_seconds", "examples_per_second", "examples_eval"),
]
TEXTS = [
    *("error", "objective", "split", "device", "threads", "kd_version", "torch_version"),
    *("transformers_version", "python_version", "data_source", "data_fingerprint", "created"),
]
CONTROLS = ["none", "logits"]  # knowledge of the runs that others are compared with
IDLE = "-"  # the value of an axis that cannot affect the run
ALIAS = " = "  # joins the values of cells that are one and the same run
AVERAGE = "average"  # the pseudo-task that holds the mean over all tasks


def metric(task: str) -> str:
    """What the score of `task` measures."""
    if task == AVERAGE:
        return "mean over tasks"
    metrics = TASKS[task].metrics if task in TASKS else ("score",)
    names = [name.title() if name not in ("accuracy", "score") else name for name in metrics]
    return f"mean of {' and '.join(names)}" if len(names) > 1 else names[0]


def read_runs(path: Path) -> pd.DataFrame:
    """Read runs.csv: axis values as the text that was written, measurements as numbers."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    lacking = [name for name in ["run", "status", "score", *AXES] if name not in frame]
    if lacking:
        raise UserError(f"{path}: not a runs.csv, it has no column {listing(lacking)}")
    frame = frame.reindex(columns=list(dict.fromkeys([*frame, *TEXTS, *NUMBERS])))
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name].replace("", np.nan))
    frame[TEXTS] = frame[TEXTS].fillna("")
    frame[AXES] = frame[AXES].replace("", IDLE)
    # A score counts only where the run says that it is done.
    frame["score"] = frame["score"].where(frame["status"] == "done")
    return frame


def axes(frame: pd.DataFrame) -> list[str]:
    """The axis columns that vary among the runs, in the fixed order.

    Only variation within a task counts, and for matching, mapping and relation heads only within
    one knowledge: a column that follows another (epochs set per task, say) is no axis of its own,
    and neither is one whose second value is "cannot matter here".
    """
    real = frame[AXES].mask(frame[AXES] == IDLE)
    varying = real.groupby(frame["task"]).nunique().max()
    varying[TERMS[1:]] = (
        real.groupby([frame["task"], frame["knowledge"]])[TERMS[1:]].nunique().max()
    )
    varying["task"] = frame["task"].nunique()
    return [axis for axis in AXES if varying[axis] > 1]


def studied(frame: pd.DataFrame) -> list[str]:
    """The varying axes that tell cells apart: all but task and seed."""
    return [axis for axis in axes(frame) if axis in CELL]


def levels(values: "pd.Series[str]") -> list[str]:
    """The single values in a column: numbers by size, others as they appear, controls first."""
    found = list(dict.fromkeys(part for value in values for part in value.split(ALIAS)))
    real = [value for value in found if value != IDLE]
    real.sort(key=lambda value: CONTROLS.index(value) if value in CONTROLS else len(CONTROLS))
    with suppress(ValueError):  # where they are no numbers, the order of the runs stands
        real.sort(key=float)
    return [IDLE] * (IDLE in found) + real


def disagreements(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """For each pair of rows, in how many of `columns` they differ; idle agrees with everything."""
    count = np.zeros((len(frame), len(frame)), dtype=np.int8)
    for column in columns:
        codes, values = pd.factorize(frame[column])
        parts = [set(value.split(ALIAS)) for value in values]
        differ = [[IDLE not in a | b and not a & b for b in parts] for a in parts]
        if len(parts) > 1:
            count += np.array(differ)[codes][:, codes]
    return count


def control_of(frame: pd.DataFrame) -> str:
    """The study's control: knowledge 'logits', else 'none'; '' where it ran neither."""
    found = levels(frame["knowledge"])
    return next((name for name in reversed(CONTROLS) if name in found), "")


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs, with rows for the average over tasks, each run's role and its difference."""
    control = control_of(frame)
    plain = _split_chance_aliases(_without_matching(frame, control))
    runs = _with_average(_spread(plain)).reset_index(drop=True)
    names = runs["knowledge"].str.split(ALIAS)
    is_control = names.map(lambda parts: control in parts).astype(bool)
    is_none = names.map(lambda parts: "none" in parts).astype(bool)
    runs["role"] = np.select([is_control, is_none], ["control", "none"], "distilled")
    runs["difference"] = np.nan
    for _, group in runs.groupby(["task", "seed"], sort=False):
        runs.loc[group.index, "difference"] = _differences(group)
    return runs


def _without_matching(frame: pd.DataFrame, control: str) -> pd.DataFrame:
    """Blank the control's own matching, unless it has several: KL here and MSE for a regression
    are one control, and no value on the axis of how the other knowledge is matched."""
    own = frame["knowledge"] == control
    if frame[own].groupby("task")["matching"].nunique().max() > 1:
        return frame
    return frame.assign(matching=frame["matching"].mask(own, IDLE))


def _split_chance_aliases(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat a run for each value it stands for, where other seeds keep the values apart.

    A random mapping can draw the uniform one: 'uniform = random' at one seed must count as that
    seed of uniform and of random. Where all seeds agree, the values are one cell and stay one.
    """
    names = studied(frame)
    for axis in names:
        others = [*(other for other in names if other != axis), "task"]
        settings = list(map(tuple, frame[others].to_numpy()))
        alone: dict[tuple[str, ...], set[str]] = {}
        for setting, value in zip(settings, frame[axis], strict=True):
            if ALIAS not in value:
                alone.setdefault(setting, set()).add(value)
        values = [
            parts if alone.get(setting, set()) & set(parts) else [value]
            for setting, value in zip(settings, frame[axis], strict=True)
            for parts in [value.split(ALIAS)]
        ]
        frame = frame.assign(**{axis: pd.Series(values, index=frame.index, dtype=object)})
        frame = frame.explode(axis, ignore_index=True)
    return frame


def _spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat a run for each value of an axis that matters on other tasks and not on its own.

    Temperature cannot affect a regression; its one run is that task's score at each temperature.
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
    """Add one row per cell and seed for the mean over tasks, blank unless every task is there."""
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


def _differences(group: pd.DataFrame) -> np.ndarray:
    """Score minus the score of the control that differs in nothing but its knowledge terms.

    Several controls can share a run's settings: the nearest in its terms is meant (logits by MSE
    for hidden states by MSE). Where all are as near (one at each temperature, for a run that has
    none), it is the mean of them all.
    """
    is_control = (group["role"] == "control").to_numpy()
    score = group["score"].to_numpy(float)
    same = disagreements(group, [axis for axis in CELL if axis not in TERMS])[:, is_control] == 0
    far = np.where(same, disagreements(group, TERMS)[:, is_control], len(AXES))
    near = same & (far == far.min(axis=1, initial=len(AXES))[:, None]) & ~is_control[:, None]
    control = np.where(near, score[is_control], 0.0).sum(axis=1)  # NaN if one of them is missing
    with np.errstate(invalid="ignore"):
        return score - control / near.sum(axis=1)  # 0/0, where there is none, is NaN


def describe(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row per group of prepared runs: n, mean, sd and 95 % t interval of score, difference."""
    groups = runs.drop_duplicates([*keys, "run"]).groupby(keys, sort=False)
    table = groups.agg(
        n=("score", "count"),
        n_expected=("score", "size"),
        mean=("score", "mean"),
        sd=("score", "std"),
        pairs=("difference", "count"),
        difference=("difference", "mean"),
        difference_sd=("difference", "std"),
        teacher_score=("teacher_score", "mean"),
        majority_score=("majority_score", "mean"),
        failed=("status", lambda status: int((status == "failed").sum())),
    )
    for prefix, n, mean, sd in (
        ("", "n", "mean", "sd"),
        ("difference_", "pairs", "difference", "difference_sd"),
    ):
        half = stats.t.ppf(0.975, table[n] - 1) * table[sd] / np.sqrt(table[n])
        table[f"{prefix}low"], table[f"{prefix}high"] = table[mean] - half, table[mean] + half
    table["missing"] = [
        f"{total - n} of {total} missing ({failed} failed)" if n < total else ""
        for n, total, failed in table[["n", "n_expected", "failed"]].itertuples(index=False)
    ]
    return table.drop(columns="failed").reset_index()


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and task, and per cell for the average over tasks; scores as in runs.csv.

    The average of a seed is the mean of its scores on every task of the study, as on GLUE; a seed
    that lacks one has none. Cells whose runs are missing keep their row, with n = 0.
    """
    runs = prepare(frame)
    keys = [*CELL, "task"]
    table = describe(runs, keys)
    objectives = runs.groupby(keys, sort=False)["objective"]
    shown = objectives.first().where(objectives.nunique() == 1, "differs by seed")
    return table.assign(
        metric=table["task"].map(metric),
        objective=shown.to_numpy(),
        control=np.where(table["pairs"] > 0, control_of(frame), ""),
    )


def axis_view(runs: pd.DataFrame, axis: str) -> tuple[pd.DataFrame, str]:
    """The prepared runs that show what `axis` does, like with like, and in words which these are.

    Columns are added: `value`, one value of the axis (a run that stands for several has a row for
    each), and `series`, "control" or "main". Where a study distils at all, main holds no run that
    does not (unless the axis is what is distilled). Controls that the axis cannot affect are its
    reference: they stand beside it under the idle value.
    """
    others = [other for other in studied(runs) if other != axis]
    base = _base(runs)
    frames, kept, total, like = [], 0, 0, True
    for _, group in runs.groupby("task", sort=False):
        cells = group.drop_duplicates([axis, *others])
        on = (cells[axis] != IDLE).to_numpy()
        keep = on & _like_with_like(cells, axis, others, base)
        like &= bool(keep.any())
        keep = keep if keep.any() else on
        kept, total = kept + int(keep.sum()), total + int(on.sum())
        settings = [other for other in others if other not in TERMS]
        beside = (disagreements(cells, settings) == 0)[:, keep].any(axis=1)
        keep = keep | (~on & (cells["role"] == "control").to_numpy() & beside)
        frames.append(group.merge(cells.loc[keep, [axis, *others]]))
    view = pd.concat(frames, ignore_index=True)
    if axis != "knowledge":
        main = next(
            (role for role in ("distilled", "control") if role in set(view["role"])), "none"
        )
        view = view[view["role"].isin([main, "control"])]
        view = view.assign(series=np.where(view["role"] == main, "main", "control"))
    else:
        view = view.assign(series=np.where(view["role"] == "control", "control", "main"))
    view = view.assign(value=view[axis].str.split(ALIAS)).explode("value", ignore_index=True)
    if not like:
        return view, "NOT like with like: no setting of the other axes was planned with every value"
    if base is not None:
        return view, "all other axes at the study's base"
    if kept < total:
        return view, f"{kept} of {total} cells: only settings planned with every value"
    return view, "over all settings of the other axes" if others else ""


def at_base(runs: pd.DataFrame, free: Sequence[str]) -> pd.DataFrame:
    """The runs at the study's base in all axes but `free`; all runs of a factorial design."""
    base = _base(runs)
    if base is None:
        return runs
    fixed = [axis for axis in studied(runs) if axis not in free]
    return runs[disagreements(pd.concat([base, runs]), fixed)[0, 1:] == 0]


def _like_with_like(
    cells: pd.DataFrame, axis: str, others: list[str], base: pd.DataFrame | None
) -> np.ndarray:
    """Which cells may be compared along `axis`: a value must not look better for its setting.

    One at a time: those at the base in all else. Otherwise those whose setting of the other axes
    was planned with every value of this one.
    """
    if base is not None:
        return disagreements(pd.concat([base, cells]), others)[0, 1:] == 0
    alike = disagreements(cells, others) == 0
    keep = np.ones(len(cells), dtype=bool)
    for value in levels(cells[axis]):
        if value != IDLE:
            has = cells[axis].map(lambda text, value=value: value in text.split(ALIAS))
            keep &= alike[:, has.to_numpy(bool)].any(axis=1)
    return keep


def _base(runs: pd.DataFrame) -> pd.DataFrame | None:
    """The cell from which every other differs in one axis, where the design has one such cell."""
    names = studied(runs)
    cells = runs.drop_duplicates(names) if len(names) > 1 else runs[:0]
    far = disagreements(cells, names).max(axis=1, initial=0)
    whole = (cells[names] != IDLE).all(axis=1).to_numpy(bool)
    centre = cells[(far <= 1) & whole]
    return centre if len(centre) == 1 else None
