"""The table of one axis: a row per value, and its paired difference to the control."""

import pandas as pd

from kd.axes.figures import axis_words
from kd.results.numbers import NOTHING
from kd.results.statistics.cells import corrected, describe
from kd.results.statistics.runs import IDLE, control_of, values_of
from kd.results.statistics.views import axis_view
from kd.results.tables.rows import (
    cells_by_task,
    difference_text,
    metrics_note,
    missing_notes,
    score_text,
    tuned_notes,
)
from kd.results.tables.table import Table


def value_label(value: str, series: str, control: str) -> str:
    """The name of a row of an axis view. The idle value stands for the control."""
    name = control if value == IDLE else value
    return f"{name} (control)" if series == "control" else name


def axis_table(runs: pd.DataFrame, axis: str) -> Table:
    """A row per value of `axis`, then each value's paired difference to the control."""
    view, note = axis_view(runs, axis)
    control = control_of(runs)
    tasks = list(dict.fromkeys(runs["task"]))
    table = describe(view, ["value", "series", "task"])
    table["p_holm"] = corrected(table.assign(p=table["p"].where(table["series"] == "main")))
    cells = cells_by_task(table, ["value", "series"])
    values = values_of(runs, axis)
    order = [(v, s) for v in values for s in ("main", "control") if (v, s) in cells]
    rows = [
        [value_label(*key, control), "score", *(score_text(cells[key].get(task)) for task in tasks)]
        for key in order
    ]
    compared = bool(control) and bool((view["role"] != "control").any())
    rows += [
        [key[0], f"difference to {control}", *(difference_text(cells[key].get(t)) for t in tasks)]
        for key in order
        if compared and key[1] == "main"
    ]
    about = (
        f"differences: mean ± standard deviation of the paired differences to the control, "
        f"{control}, in points; *: p < 0.05 after Holm's correction; {NOTHING}: no control "
        "has these settings"
    )
    return Table(
        f"Scores by {axis_words(axis)} in points (score × 100): mean over settings ± standard "
        f"deviation over seeds, with the number of runs in brackets{'; ' * bool(note)}{note}.",
        [axis, "shows", *tasks],
        rows,
        2,
        notes=[
            metrics_note(runs, tasks),
            *[about] * compared,
            *tuned_notes(runs),
            *missing_notes(cells, lambda key: value_label(key[0], key[1], control), tasks),
        ],
    )
