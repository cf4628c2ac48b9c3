"""How often each way finds the best value and the signs of the effects that all runs show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kd.results.advice.judge import leader_of
from kd.results.advice.verdict import LEVEL
from kd.results.replay.ways import looks_for, points_of, samples
from kd.results.statistics.effects import contrasts
from kd.results.statistics.fraction import part_of
from kd.results.statistics.pairing import prepare, without_controls_matching
from kd.results.statistics.runs import ALIAS, AXES, IDLE, levels, studied

FEW = 3  # seeds that a record needs
Row = dict[str, Any]
_READ = [*AXES, "run", "status", "score", "error", "teacher_score", "majority_score", "teacher",
         "teacher_parameters", "examples_eval", "score_se", "metrics", "student_parameters",
         "student_nonembedding_parameters", "latency_seconds", "teacher_latency_seconds",
         "teacher_shape", "evaluated_on", "teacher_evaluated_on", "equal_size"]  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What samples are compared with: the best value of each axis, and the differences of pairs of
    values (a, b), b less a, that are to be found."""

    best: dict[str, str]
    effects: dict[tuple[str, str, str], float]

    def gap(self, axis: str, a: str, b: str) -> float:
        """The difference of b less a; 0 where it is not known."""
        return self.effects.get((axis, a, b), -self.effects.get((axis, b, a), 0.0))


def whole_of(frame: pd.DataFrame) -> pd.DataFrame | str:
    """The tasks and seeds of a record on which every cell is done; or why it cannot be replayed."""
    if part_of(frame):
        return "it ran a part of its grid"
    frame = frame[[name for name in dict.fromkeys(_READ) if name in frame]]
    names = studied(frame)
    if not names:
        return "it varies no axis but task and seed"
    done = _with_every_cell(frame, names)
    seeds = {task: {s for t, s in done if t == task} for task in frame["task"].unique()}
    tasks = [task for task, own in seeds.items() if len(own) >= FEW]
    if not tasks:
        return f"no task has {FEW} seeds with which every cell is done"
    common = set.intersection(*(seeds[task] for task in tasks))
    whole = frame[frame["task"].isin(tasks) & frame["seed"].isin(common)]
    if len(common) < FEW or not studied(whole):
        return f"its tasks do not have {FEW} seeds in common with which every cell is done"
    return whole.reset_index(drop=True)


def _with_every_cell(frame: pd.DataFrame, names: list[str]) -> list[tuple[str, str]]:
    """The (task, seed) whose runs are done and are all cells of the task. Further seeds may have
    been added to some cells alone."""
    axes = {name: [v for v in levels(frame[name]) if v != IDLE] for name in names}
    cells: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for (task, seed), own in frame.groupby(["task", "seed"]):
        runs = own.drop_duplicates(names).to_dict("records")
        cells[str(task), str(seed)] = {
            tuple(point.values()) for run in runs for point in points_of(run, axes)
        }
    every: dict[str, set[tuple[str, ...]]] = {}
    for (task, _), own_cells in cells.items():
        every[task] = every.get(task, set()) | own_cells
    lost = frame[frame["score"].isna()]
    gaps = set(zip(lost["task"], lost["seed"], strict=True))
    return [key for key, own in cells.items() if own == every[key[0]] and key not in gaps]


def _prepared(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs for contrasts; as they are, if each stands for one value of each axis."""
    frame = without_controls_matching(frame)
    names = studied(frame)
    simple = not any(IDLE in (own := set(frame[n])) or ALIAS in " ".join(own) for n in names)
    return frame if simple else prepare(frame)


def answers_of(frame: pd.DataFrame) -> Truth:
    """The best value of each axis, and all its differences, as these runs show them."""
    runs = _prepared(frame)
    best: dict[str, str] = {}
    effects: dict[tuple[str, str, str], float] = {}
    for axis in studied(frame):
        table = contrasts(runs, axis)
        if table.empty or not table["pairs"].sum():
            continue
        best[axis] = leader_of(table)
        known = zip(table["a"], table["b"], table["mean"], strict=True)
        effects |= {(axis, a, b): gap for a, b, gap in known if gap == gap}
    return Truth(best, effects)


def shown_by(frame: pd.DataFrame) -> Truth:
    """What all runs show: the significant differences, and the best values that differ from every
    other value of their axis. Other best values are best by chance."""
    runs, every = _prepared(frame), answers_of(frame)
    best, clear = {}, set()
    for axis, value in every.best.items():
        table = contrasts(runs, axis)
        table["clear"] = table["p_holm"] < LEVEL
        if table.loc[(table["a"] == value) | (table["b"] == value), "clear"].all():
            best[axis] = value
        own = table[table["clear"]]
        clear |= {(axis, a, b) for a, b in zip(own["a"], own["b"], strict=True)}
    return Truth(best, {key: gap for key, gap in every.effects.items() if key in clear})


def found(sample: pd.DataFrame, truth: Truth) -> Row:
    """The shares of best values and of signs that the runs of a sample agree with."""
    own = answers_of(sample)
    best = [own.best.get(axis) == value for axis, value in truth.best.items()]
    signs = [own.gap(*key) * gap > 0 for key, gap in truth.effects.items()]
    return {
        "best": sum(best) / len(best) if best else None,
        "signs": sum(signs) / len(signs) if signs else None,
    }


def replayed(name: str, records: Iterable[tuple[pd.DataFrame, Truth | None]], margin: float) -> Row:
    """The facts of a replay.

    Args:
        name: the name of the study or record.
        records: for each draw the runs of a whole factorial, and the truth (None: what all of the
            runs show).
        margin: of the study.

    Returns:
        Keys name, draws, runs, cells, seeds, tasks, axes, best and effects (to be found, on
        average), and `ways`: for each way and step `runs` (share of all), `best` and `signs`
        (shares that are found), as means over draws, and the standard errors of these two as
        `best_error` and `signs_error`.
    """
    rows: list[Row] = []
    facts: Row = {"name": name, "draws": 0}
    best: list[int] = []
    effects: list[int] = []
    for draw, (whole, known) in enumerate(records):
        truth = known or shown_by(whole)
        best.append(len(truth.best))
        effects.append(len(truth.effects))
        names = studied(whole)
        facts |= {
            "draws": draw + 1,
            "runs": len(whole),
            "cells": len(whole.drop_duplicates(names)),
            "seeds": whole["seed"].nunique(),
            "tasks": sorted(whole["task"].unique()),
            "axes": names,
            "looks": list(looks_for(whole["seed"].nunique())),
        }
        steps: dict[str, int] = {}
        for way, sample in samples(whole, draw, margin):
            steps[way] = steps.get(way, -1) + 1
            share = len(sample) / len(whole)
            rows.append({"way": way, "step": steps[way], "runs": share, **found(sample, truth)})
    facts |= {"best": sum(best) / len(best), "effects": sum(effects) / len(effects)}
    return facts | {"ways": _by_way(rows)}


def _by_way(rows: list[Row]) -> dict[str, list[Row]]:
    """Means and errors over draws of each step. `kd next` ends after fewer steps in some draws:
    these stay at their last one."""
    table = pd.DataFrame(rows)
    ways: dict[str, list[Row]] = {}
    for way, own in table.groupby("way", sort=False):
        last = int(own["step"].max())
        draws = (own["step"] == 0).cumsum()
        even = pd.concat(list(_lengthened(own.groupby(draws), last)))
        by_step = even.groupby("step")
        errors = by_step[["best", "signs"]].sem().add_suffix("_error")
        means = by_step[["runs", "best", "signs"]].mean().join(errors)
        ways[str(way)] = [
            {str(k): None if v != v else round(float(v), 4) for k, v in row.items()}
            for row in means.to_dict("records")
        ]
    return ways


def _lengthened(draws: Any, last: int) -> Iterator[pd.DataFrame]:
    for _, own in draws:
        ends = [own.iloc[-1:].assign(step=step) for step in range(len(own), last + 1)]
        yield pd.concat([own, *ends])
