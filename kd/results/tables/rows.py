"""What the tables share: cells by task, teachers, references, notes on missing runs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from kd.results.numbers import NOTHING, plain, points
from kd.results.statistics.runs import ALIAS, AVERAGE, CELL, each, levels, metric, teacher_names
from kd.results.statistics.selection import CHOSEN, TUNED

Cells = dict[tuple[str, ...], dict[str, Any]]  # rows of a description by cell, then by task
SHOWN = 12  # missing cells that a footnote names one by one
SELECTED = "the best cell is chosen on the dev scores that are shown, so its lead is optimistic"


def by_teacher(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each teacher, and its runs: those of it alone where there are any."""
    names = teacher_names(runs)
    for teacher in levels(names):
        own = names.map(lambda text, name=teacher: name in text.split(ALIAS))
        exact = runs[names == teacher]
        yield teacher, exact if len(exact) else runs[own.astype(bool)]


def reference_scores(runs: pd.DataFrame, column: str, tasks: list[str]) -> list[str]:
    """One reference score per task, and their average if every task has one."""
    means = runs.groupby("task")[column].mean().reindex(tasks)
    means[AVERAGE] = means.drop(AVERAGE, errors="ignore").mean(skipna=False)
    return [plain(100 * means[task], 1) for task in tasks]


def cells_by_task(table: pd.DataFrame, names: Sequence[str]) -> Cells:
    """Rows of `table` by cell, then by task."""
    cells: Cells = {}
    for row in each(table):
        cells.setdefault(tuple(getattr(row, name) for name in names), {})[str(row.task)] = row
    return cells


def score_text(row: Any) -> str:
    """A row of `describe` as '81.2 ± 0.4 (3)', or a dash."""
    return points(row.mean, row.sd, row.n, row.n_expected) if row else NOTHING


def difference_text(row: Any) -> str:
    """The paired difference to the control in the same form; * is significant after correction."""
    if not row:
        return NOTHING
    numbers = (row.difference, row.difference_sd, row.pairs, row.n_expected)
    return points(*numbers, signed=True) + "*" * bool(row.p_holm < 0.05)


def metrics_note(runs: pd.DataFrame, tasks: list[str]) -> str:
    """What the score of each task measures."""
    return "; ".join(f"{task}: {metric(task, runs)}" for task in tasks)


def tuned_notes(runs: pd.DataFrame) -> list[str]:
    """A note on axes that are tuned; [] if none is."""
    tuned = [axis for axis in CELL if (runs[axis] == TUNED).all()]
    if CHOSEN not in runs or not tuned:
        return []
    return [
        f"each cell is at the {' and '.join(tuned)} that is best on the held-out slice of the "
        "training split; table selected says which, summary.csv has it in the column chosen"
    ]


def missing_notes(
    cells: Cells, label: Callable[[Sequence[str]], str], tasks: list[str]
) -> list[str]:
    """Notes on dashes and on cells with fewer runs than planned."""
    lost, never = [], []
    for cell, by in cells.items():
        for task in tasks:
            if task not in by:
                never.append(f"{label(cell)} on {task}")
            elif task != AVERAGE and by[task].missing:
                lost.append(f"{label(cell)} on {task}: {by[task].missing}")
    return [
        *listed_note(f"{NOTHING} or fewer runs than planned", lost),
        *listed_note(f"{NOTHING} not planned", never),
        *["average: over the seeds that finished every task"] * (AVERAGE in tasks),
    ]


def listed_note(what: str, items: list[str]) -> list[str]:
    """A note that names the first of some items; [] if there are none."""
    more = f"; and {len(items) - SHOWN} more, see summary.csv" if len(items) > SHOWN else ""
    return [f"{what}: {'; '.join(items[:SHOWN])}{more}"] if items else []
