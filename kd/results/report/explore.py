"""The data of the report's charts and of its table of runs: plain data, from runs.csv alone."""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from kd.axes.figures import axis_words
from kd.results.columns import COLUMNS
from kd.results.report.charts import specifications
from kd.results.statistics.cells import describe
from kd.results.statistics.cost import COSTS, with_costs
from kd.results.statistics.effects import variance
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import (
    AVERAGE,
    AXES,
    IDLE,
    axes,
    control_of,
    each,
    studied,
    values_of,
)
from kd.results.statistics.views import axis_view, grid_view

_DIGITS = 6  # significant ones of a number
_PAIRS = 10  # pairs of axes that get a map: those that explain most
_HIDDEN = {"history", "error", "log", *AXES}  # columns of a run that have a place of their own


def explorer(
    every: pd.DataFrame,
    frame: pd.DataFrame,
    logged: Sequence[bool],
    study_file: str,
    folder: str,
    ends: Sequence[str] | None = None,
    tuned: Sequence[str] = (),
) -> dict[str, Any]:
    """What the script of the page draws.

    `every` has all runs, `frame` those that count: where the study tunes axes, each cell at its
    chosen value. `logged` says which runs have a log, `study_file` is how a command names the
    study, `folder` the folder of all runs, from that of the report, `ends` has the end of each
    run's log, `tuned` are the axes that are tuned. Scores are fractions;
    `effects`, `maps` and `importance` are the numbers of the figures of those names.
    """
    runs = with_costs(every)
    names = axes(every)
    prepared = prepare(frame)
    shares = variance(frame)
    columns = {name: runs[name] for name in COLUMNS if name in runs}
    columns["log"] = pd.Series(ends or [""] * len(runs))
    columns |= {f"cost:{name}": runs[name] for name in COSTS}
    tasks = list(dict.fromkeys(every["task"]))
    return {
        "count": len(runs),
        "columns": {name: column(values) for name, values in columns.items()},
        "logged": [int(value) for value in logged],
        "counted": every["run"].isin(frame["run"]).astype(int).tolist(),
        "axes": [_axis(every, name) for name in names],
        "fixed": [axis for axis in AXES if axis not in names],
        "more": [n for n in columns if n not in _HIDDEN and not n.startswith("cost:")],
        "units": {n: c.unit for n, c in COLUMNS.items() if c.unit},
        "costs": [[n, label, factor] for n, (label, factor) in COSTS.items() if _differs(runs, n)],
        "tuned": [*tuned],
        "tasks": _tasks(prepared, tasks),
        "effects": {axis: _effect(prepared, axis) for axis in studied(prepared)},
        "maps": [_map(prepared, a, b) for a, b in _map_pairs(prepared, shares)],
        "importance": _importance(shares),
        "charts": specifications([_axis(every, name) for name in names]),
        "study": study_file,
        "folder": folder,
    }


def to_script(data: dict[str, Any]) -> str:
    """JSON that may stand in a script element."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def column(values: "pd.Series[Any]") -> dict[str, Any]:
    """A column as `all`, its only value; `n`, its numbers; or `v` and `c`, its texts and for each
    row the place of its text in them. Unknown is null."""
    if pd.api.types.is_numeric_dtype(values):
        numbers = [_number(value) for value in values.astype(float)]
        return {"all": numbers[0]} if len(set(numbers)) == 1 else {"n": numbers}
    codes, texts = pd.factorize(values.fillna("").astype(str))
    distinct = [str(text) for text in texts]
    return {"all": distinct[0]} if len(distinct) == 1 else {"v": distinct, "c": codes.tolist()}


def _number(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _differs(runs: pd.DataFrame, measure: str) -> bool:
    """Whether students differ in a measure of cost, and not only runs of one student."""
    return bool(runs.groupby("student")[measure].median().nunique() > 1)


def _tasks(prepared: pd.DataFrame, tasks: list[str]) -> list[str]:
    """The tasks, the average first; those on which nothing is done come last."""
    done = set(prepared.loc[prepared["score"].notna(), "task"])
    every = [*([AVERAGE] if len(tasks) > 1 else []), *tasks]
    return sorted(every, key=lambda task: task not in done)


def _axis(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    values = [*values_of(frame, name)]
    if IDLE in set(frame[name]) and IDLE not in values:
        values.append(IDLE)
    return {"name": name, "words": axis_words(name), "values": values}


def _marks(table: pd.DataFrame, columns: Sequence[str]) -> list[list[Any]]:
    """Rows of `columns`, then mean, low, high (fractions), n and n_expected."""
    numbers = [[_number(v) for v in table[c]] for c in ("mean", "low", "high", "n", "n_expected")]
    return [list(row) for row in zip(*(table[c].tolist() for c in columns), *numbers, strict=True)]


def _effect(runs: pd.DataFrame, axis: str) -> dict[str, Any]:
    """The means of an axis's values, like with like: rows of value, series, task, and `_marks`."""
    view, note = axis_view(runs, axis)
    control = control_of(runs)
    view = view.assign(value=view["value"].replace(IDLE, control))
    order = [*dict.fromkeys(control if v == IDLE else v for v in values_of(runs, axis))]
    order += [v for v in view["value"].unique() if v not in order]
    there = set(view["value"])
    table = describe(view, ["value", "series", "task"])
    return {
        "values": [value for value in order if value in there],
        "marks": _marks(table, ["value", "series", "task"]),
        "note": note,
    }


def _map_pairs(runs: pd.DataFrame, shares: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of axes that get a map, those whose interaction explains most first."""
    order = {row.term: row.share for row in each(shares)} if len(shares) else {}
    pairs = list(combinations(studied(runs), 2))
    pairs.sort(key=lambda pair: -max(order.get(f"{a} × {b}", 0.0) for a, b in (pair, pair[::-1])))
    return pairs[:_PAIRS]


def _map(runs: pd.DataFrame, a: str, b: str) -> dict[str, Any]:
    view, note = grid_view(runs, [a, b])
    table = describe(view, [a, b, "task"])
    return {
        "axes": [a, b],
        "values": [[v for v in _all_values(runs, x) if v in set(view[x])] for x in (a, b)],
        "marks": _marks(table, [a, b, "task"]),
        "note": note,
    }


def _all_values(runs: pd.DataFrame, axis: str) -> list[str]:
    ordered = list(values_of(runs, axis))
    return ordered + [v for v in dict.fromkeys(runs[axis]) if v not in ordered]


def _importance(shares: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `variance`: term, kind, share of the variance, corrected p."""
    if shares.empty:
        return []
    table = shares.sort_values("share", ascending=False, kind="stable")
    return [
        {
            "term": row.term,
            "kind": row.kind,
            "share": _number(float(row.share)),
            "p": _number(float(row.p_holm)),
        }
        for row in each(table)
    ]
