"""The power of each contrast of a study, as plain data and as text."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from tabulate import tabulate

from kd.results.numbers import NOTHING, plain
from kd.results.power.detect import MOST, POWER, Design, needed, never, smallest
from kd.results.power.variances import Known, Noise, Variance
from kd.results.statistics.effects import pairs
from kd.results.statistics.intervals import LEVEL
from kd.results.statistics.looks import looks_of, share_of
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, studied

_CAUTIOUS = 0.2  # the true variance is above the cautious one with this probability
_DISAGREE = 0.1  # share of dev examples that only one of two cells answers rightly
# Examples of GLUE's dev splits (arXiv:1804.07461), where the score is an accuracy.
_DEV = {"sst2": 872, "mnli": 9815 + 9832, "qnli": 5463, "rte": 277, "wnli": 71}
Row = dict[str, Any]


def study_power(planned: pd.DataFrame, sources: Sequence[Known], difference: float) -> Row:
    """What the contrasts of a study can show. Differences are in points.

    Args:
        planned: the runs that the study plans, as `load_record` gives them; scores do not matter.
        sources: records with variances; the first that knows a task is used for it.
        difference: a true difference that the study should find.

    Returns:
        Keys `difference`, `power`, `level`, `contrasts` and `unknown`. A contrast has a row for
        each task and one for the average: `axis`, `a`, `b`, `task`, `tasks`, `family` (tests of the
        axis), `share` (of the level that is tested at, 1 without looks), `seeds` (planned), `sd`
        (over seeds, of one seed's difference), `sd_by_task`,
        `freedom`, `source`, `smallest` (what the planned seeds find; None with one seed), `needed`
        and `needed_cautious` (seeds; None above 1,000), and `examples`, the same with the noise of
        dev examples: `error`, `count`, `measured`, `smallest`, `needed`, `never` (no number of
        seeds finds less). `unknown` has the tasks without a variance.
    """
    runs, looks = prepare(planned), looks_of(planned)
    rows: list[Row] = []
    lacking: dict[str, None] = {}
    for axis in studied(runs):
        groups = pairs(runs, axis).groupby(["a", "b"], sort=False)
        for (a, b), table in groups:
            all_parts = []
            for task, own in table.groupby("task", sort=False):
                parts = _parts(sources, axis, str(a), str(b), str(task), own)
                if parts is None:
                    lacking[str(task)] = None
                all_parts.append(parts)
            known = [part for part in all_parts if part]
            look = max((n for n in looks if known and n <= min(p[1] for p in known)), default=0)
            share = share_of(look, looks) if look else 1.0
            head = {"axis": axis, "a": str(a), "b": str(b), "family": len(groups), "share": share}
            alpha = share * (1 - LEVEL) / len(groups)
            if len(all_parts) > 1 and len(known) == len(all_parts):
                rows.append(head | _row(AVERAGE, known, alpha, difference))
            rows += [head | _row(part[0], [part], alpha, difference) for part in known]
    return {
        "difference": difference,
        "power": POWER,
        "level": LEVEL,
        "contrasts": rows,
        "unknown": [_unknown(task) for task in lacking],
    }


Part = tuple[str, int, float, Variance, Noise | None]  # task, seeds, variance, its facts, examples


def _parts(
    sources: Sequence[Known], axis: str, a: str, b: str, task: str, planned: pd.DataFrame
) -> Part | None:
    """What is known of one contrast on one task; None without a variance."""
    for source in sources:
        variance = source.variance(axis, a, b, task)
        if variance:
            blocks = planned.groupby("block")["seed"].nunique()
            worth = planned.groupby("seed", sort=False)["worth"].sum().max()
            square = 1e4 * variance.of_mean(float(worth))
            return task, int(blocks.min()), square, variance, source.noise(axis, a, b, task)
    return None


def _row(task: str, parts: Sequence[Part], alpha: float, difference: float) -> Row:
    seeds = min(part[1] for part in parts)
    squares = np.array([part[2] for part in parts])
    free = np.array([part[3].freedom for part in parts])
    design = Design(tuple(map(float, np.sqrt(squares))), alpha)
    raised = squares * free / stats.chi2.ppf(_CAUTIOUS, free)
    row = {
        "task": task,
        "tasks": len(parts),
        "seeds": seeds,
        "sd": float(np.sqrt(squares.sum()) / len(parts)),
        "sd_by_task": list(design.spread),
        "freedom": int(free.min()),
        "source": "; ".join(dict.fromkeys(part[3].source for part in parts)),
        "smallest": smallest(design, seeds),
        "needed": needed(design, difference),
        "needed_cautious": needed(
            replace(design, spread=tuple(map(float, np.sqrt(raised)))), difference
        ),
        "examples": None,
    }
    noises = [part[4] for part in parts if part[4]]
    if len(noises) == len(parts):
        error = 100 * float(np.sqrt(sum(n.error**2 for n in noises)) / len(parts))
        both = replace(design, examples=error, count=sum(n.examples for n in noises))
        row["examples"] = {
            "error": error,
            "count": both.count,
            "measured": all(n.measured for n in noises),
            "smallest": smallest(both, seeds),
            "needed": needed(both, difference),
            "never": never(both),
        }
    return row


def design_of(row: Row) -> Design:
    """The design of a row of `study_power`, without the noise of dev examples."""
    return Design(tuple(row["sd_by_task"]), row["share"] * (1 - LEVEL) / row["family"])


def _unknown(task: str) -> Row:
    """What the number of dev examples alone says of a task without a variance."""
    count = _DEV.get(task)
    if count is None:
        return {"task": task, "count": None, "never": None}
    design = Design((1.0,), 1 - LEVEL, 100 * float(np.sqrt(_DISAGREE / count)), count)
    return {"task": task, "count": count, "never": never(design)}


def power_text(facts: Row) -> str:
    """The result of `study_power` for a person."""
    wanted = f"{facts['difference']:g}"
    lines = [
        f"Smallest differences that are found with probability {facts['power']:g}, in points, and "
        f"the seeds that a difference of {wanted} needs."
    ]
    by_axis: dict[str, list[Row]] = {}
    for row in facts["contrasts"]:
        by_axis.setdefault(row["axis"], []).append(row)
    for axis, rows in by_axis.items():
        family = rows[0]["family"]
        tests = f"{family} pairs of values, each tested at 5 % / {family}, for Holm's correction"
        lines += ["", f"{axis}: " + (tests if family > 1 else "1 pair of values, tested at 5 %")]
        headers = [
            "difference", "task", "seeds", "smallest", f"seeds\nfor {wanted}", "cautious",
            "smallest,\nwith examples", f"seeds for {wanted},\nwith examples", "never below",
        ]  # fmt: skip
        cells = [[*key, *_cells(row, facts["difference"])] for key, row in _merged(rows).items()]
        lines.append(tabulate(cells, headers, tablefmt="simple", disable_numparse=True))
    if by_axis:
        lines += ["", *_legend(facts)]
    lines += _unknown_text(facts["unknown"])
    if not (by_axis or facts["unknown"]):
        lines += ["", "The study has no two values of an axis to compare."]
    return "\n".join(lines)


def _merged(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """Rows by (difference, task). Contrasts whose numbers are all equal have one row."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        same = {key: value for key, value in row.items() if key not in ("a", "b")}
        groups.setdefault(repr(same), []).append(row)
    merged = {}
    for group in groups.values():
        name = f"{group[0]['b']} − {group[0]['a']}"
        if len(group) > 1:
            every = len(group) == group[0]["family"]
            name = f"{'all' if every else name + ' and'} {len(group) - (not every)} " + (
                "pairs" if every else "more"
            )
        merged[name, group[0]["task"]] = group[0]
    return merged


def _cells(row: Row, wanted: float) -> list[str]:
    own = [str(row["seeds"]), _points(row["smallest"]), _count(row["needed"]),
           _count(row["needed_cautious"])]  # fmt: skip
    noise = row["examples"]
    if noise is None:
        return [*own, NOTHING, NOTHING, NOTHING]
    if noise["measured"]:
        seeds = _count(noise["needed"])
        if noise["needed"] is None and noise["never"] >= wanted:
            seeds = "never"
        return [*own, _points(noise["smallest"]), seeds, _points(noise["never"])]
    seeds = "?" if noise["needed"] is None else f"≤ {noise['needed']}"
    return [*own, f"≤ {_points(noise['smallest'])}", seeds, f"≤ {_points(noise['never'])}"]


def _points(value: float | None) -> str:
    return NOTHING if value is None else plain(value, 2 if value < 1 else 1)


def _count(value: int | None) -> str:
    return f"> {MOST}" if value is None else str(value)


def _legend(facts: Row) -> list[str]:
    rows = facts["contrasts"]
    sources = dict.fromkeys(s for row in rows for s in row["source"].split("; "))
    lines = [
        f"Variances from: {', '.join(sources)}. They depend on the students, the recipe and the "
        "amount of data.",
        "smallest, seeds: for a claim about this dev split. The test is the paired t test over "
        "seeds that the tables have.",
        "cautious: the same with a variance that the true one exceeds with probability "
        f"{_CAUTIOUS:g} (more if the record has few settings), because the record has few seeds.",
        "with examples, never below: for a claim about the task, beyond this dev split. More seeds "
        "do not remove the noise of its examples.",
    ]
    if any(row["share"] < 1 for row in rows):
        lines.append(
            "The study has looks: the test is that of the look at the planned seeds, at its part "
            "of the 5 %."
        )
    noises = [row["examples"] for row in rows if row["examples"]]
    if any(not noise["measured"] for noise in noises):
        lines.append(
            "≤: an upper bound, as if two cells erred on unrelated examples; ?: it does not say. "
            "A record with the answers of its runs (the folder `answers`) gives the numbers."
        )
    return lines


def _unknown_text(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        f"No record has a variance for {', '.join(row['task'] for row in rows)}. A pilot of a few "
        "cells with 3 seeds or more has one: kd power STUDY --from PILOT",
    ]
    counted = [row for row in rows if row["never"] is not None]
    if counted:
        limits = [f"{r['task']} {r['never']:.1f} ({r['count']:,} examples)" for r in counted]
        lines.append(
            f"If two cells differ on {100 * _DISAGREE:g} % of the official dev examples, no number "
            f"of seeds shows a smaller difference than this for the task, in points: "
            f"{', '.join(limits)}."
        )
    return lines
