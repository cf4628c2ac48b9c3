"""What a study found, in sentences with their numbers."""

from typing import Any

import pandas as pd

from kd.statistics.cells import corrected, describe
from kd.statistics.effects import SEEDS, variance
from kd.statistics.pairing import prepare
from kd.statistics.runs import IDLE, control_of, each, metric, studied
from kd.table import NOTHING, interval, p_text, plain, points


def headlines(frame: pd.DataFrame) -> list[str]:
    """A sentence or two per task: the best cell, its control, teacher and majority class."""
    runs = prepare(frame)
    names = studied(runs) or ["knowledge"]
    table = describe(runs, [*names, "role", "task"])
    table["p_holm"] = corrected(table)
    control = control_of(runs)
    groups = table.groupby("task", sort=False)
    return [_headline(str(task), rows, names, control) for task, rows in groups]


def _headline(task: str, rows: pd.DataFrame, names: list[str], control: str) -> str:
    if not rows["n"].any():
        return f"{task}: none of {rows['n_expected'].sum()} runs has finished."
    # A mean over fewer runs than planned wins only where no cell is complete.
    whole = rows[rows["missing"] == ""]
    pool = whole if len(whole) else rows
    best = pool.dropna(subset="mean").sort_values("mean", kind="stable").iloc[-1]
    cell = ", ".join(f"{name} {best[name]}" for name in names if best[name] != IDLE)
    score = points(best["mean"], best["sd"], best["n"], best["n_expected"])
    teacher, majority = (
        plain(100 * best[f"{name}_score"], 1)
        if pd.notna(best[f"{name}_score"])
        else plain(100 * rows[f"{name}_score"].mean(), 1)
        for name in ("teacher", "majority")
    )
    return (
        f"{task} ({metric(task)}): the best of {len(rows)} cells is {cell}, with {score}; "
        f"{_against(best, control)}. Teacher {teacher}, majority class {majority}."
    )


def _against(best: Any, control: str) -> str:
    if best["role"] == "control":
        return f"it is a control ({control}) itself"
    if best["pairs"] == 0:
        return "it has no control to be compared with"
    text = (
        f"paired difference to its control ({control}) {plain(100 * best['difference'], 1, True)}"
    )
    text += f" ({best['pairs']} pair{'s' * bool(best['pairs'] > 1)}"
    if pd.notna(best["difference_low"]):
        low, high = best["difference_low"], best["difference_high"]
        text += f", 95 % interval {interval(low, high)}" + ", which includes 0" * bool(
            low <= 0 <= high
        )
        text += f", p {p_text(best['p_holm'])} after Holm's correction"
    return text + ")"


def effects(frame: pd.DataFrame) -> list[str]:
    """What explains the variance of the score: axes, interactions that are told apart, seeds."""
    table = variance(frame)
    if table.empty:
        return []
    mains = table[table["kind"] == "axis"].sort_values("share", ascending=False)
    told = [
        f"{row.term.replace('_', ' ')} {100 * row.share:.1f} %"
        + (f" (p {p_text(row.p_holm)})" if p_text(row.p_holm) != NOTHING else "")
        for row in each(mains)
    ]
    noise = table.loc[table["term"] == SEEDS, "share"]
    text = f"Of the variance of the score within tasks, {', '.join(told)} is explained"
    text += f"; {100 * noise.iloc[0]:.1f} % is the seed" if len(noise) else "; one seed: no test"
    sentences = [text + "."]
    pairs = table[table["kind"] == "pair"]
    sure = pairs[pairs["p_holm"] < 0.05]
    if len(sure):
        told = [f"{row.term} {100 * row.share:.1f} %" for row in each(sure)]
        sentences.append(f"Choices that depend on each other: {', '.join(told)}.")
    elif pairs["p"].notna().any():
        sentences.append("No two choices are shown to depend on each other.")
    return sentences
