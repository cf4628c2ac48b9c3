"""Findings of a study as sentences with numbers."""

from typing import Any

import pandas as pd

from kd.axes.figures import axis_words
from kd.results.numbers import plain, points
from kd.results.report.words import p_words, significance, span
from kd.results.statistics.cells import corrected, describe
from kd.results.statistics.effects import seed_share, variance
from kd.results.statistics.intervals import rounded
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, IDLE, control_of, each, metric, studied
from kd.runtime.words import count, listed

_SHOWN = 6  # cells that are named one by one


def headlines(frame: pd.DataFrame) -> list[str]:
    """A sentence or two per task: the best cell, its control, teacher and constant answer."""
    runs = prepare(frame)
    names = studied(runs) or ["knowledge"]
    table = describe(runs, [*names, "role", "task"])
    table["p_holm"] = corrected(table)
    control = control_of(runs)
    groups = table.groupby("task", sort=False)
    tested = {family: int(table.loc[own, "p"].notna().sum())
              for family in (True, False)
              for own in [(table["task"] == AVERAGE) == family]}  # fmt: skip
    return [
        _headline(
            str(task), metric(str(task), frame), rows, names, control, tested[task == AVERAGE]
        )
        for task, rows in groups
    ]


def main_task(table: pd.DataFrame) -> str:
    """The average over tasks, or else the first task, of those on which a cell has a mean."""
    done = list(dict.fromkeys(table.loc[table["mean"].notna(), "task"]))
    return str(AVERAGE if AVERAGE in done else (done or list(table["task"]))[0])


def _headline(
    task: str,
    measure: str,
    rows: pd.DataFrame,
    names: list[str],
    control: str,
    comparisons: int,
) -> str:
    done = rows.dropna(subset="mean")
    if done.empty:
        unit = "seed has finished every task" if task == AVERAGE else "run has finished"
        return f"{task}: no {unit}."
    best = _highest(done)
    title = f"{task} ({measure})"
    which = f"the best of {len(done)} cells" if len(done) > 1 else "the only cell that ran"
    if 1 < len(done) < len(rows):
        which = f"the best of the {len(done)} cells that ran ({len(rows)} planned)"
    text = f"{title}: {which} is {_named(best, names)} with {_score(best)}"
    means = rounded(done["mean"])
    rivals = done[(means == means[best.name]) & (done.index != best.name)]
    if len(rivals):
        text += f", tied with {listed(_named(row, names) for _, row in rivals.iterrows())}"
    whole = done[done["missing"] == ""]
    if best["missing"] and len(whole):
        other = _highest(whole)
        text += f"; the best complete cell is {_named(other, names)} with {_score(other)}"
    teacher = _reference(best, rows, "teacher_score")
    constant = _reference(best, rows, "majority_score")
    return (
        f"{text}. {_against(best, control, comparisons)} "
        f"The teacher scores {teacher}, the constant answer {constant}."
    )


def _highest(cells: pd.DataFrame) -> Any:
    return cells.loc[rounded(cells["mean"]).sort_values(kind="stable", ascending=False).index[0]]


def _named(cell: Any, names: list[str]) -> str:
    parts = [f"{axis_words(name)} `{cell[name]}`" for name in names if cell[name] != IDLE]
    return ", ".join(parts)


def _score(cell: Any) -> str:
    return points(cell["mean"], cell["sd"], cell["n"], cell["n_expected"])


def _reference(best: Any, rows: pd.DataFrame, column: str) -> str:
    return plain(100 * (best[column] if pd.notna(best[column]) else rows[column].mean()), 1)


def _against(best: Any, control: str, comparisons: int) -> str:
    if not control:
        return "The study has no control."
    if best["role"] == "control":
        return f"It is the control (`{control}`) itself."
    if best["pairs"] == 0:
        return "Its control has not finished."
    text = f"Against its control (`{control}`): {_points(best['difference'])}"
    pairs = count(int(best["pairs"]), "pair")
    if pd.isna(best["difference_low"]):
        return f"{text} ({pairs}; no interval)."
    low, high = 100 * best["difference_low"], 100 * best["difference_high"]
    sure = significance(best["p_holm"], comparisons)
    return f"{text} (95 % interval, not corrected: {span(low, high)}; {sure}; {pairs})."


def _points(fraction: float) -> str:
    return f"{plain(100 * fraction, 1, True)} points"


def effects(frame: pd.DataFrame) -> list[str]:
    """Sentences on what explains the variance of the score: axes, interactions, seeds."""
    table = variance(frame)
    if table.empty:
        return []
    mains = table[table["kind"] == "axis"].sort_values("share", ascending=False, kind="stable")
    told = [
        f"{axis_words(row.term)} explains {100 * row.share:.1f} %"
        + (f" ({p_words(row.p_holm)})" if pd.notna(row.p_holm) else "")
        for row in each(mains)
    ]
    if not told:
        return []
    text = f"Of the variance in scores within tasks, {listed(told, shown=12)}"
    if (noise := seed_share(table)) >= 0:
        text += f"; seeds and residual noise account for {100 * noise:.1f} %"
    elif frame["seed"].nunique() < 2:
        text += "; with one seed nothing can be tested"
    sentences = [text + "."]
    tested = table[table["kind"].isin(["pair", "task"]) & table["p_holm"].notna()]
    significant = tested[tested["p_holm"] < 0.05]
    if len(significant):
        told = [
            f"{row.term} ({100 * row.share:.1f} %, {p_words(row.p_holm)})"
            for row in each(significant)
        ]
        sentences.append(f"Significant interactions: {listed(told, shown=12)}.")
    elif len(tested):
        names = listed(tested["term"], shown=12)
        sentences.append(f"No significant interaction was found (tested: {names}).")
    return sentences


def winners(frame: pd.DataFrame) -> list[str]:
    """How many cells are better or worse than the control after correction, of how many planned."""
    runs = prepare(frame)
    names = studied(runs) or ["knowledge"]
    table = describe(runs, [*names, "role", "task"])
    table = table.assign(p_holm=corrected(table))
    task = main_task(table)
    control = control_of(frame)
    others = table[(table["task"] == task) & (table["role"] != "control")]
    tested = others[others["p_holm"].notna()]
    if others.empty or not control:
        return []
    if tested.empty and (others["pairs"] > 1).all():
        return [
            f"None of the {count(len(others), 'cell')} could be tested against the control "
            f"(`{control}`): the differences are the same with every seed."
        ]
    if tested.empty:
        return [
            f"None of the {count(len(others), 'cell')} could be tested against the control "
            f"(`{control}`): a test needs two seeds that finished every task in both."
        ]
    sure = tested[tested["p_holm"] < 0.05]
    better, worse = int((sure["difference"] > 0).sum()), int((sure["difference"] < 0).sum())
    which = f"Of the {count(len(others), 'cell')} other than the control (`{control}`)"
    which += f", {len(tested)} could be tested:" if len(tested) < len(others) else ","
    text = (
        f"{which} {better or 'none'} {'is' if better < 2 else 'are'} significantly better than it "
        f"and {worse or 'none'} {'is' if worse < 2 else 'are'} worse, after correction for "
        f"{count(len(tested), 'comparison')} of a cell with its control. (The answers compare "
        f"values of one axis, over all settings, and correct for all pairs of values.)"
    )
    rest = others[others["p_holm"].isna()]
    if len(rest):
        told = [_named(row, names) for _, row in rest.iterrows()]
        more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
        lost = ", because runs are missing" if (rest["missing"] != "").all() else ""
        text += f" Not tested{lost}: {'; '.join([*told[:_SHOWN], *more])}."
    return [text]
