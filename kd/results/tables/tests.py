"""The tables of tests: variance, contrasts, ranks, students of equal cost."""

from typing import Any

import numpy as np
import pandas as pd

from kd.results.numbers import NOTHING, interval, p_text, plain
from kd.results.statistics.cost import iso_cost
from kd.results.statistics.effects import SEEDS, contrasts, variance
from kd.results.statistics.fraction import mixed_effects, part_of
from kd.results.statistics.intervals import LEVEL
from kd.results.statistics.looks import Looks, looks_of, share_of
from kd.results.statistics.pairing import prepare
from kd.results.statistics.ranks import rank
from kd.results.statistics.runs import control_of, each, studied
from kd.results.statistics.views import base_of
from kd.results.tables.rows import SELECTED
from kd.results.tables.table import Table
from kd.runtime.words import count
from kd.study.aliasing import mixed_sentence


def effects_table(frame: pd.DataFrame) -> Table | None:
    """The shares of the variance by axis."""
    table = variance(frame)
    if table.empty:
        return None
    rows = [
        [
            row.term,
            NOTHING if pd.isna(row.df) else f"{row.df:.0f}",
            f"{100 * row.share:.1f} %",
            NOTHING if pd.isna(row.unbiased) else plain(100 * row.unbiased, 1) + " %",
            NOTHING if pd.isna(row.F) else plain(row.F, 1),
            p_text(row.p_holm),
        ]
        for row in each(table)
    ]
    tested = table["p"].notna().any()
    notes = [
        "shares are of the variance within tasks; an axis is adjusted for the other axes, and a "
        "pair for all axes; in a grid with gaps the shares need not add up to 100 %",
        f"{SEEDS}: runs that differ in the seed alone",
        "F: the error is the change of the term from seed to seed on a task",
        "ω²: the share less what chance alone would give; negative: less than chance",
    ]
    if not tested:
        notes.append("nothing is tested, because there are no two seeds or their scores are equal")
    if part_of(frame):
        notes.append(
            "a part of the grid was run: a term 'a or b × c' is one effect, for the cells cannot "
            "tell the two apart; an axis that is partly mixed with interactions has no test"
        )
    if base_of(prepare(frame)) is not None:
        notes.append("one axis at a time was varied, so pairs of axes cannot be judged")
    return Table(
        "Where the variance of the score comes from (analysis of variance).",
        ["term", "df", "share (η²)", "unbiased (ω²)", "F", "p (Holm)"],
        rows,
        notes=notes,
    )


_PART = (
    "a part of the grid was run: effects of all axes are fitted together, and each seed on a task "
    "gives one difference, counted as a pair; the interval of an axis that is mixed with "
    "interactions of others also covers how far cells are from what the axes alone predict"
)


_LOOKS = (
    "look: the seeds of the last complete look, which alone count, and its part of the error rate "
    "of 5 %; interval and p hold for all looks together"
)


def _look(look: int, looks: Looks) -> str:
    return f"{look} ({100 * (1 - LEVEL) * share_of(look, looks):.3g} %)"


def _mixed_notes(runs: pd.DataFrame) -> list[str]:
    """What each axis is mixed with, where a part of the grid was run."""
    effects = mixed_effects(runs).effects.items() if part_of(runs) else ()
    return [text for effect, mixed in effects if (text := mixed_sentence(effect, mixed))]


def contrasts_table(runs: pd.DataFrame) -> Table | None:
    """The contrasts of each two values of every axis."""
    rows: list[list[str]] = []
    tested: list[float] = []
    looks = looks_of(runs)
    for axis in studied(runs):
        for row in each(contrasts(runs, axis).dropna(subset="mean")):
            look = [_look(row.look, looks)] if looks else []
            rows.append([axis, f"{row.b} − {row.a}", *contrast_cells(row), *look])
            tested.append(row.p_holm)
    if not rows:
        return None
    return Table(
        "Every two values of an axis: paired differences in points over all settings that were run "
        "with both, on the same task with the same seed.",
        ["axis", "difference", "mean", "95 % interval", "p (Holm)", "pairs", "seeds"]
        + ["look"] * bool(looks),
        rows,
        2,
        notes=[
            "t interval over seeds; p corrected over all pairs of values of the axis",
            *[_LOOKS] * bool(looks),
            *[_PART] * bool(part_of(runs)),
            *_mixed_notes(runs),
        ],
        first=np.argsort(tested, kind="stable").tolist(),  # NaN comes last
    )


def contrast_cells(row: Any) -> list[str]:
    """Mean, interval, p, pairs and seeds of one row of `contrasts`."""
    done = f"{row.pairs}" if row.pairs == row.planned else f"{row.pairs}/{row.planned}"
    return [
        plain(100 * row.mean, 1, True),
        interval(row.low, row.high) or NOTHING,
        p_text(row.p_holm),
        done,
        f"{max(1, int(row.seeds))}",
    ]


def ranks_table(runs: pd.DataFrame) -> Table | None:
    """Cells by their mean rank over tasks."""
    ranks = rank(runs)
    if ranks is None:
        return None
    names = studied(runs)
    control = control_of(runs)
    rows = [
        [
            *(str(getattr(row, name)) for name in names),
            f"{row.rank:.1f}",
            f"{row.best}" + f" ({row.shared} tied)" * bool(row.shared),
            f"{row.wins} of {row.compared}" + f" ({row.equal} equal)" * bool(row.equal)
            if row.compared
            else NOTHING,
            p_text(row.p_holm),
        ]
        for row in each(ranks.table)
    ]
    notes = [
        f"Friedman's test that all cells are equal: p {p_text(ranks.p)}; mean ranks that differ by "
        f"less than {ranks.critical:.1f} are not significantly different (Nemenyi, 5 %)",
        "p: Wilcoxon's signed-rank test over tasks against the control, Holm's correction"
        + "; below six tasks it cannot reach 0.05" * (ranks.tasks < 6),
        SELECTED,
    ]
    if ranks.left_out:
        notes.append(f"left out, because they lack a task: {count(ranks.left_out, 'cell')}")
    return Table(
        f"Cells ranked on each of {ranks.tasks} tasks by their mean over seeds (1 is best).",
        [*names, "mean rank", "tasks won", f"better than {control or 'control'}", "p (Holm)"],
        rows,
        len(names),
        notes=notes,
    )


def iso_cost_table(runs: pd.DataFrame) -> Table | None:
    """The contrasts of students of equal cost."""
    table = iso_cost(runs)
    if table.empty:
        return None
    rows = [
        [row.group, f"{row.b} − {row.a}", *contrast_cells(row)]
        for row in each(table.dropna(subset="mean"))
    ]
    return Table(
        "Students of equal cost (within 10 %): paired differences in points.",
        ["cost", "difference", "mean", "95 % interval", "p (Holm)", "pairs", "seeds"],
        rows,
        2,
        notes=["t interval over seeds; p corrected within a group of equal cost"],
    )
