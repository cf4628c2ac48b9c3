"""Compares two records: of one study on two machines or dates, or of two studies."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kd.results.columns import ENVIRONMENT
from kd.results.numbers import plain, points
from kd.results.record import load_record, warned
from kd.results.statistics.cells import describe
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import control_of, studied
from kd.runtime.errors import UserError, nearest
from kd.study.check import load_study
from kd.study.paths import RECORD

_SHOWN = 20


def find_record(text: str, results: Path) -> Path:
    """The runs.csv that a path, a folder, a study file or the name of a study stands for.

    Raises:
        UserError: it is missing; the message lists the paths that were tried.
    """
    path = Path(text)
    name = text
    if path.suffix in (".yaml", ".yml"):
        name = load_study(path).name if path.is_file() else path.stem
    tried = [path] if path.suffix == ".csv" else [path / RECORD]
    if "/" not in name:
        tried.append(results / "studies" / name / RECORD)
    for place in tried:
        if place.is_file():
            return place
    near = nearest(name, (p.parent.name for p in (results / "studies").glob(f"*/{RECORD}")))
    raise UserError(f"{text}: no record of runs; looked for {', '.join(map(str, tried))}{near}")


def compare(a: Path, b: Path) -> dict[str, Any]:
    """The runs that two records share, their differences in score, and other differences.

    Runs with the same id are the same run, because the id is a hash of all that is computed. Where
    a study tunes axes, runs with every tried value count. The best cells are at the chosen values.
    Keys: `a`, `b` (paths, counts), `shared` (runs done in both), `equal` (scores equal to the last
    digit), `mean`, `sd`, `largest` (of b minus a, in points), `differences` (a list by size),
    `only_a`, `only_b` (ids of runs that are done in only one record), `environment`, `best` (the
    best cells by task).
    """
    records = [warned(load_record(path)) for path in (a, b)]
    first, second = (record.every for record in records)
    left, right = (f[f["status"] == "done"].set_index("run") for f in (first, second))
    shared = [run for run in left.index if run in right.index]
    gaps = 100 * (right.loc[shared, "score"] - left.loc[shared, "score"])
    changed = gaps[gaps != 0].sort_values(key=np.abs, ascending=False, kind="stable")
    return {
        "a": {"path": str(a), "runs": len(first), "done": len(left)},
        "b": {"path": str(b), "runs": len(second), "done": len(right)},
        "shared": len(shared),
        "equal": int((gaps == 0).sum()),
        "mean": float(gaps.mean()) if shared else None,
        "sd": float(gaps.std()) if len(shared) > 1 else None,
        "largest": float(gaps.abs().max()) if shared else None,
        "differences": [
            {
                "run": run,
                "a": float(left.loc[run, "score"]),
                "b": float(right.loc[run, "score"]),
                "points": float(gap),
            }
            for run, gap in changed.items()
        ],
        "only_a": [run for run in left.index if run not in right.index],
        "only_b": [run for run in right.index if run not in left.index],
        "environment": _environment(left, right),
        "best": _best(*(record.runs for record in records)),
    }


def _environment(left: pd.DataFrame, right: pd.DataFrame) -> list[dict[str, Any]]:
    """Columns whose values differ. Fingerprints are compared only for tasks that both have."""
    rows = []
    both = set(left["task"]) & set(right["task"])
    for name in (*ENVIRONMENT, "teacher_fingerprint"):
        first, second = left, right
        if name.endswith("fingerprint"):
            first, second = left[left["task"].isin(both)], right[right["task"].isin(both)]
        values = [sorted({_word(v) for v in f[name]} - {""}) for f in (first, second)]
        if values[0] != values[1] and all(values):
            rows.append({"what": name, "a": values[0], "b": values[1]})
    return rows


def _word(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value)


def _best(first: pd.DataFrame, second: pd.DataFrame) -> list[dict[str, str]]:
    """For each task that both have, the best cell and the control of each record."""
    rows = []
    tables = [_cells(frame) for frame in (first, second)]
    for task in dict.fromkeys(first["task"]):
        if task not in set(second["task"]):
            continue
        row = {"task": str(task)}
        for side, table in zip("ab", tables, strict=True):
            here = table[(table["task"] == task) & table["mean"].notna()]
            row[side] = _named(here)
            row[f"{side}_control"] = _named(here[here["role"] == "control"])
        rows.append(row)
    return rows


def _cells(frame: pd.DataFrame) -> pd.DataFrame:
    runs = prepare(frame)
    names = studied(runs) or ["knowledge"]
    table = describe(runs, [*names, "role", "task"])
    table["cell"] = table[names].agg(" · ".join, axis=1)
    if not control_of(frame):
        table["role"] = "distilled"
    return table


def _named(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    whole = table[table["n"] == table["n_expected"]]
    best = (table if whole.empty else whole).sort_values("mean", kind="stable").iloc[-1]
    score = points(best["mean"], best["sd"], best["n"], best["n_expected"])
    return f"{best['cell']}: {score}"


def compare_text(facts: dict[str, Any]) -> str:
    """The comparison for people."""
    a, b = facts["a"], facts["b"]
    lines = [
        f"a  {a['path']}: {a['done']} of {a['runs']} runs done",
        f"b  {b['path']}: {b['done']} of {b['runs']} runs done",
        f"done in both: {facts['shared']}; only in a: {len(facts['only_a'])}; "
        f"only in b: {len(facts['only_b'])}",
    ]
    if facts["shared"]:
        lines.append(
            f"scores: {facts['equal']} of {facts['shared']} equal to the last digit; b less a: "
            f"mean {plain(facts['mean'], 2, True)} points"
            + (f", sd {facts['sd']:.2f}" if facts["sd"] is not None else "")
            + f", at most {facts['largest']:.2f}"
        )
    for row in facts["differences"][:_SHOWN]:
        lines.append(
            f"  {row['run']}  {100 * row['a']:.2f} -> {100 * row['b']:.2f}  "
            f"({plain(row['points'], 2, True)})"
        )
    if len(facts["differences"]) > _SHOWN:
        lines.append(f"  and {len(facts['differences']) - _SHOWN} more: --json lists all")
    for row in facts["environment"]:
        lines.append(f"{row['what'].replace('_', ' ')}: {_few(row['a'])} -> {_few(row['b'])}")
    if not facts["environment"]:
        lines.append("environment: no difference on record")
    for row in facts["best"]:
        lines.append(f"best on {row['task']}:")
        for side in "ab":
            control = row[f"{side}_control"]
            lines.append(
                f"  {side}  {row[side] or 'none'}" + f"   control {control}" * bool(control)
            )
    return "\n".join(lines)


def _few(values: list[str]) -> str:
    return ", ".join(values[:3]) + f" and {len(values) - 3} more" * (len(values) > 3)
