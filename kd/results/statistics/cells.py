"""From runs to cells: one row per cell and task, with n, mean, interval, difference and p."""

import numpy as np
import pandas as pd

from kd.results.statistics.intervals import bootstrap, holm, seed_means
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, CELL, control_of, metric, studied
from kd.results.statistics.selection import CHOSEN

_COUNTED = ("score", "difference", "difference_none")


def describe(runs: pd.DataFrame, keys: list[str], resample: bool = False) -> pd.DataFrame:
    """One row per group of prepared runs: counts, means and their uncertainty over seeds.

    `runs` come from `prepare`; `keys` are columns of theirs. Scores and differences are fractions.

    Columns: n (runs done), n_expected, seeds, mean, sd, low, high (t interval), with `resample`
    also boot_low and boot_high; pairs, difference, difference_sd, difference_low, difference_high,
    p (paired, to the control; not corrected); the same for difference_none; missing, in words.
    """
    names = studied(runs)
    unique = runs.drop_duplicates([*keys, "run"])
    blocks = unique.groupby([*names, "task"], sort=False).ngroup()
    unique = unique.assign(block=blocks, stratum=unique["task"])
    groups = unique.groupby(keys, sort=False)
    table = groups.agg(
        n=("score", "count"),
        n_expected=("score", "size"),
        pairs=("difference", "count"),
        pairs_none=("difference_none", "count"),
        teacher_score=("teacher_score", "mean"),
        majority_score=("majority_score", "mean"),
        failed=("status", lambda status: int((status == "failed").sum())),
    )
    for column in _COUNTED:
        units = _tasks_for_average(unique, keys, names, column)
        means = seed_means(units, keys, column).reindex(table.index)
        if column == "score":
            table["seeds"] = means["seeds"].fillna(0).astype(int)
            table[["mean", "sd", "low", "high"]] = means[["mean", "sd", "low", "high"]]
            if resample:
                table[["boot_low", "boot_high"]] = bootstrap(means["mean"], means["spread"])
        else:
            table[column] = means["mean"]
            for name in ("sd", "low", "high"):
                table[f"{column}_{name}"] = means[name]
            table["p" + column.removeprefix("difference")] = means["p"]
    table["missing"] = [
        f"{total - n} of {total} missing ({failed} failed)" if n < total else ""
        for n, total, failed in table[["n", "n_expected", "failed"]].itertuples(index=False)
    ]
    return table.drop(columns="failed").reset_index()


def _tasks_for_average(
    runs: pd.DataFrame, keys: list[str], names: list[str], column: str
) -> pd.DataFrame:
    """Replace each row of the average over tasks by the rows of its tasks.

    The interval of the average comes from their spread within tasks. A setting that differs by task
    without being an axis is taken from the row of the average, so that it stays in its group.
    """
    if "task" not in keys or AVERAGE not in set(runs["task"]):
        return runs
    real = runs[runs["task"] != AVERAGE]
    others = [key for key in keys if key != "task" and key not in names]
    same = [*names, "seed", *(key for key in others if key not in CELL)]
    by_task = [key for key in others if key in CELL]
    whole = runs.loc[(runs["task"] == AVERAGE) & runs[column].notna(), [*same, *by_task]]
    averaged = real.drop(columns=by_task).merge(whole, on=same).assign(task=AVERAGE)
    return pd.concat([real, averaged], ignore_index=True)


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and task, and per cell for the average over tasks; scores as in runs.csv.

    `frame` has the columns of runs.csv, as `read_runs` gives them. Scores are fractions.

    The average of a seed is the mean of its scores on every task of the study, as on GLUE; a seed
    that lacks one has none. Cells whose runs are missing keep their row, with n = 0. `p_holm` is
    corrected over all cells where the row is the average (or the only task), and over all cells
    and tasks where it is one of several tasks. Where the study tunes axes, `chosen` has the values
    at which each cell is shown.
    """
    runs = prepare(frame)
    keys = [*CELL, "task"]
    table = describe(runs, keys, resample=True)
    objectives = runs.groupby(keys, sort=False)["objective"]
    shown = objectives.first().where(objectives.nunique() == 1, "differs by seed")
    for suffix in ("", "_none"):
        table[f"p{suffix}_holm"] = corrected(table, f"p{suffix}")
    if CHOSEN in runs:
        values = runs.groupby(keys, sort=False)[CHOSEN].first()
        alone = (table["task"] != AVERAGE).to_numpy()
        table[CHOSEN] = np.where(alone, values.to_numpy(), "by task")
    return table.assign(
        metric=table["task"].map(lambda task: metric(task, runs)),
        objective=shown.to_numpy(),
        control=np.where(table["pairs"] > 0, control_of(frame), ""),
    )


def corrected(table: pd.DataFrame, column: str = "p") -> np.ndarray:
    """Holm's correction of a description by cell and task. The average has its own family.

    `table` has the columns task and `column` (p values); the result is (rows,).
    """
    p = np.full(len(table), np.nan)
    average = (table["task"] == AVERAGE).to_numpy()
    for family in (average, ~average):
        p[family] = holm(table.loc[family, column])
    return p
