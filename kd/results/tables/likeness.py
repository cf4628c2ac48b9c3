"""The table of agreement with the teacher beside the score, by knowledge."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from kd.results.numbers import NOTHING, interval, p_text, plain
from kd.results.statistics.effects import contrasts
from kd.results.statistics.runs import AVERAGE, studied, values_of
from kd.results.statistics.views import grid_view
from kd.results.tables.table import Table

_TESTED = ["95 % interval", "p (Holm)"]


def likeness_table(runs: pd.DataFrame) -> Table | None:
    """A row per knowledge: mean agreement and score, then every two values against each other in
    both; None where knowledge does not vary or runs have no agreement. `runs` are prepared."""
    if "knowledge" not in studied(runs) or "agreement" not in runs:
        return None
    runs = runs[runs["task"] != AVERAGE]
    both = runs["agreement"].notna() & runs["score"].notna()
    runs = runs.assign(score=runs["score"].where(both), agreement=runs["agreement"].where(both))
    view, note = grid_view(runs, ["knowledge"])
    means = view.groupby(["knowledge", "task"], sort=False)[["agreement", "score"]].mean()
    by_value = means.groupby("knowledge", sort=False)
    whole = by_value.count().eq(by_value.size(), axis=0)  # a value that lacks a task has no mean
    over_tasks = by_value.mean().where(whole)
    counts = view.dropna(subset="agreement").groupby("knowledge")["run"].nunique()
    values = [value for value in values_of(runs, "knowledge") if value in counts]
    if len(values) < 2:
        return None
    rows = []
    for value in values:
        agreement, score = (plain(100 * over_tasks[c][value], 1) for c in ("agreement", "score"))
        blank = [NOTHING] * len(_TESTED)
        rows.append([value, agreement, *blank, score, *blank, str(counts[value])])
    by_agreement = contrasts(runs.assign(score=runs["agreement"]), "knowledge")
    by_score = {(r["a"], r["b"]): r for r in contrasts(runs, "knowledge").to_dict("records")}
    for contrast in by_agreement.to_dict("records"):
        other = by_score[contrast["a"], contrast["b"]]
        if contrast["pairs"]:
            cells = [*_contrast(contrast), *_contrast(other), str(contrast["pairs"])]
            rows.append([f"{contrast['b']} − {contrast['a']}", *cells])
    return Table(
        "Likeness to the teacher beside the score, in points (× 100): means by knowledge, then "
        f"paired differences on the same task with the same seed{'; ' * bool(note)}{note}.",
        ["knowledge", "agreement", *_TESTED, "score", *_TESTED, "runs or pairs"],
        rows,
        notes=[
            "agreement: percent of dev examples for which student and teacher choose the same "
            "class; of a regression, the correlation of their scores × 100",
            "t interval over seeds; p corrected over all pairs of values, for each measure apart",
        ],
    )


def _contrast(row: Mapping[Any, Any]) -> list[str]:
    return [
        plain(100 * row["mean"], 1, True),
        interval(row["low"], row["high"]) or NOTHING,
        p_text(row["p_holm"]),
    ]
