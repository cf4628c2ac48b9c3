"""The study's tables, from runs.csv alone: scores as in a paper, one per axis, effects, costs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kd.results.record import read_runs
from kd.results.statistics.cells import corrected, describe, summarise
from kd.results.statistics.cost import TOKENS, iso_cost, with_costs
from kd.results.statistics.effects import SEEDS, contrasts, variance
from kd.results.statistics.intervals import pooled_sd
from kd.results.statistics.pairing import prepare
from kd.results.statistics.ranks import rank
from kd.results.statistics.runs import (
    ALIAS,
    AVERAGE,
    IDLE,
    control_of,
    each,
    levels,
    metric,
    studied,
    values_of,
)
from kd.results.statistics.views import axis_view, base_of
from kd.results.tables.writing import (
    NOTHING,
    Table,
    document,
    interval,
    millions,
    p_text,
    plain,
    points,
)
from kd.runtime.files import atomic_dir, atomic_write

Cells = dict[tuple[str, ...], dict[str, Any]]  # rows of a description by cell, then by task
SHOWN = 12  # missing cells that a footnote names one by one
SELECTED = "which cell is best is chosen on the dev split that also scores it"
COST_HEADER = [
    *("student", "knowledge", "parameters", "non-embedding", "GFLOPs", "ms", "runs"),
    *("seconds a run", "hours in all", "examples/s"),
]


def value_label(value: str, series: str, control: str) -> str:
    """How a row of an axis view is named; the idle value is the control that the axis leaves be."""
    name = control if value == IDLE else value
    return f"{name} (control)" if series == "control" else name


def make_tables(frame: pd.DataFrame) -> dict[str, Table]:
    """All tables that these runs give, by name."""
    runs = prepare(frame)
    names = studied(runs)
    tables = {"scores": score_table(runs)}
    tables |= {f"axis-{axis}": axis_table(runs, axis) for axis in names}
    more = {
        "effects": effects_table(frame),
        "contrasts": contrasts_table(runs),
        "ranks": ranks_table(runs),
        "iso-cost": iso_cost_table(runs),
    }
    tables |= {name: table for name, table in more.items() if table}
    return tables | {"cost": cost_table(frame)}


def score_table(runs: pd.DataFrame) -> Table:
    """Teacher, majority class, then a row per cell; a column per task, average, size, speed-up."""
    names = studied(runs) or ["knowledge"]
    tasks = list(dict.fromkeys(runs["task"]))
    table = describe(runs, [*names, "task"])
    blank = [""] * (len(names) - 1)
    costs = with_costs(runs)
    speeds, how = _speedups(costs)
    rows = [
        [
            *(f"teacher {teacher}", *blank, *_reference(group, "teacher_score", tasks)),
            *(millions(group["teacher_parameters"].mean()), "1.0×"),
        ]
        for teacher, group in _teachers(runs)
    ]
    majority = _reference(runs, "majority_score", tasks)
    rows.append(["majority class", *blank, *majority, NOTHING, NOTHING])
    first = len(rows)
    cells = _pivot(table, names)
    sizes = runs.groupby(names, sort=False)["student_parameters"].mean()
    speed = speeds.groupby([runs[name] for name in names], sort=False).median()
    for cell, by in cells.items():
        key = cell if len(cell) > 1 else cell[0]
        shown = [_score(by.get(task)) for task in tasks]
        factor = speed.get(key, np.nan)
        rows.append(
            [*cell, *shown, millions(sizes.get(key, np.nan)), plain(factor, 1) + "×"]
            if not pd.isna(factor)
            else [*cell, *shown, millions(sizes.get(key, np.nan)), NOTHING]
        )
    bold, underlined = set(), set()
    for j, task in enumerate(tasks, start=len(names)):
        best, near = best_and_near(table[table["task"] == task])
        places = {cell: first + i for i, cell in enumerate(cells)}
        bold |= {(places[cell], j) for cell in _keys(best, names)}
        underlined |= {(places[cell], j) for cell in _keys(near, names)}
    means = table[table["task"].isin(tasks[-1:])]["mean"].fillna(-np.inf).to_numpy()
    order = [*range(first), *(first + np.argsort(-means, kind="stable"))]
    return Table(
        "Scores in points (score × 100) on the dev split: mean ± sd over seeds, number of runs in "
        "brackets. Best complete cell in bold; underlined: within noise of it.",
        [*names, *tasks, "size", "speed-up"],
        rows,
        len(names),
        bold,
        underlined,
        [
            _metrics(tasks),
            "within noise: a two-sided t test at 5 %, with the standard deviation over seeds "
            "pooled over the task's cells, does not tell it from the best, uncorrected"
            "; " + SELECTED,
            *[f"size: parameters with embeddings; speed-up over the teacher: {how}"] * bool(how),
            "majority class: the best constant answer",
            *_missing(cells, " ".join, tasks),
        ],
        [int(i) for i in order],
    )


def best_and_near(cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of one task's cells: the best (equal in what is printed), and others within its noise.

    A mean over fewer runs than planned is no winner. Without two seeds the noise is unknown, and
    nothing is near.
    """
    whole = cells[(cells["missing"] == "") & cells["mean"].notna()]
    if whole.empty:
        return whole, whole
    shown = (100 * whole["mean"]).round(1)
    best = whole[shown == shown.max()]
    top = whole.sort_values("mean", kind="stable").iloc[-1]
    done = cells[cells["mean"].notna()]
    sd, freedom = pooled_sd(done["sd"], done["n"])
    if not freedom:
        return best, best[:0]
    least = stats.t.ppf(0.975, freedom) * sd * np.sqrt(1 / top["n"] + 1 / done["n"])
    near = done[(top["mean"] - done["mean"] <= least) & ~done.index.isin(best.index)]
    return best, near


def _keys(rows: pd.DataFrame, names: list[str]) -> list[tuple[str, ...]]:
    return list(map(tuple, rows[names].to_numpy()))


def _speedups(costs: pd.DataFrame) -> tuple["pd.Series[float]", str]:
    """Speed-up of each run over its teacher, and how it is known."""
    if costs["speedup"].notna().any():
        return costs["speedup"], "measured, median time of one example alone"
    ratio = costs["teacher_flops"] / costs["flops"]
    if ratio.notna().any():
        return ratio, f"ratio of FLOPs for {TOKENS} tokens, not measured"
    return ratio, ""


def axis_table(runs: pd.DataFrame, axis: str) -> Table:
    """A row per value of `axis`, then each value's paired difference to the control."""
    view, note = axis_view(runs, axis)
    control = control_of(runs)
    tasks = list(dict.fromkeys(runs["task"]))
    table = describe(view, ["value", "series", "task"])
    table["p_holm"] = corrected(table.assign(p=table["p"].where(table["series"] == "main")))
    cells = _pivot(table, ["value", "series"])
    values = values_of(runs, axis)
    order = [(v, s) for v in values for s in ("main", "control") if (v, s) in cells]
    rows = [
        [value_label(*key, control), "score", *(_score(cells[key].get(task)) for task in tasks)]
        for key in order
    ]
    compared = bool(control) and bool((view["role"] != "control").any())
    rows += [
        [key[0], f"difference to {control}", *(_difference(cells[key].get(t)) for t in tasks)]
        for key in order
        if compared and key[1] == "main"
    ]
    about = (
        f"Differences: mean ± sd of the paired differences to the control, {control}, in points; "
        f"*: p < 0.05 after Holm's correction; {NOTHING} where no control has the same settings"
    )
    return Table(
        f"Scores by {axis} in points (score × 100): mean ± sd over seeds of the mean over "
        f"settings, number of runs in brackets{'; ' * bool(note)}{note}.",
        [axis, "shows", *tasks],
        rows,
        2,
        notes=[
            _metrics(tasks),
            *[about] * compared,
            *_missing(cells, lambda key: value_label(key[0], key[1], control), tasks),
        ],
    )


def effects_table(frame: pd.DataFrame) -> Table | None:
    """Which axis matters, how much: shares of the variance."""
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
        "shares are of the variance within tasks; an axis is adjusted for the other axes, a pair "
        "for all axes; in a grid with gaps they need not add up to 100 %",
        f"{SEEDS}: spread of runs that differ in the seed alone",
        "F: against the term's own change from seed to seed on a task",
        "ω²: the share without what chance alone gives; negative: less than chance",
    ]
    if not tested:
        notes.append("nothing is tested: no two seeds, or seeds that do not differ")
    if base_of(prepare(frame)) is not None:
        notes.append("one axis at a time was varied: pairs of axes cannot be judged")
    return Table(
        "Where the variance of the score comes from (analysis of variance).",
        ["term", "df", "share (η²)", "unbiased (ω²)", "F", "p (Holm)"],
        rows,
        notes=notes,
    )


def contrasts_table(runs: pd.DataFrame) -> Table | None:
    """Every two values of every axis against each other."""
    rows = []
    for axis in studied(runs):
        for row in each(contrasts(runs, axis).dropna(subset="mean")):
            rows.append([axis, f"{row.b} − {row.a}", *contrast_cells(row)])
    if not rows:
        return None
    return Table(
        "Every two values of an axis: paired differences in points over all settings that were run "
        "with both, on the same task with the same seed.",
        ["axis", "difference", "mean", "95 % interval", "p (Holm)", "pairs", "seeds"],
        rows,
        2,
        notes=["t interval over seeds; p corrected over all pairs of values of the axis"],
        first=sorted(range(len(rows)), key=lambda i: (rows[i][4] == NOTHING, rows[i][4])),
    )


def contrast_cells(row: Any) -> list[str]:
    """Mean, interval, p, pairs and seeds of one row of `contrasts`."""
    count = f"{row.pairs}" if row.pairs == row.planned else f"{row.pairs}/{row.planned}"
    return [
        plain(100 * row.mean, 1, True),
        interval(row.low, row.high) or NOTHING,
        p_text(row.p_holm),
        count,
        f"{max(1, int(row.seeds))}",
    ]


def ranks_table(runs: pd.DataFrame) -> Table | None:
    """Cells by their mean rank over tasks."""
    found = rank(runs)
    if found is None:
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
        for row in each(found.table)
    ]
    notes = [
        f"Friedman's test that all cells are alike: p {p_text(found.p)}; mean ranks that differ by "
        f"less than {found.critical:.1f} are not told apart (Nemenyi, 5 %)",
        "p: Wilcoxon's signed-rank test over tasks against the control, Holm's correction"
        + "; below six tasks it cannot reach 0.05" * (found.tasks < 6),
        SELECTED,
    ]
    if found.left_out:
        notes.append(f"{found.left_out} cells are left out: they lack a task")
    return Table(
        f"Cells ranked on each of {found.tasks} tasks by their mean over seeds (1 is best).",
        [*names, "mean rank", "tasks won", f"better than {control or 'control'}", "p (Holm)"],
        rows,
        len(names),
        notes=notes,
    )


def iso_cost_table(runs: pd.DataFrame) -> Table | None:
    """Students of equal cost against each other."""
    found = iso_cost(runs)
    if found.empty:
        return None
    rows = [
        [row.group, f"{row.b} − {row.a}", *contrast_cells(row)]
        for row in each(found.dropna(subset="mean"))
    ]
    return Table(
        "Students of equal cost (within 10 %): paired differences in points.",
        ["cost", "difference", "mean", "95 % interval", "p (Holm)", "pairs", "seeds"],
        rows,
        2,
        notes=["t interval over seeds; p corrected within a group of equal cost"],
    )


def cost_table(frame: pd.DataFrame) -> Table:
    """Sizes, operations, latency and training time per student and knowledge."""
    frame = with_costs(frame)
    rows = [
        [
            *(f"teacher {teacher}", "", millions(group["teacher_parameters"].mean()), NOTHING),
            plain(group["teacher_flops"].mean() / 1e9, 2),
            plain(1e3 * group["teacher_latency_seconds"].median(), 1),
            *[NOTHING] * 4,
        ]
        for teacher, group in _teachers(frame)
    ]
    lost = []
    groups = frame.groupby(["student", "knowledge"], sort=False)
    shared = _shared_tasks(frame)
    for (student, knowledge), group in groups:
        done = group[group["status"] == "done"]
        alike = done[done["task"].isin(shared)].groupby("task")
        seconds, speed = done["train_seconds"], alike["examples_per_second"].mean()
        rows.append(
            [
                *(str(student), str(knowledge)),
                millions(group["student_parameters"].mean()),
                millions(group["parameters"].mean()),
                plain(group["flops"].mean() / 1e9, 3 if group["flops"].mean() < 1e9 else 1),
                plain(1e3 * done["latency"].median(), 1),
                f"{len(done)}" if len(done) == len(group) else f"{len(done)}/{len(group)}",
                *(
                    plain(alike["train_seconds"].mean().mean()),
                    plain(seconds.sum(min_count=1) / 3600, 2),
                ),
                plain(speed.mean(), 1),
            ]
        )
        if len(done) < len(group):
            lost.append(f"{student}, {knowledge}: {len(group) - len(done)} of {len(group)}")
    return Table(
        "Size and cost; seconds a run and examples/s are means over tasks.",
        COST_HEADER,
        rows,
        2,
        notes=[
            f"GFLOPs: one forward pass over {TOKENS} tokens, by formula; ms: median time of one "
            "example alone, measured on the evaluated examples",
            *_devices(frame),
            *_listed("missing runs", lost),
            *_tasks_of_times(frame, shared),
        ],
    )


def _shared_tasks(frame: pd.DataFrame) -> list[str]:
    """The tasks on which all students and knowledge with any run have one: those whose times
    compare. All tasks, where there is none."""
    done = frame[frame["train_seconds"].notna()]
    there = done.groupby(["student", "knowledge"])["task"].agg(set)
    shared = set.intersection(*there) if len(there) else set()
    tasks = list(dict.fromkeys(frame["task"]))
    return [task for task in tasks if task in shared] or tasks


def _tasks_of_times(frame: pd.DataFrame, shared: list[str]) -> list[str]:
    """Which tasks the means of times leave out."""
    out = [task for task in dict.fromkeys(frame["task"]) if task not in shared]
    if not out:
        return []
    return [f"seconds a run, examples/s: without {', '.join(out)}, of which a row has no run"]


def _devices(frame: pd.DataFrame) -> list[str]:
    """Where the runs were trained and, where that is another device, timed."""
    columns = ["device", "evaluated_on", "teacher_evaluated_on"]
    known = frame.reindex(columns=columns).fillna("")
    trained = _counts(known["device"])
    notes = [f"device: {trained}; times compare only on one device"] * bool(trained)
    if len(set(known.to_numpy().ravel()) - {""}) > 1:
        for name, what in (("evaluated_on", "the students"), ("teacher_evaluated_on", "teachers")):
            where = _counts(known[name])
            notes += [f"ms of {what} measured on: {where}"] * bool(where)
    return notes


def _counts(values: "pd.Series[str]") -> str:
    counts = values[values != ""].value_counts()
    return ", ".join(f"{value} ({n} runs)" for value, n in counts.items())


def _teachers(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for teacher in levels(runs["teacher"]):
        own = runs["teacher"].map(lambda text, name=teacher: name in text.split(ALIAS))
        exact = runs[runs["teacher"] == teacher]
        yield teacher, exact if len(exact) else runs[own.astype(bool)]


def _reference(runs: pd.DataFrame, column: str, tasks: list[str]) -> list[str]:
    """One reference score per task; its average only where every task has one."""
    means = runs.groupby("task")[column].mean().reindex(tasks)
    means[AVERAGE] = means.drop(AVERAGE, errors="ignore").mean(skipna=False)
    return [plain(100 * means[task], 1) for task in tasks]


def _pivot(table: pd.DataFrame, names: Sequence[str]) -> Cells:
    """Rows of `table` by cell, then by task."""
    cells: Cells = {}
    for row in each(table):
        cells.setdefault(tuple(getattr(row, name) for name in names), {})[str(row.task)] = row
    return cells


def _score(row: Any) -> str:
    return points(row.mean, row.sd, row.n, row.n_expected) if row else NOTHING


def _difference(row: Any) -> str:
    if not row:
        return NOTHING
    found = (row.difference, row.difference_sd, row.pairs, row.n_expected)
    return points(*found, signed=True) + "*" * bool(row.p_holm < 0.05)


def _metrics(tasks: list[str]) -> str:
    return "; ".join(f"{task}: {metric(task)}" for task in tasks)


def _missing(cells: Cells, label: Callable[[Sequence[str]], str], tasks: list[str]) -> list[str]:
    """What the dashes and the n below plan stand for; an average follows from its tasks."""
    lost, never = [], []
    for cell, by in cells.items():
        for task in tasks:
            if task not in by:
                never.append(f"{label(cell)} on {task}")
            elif task != AVERAGE and by[task].missing:
                lost.append(f"{label(cell)} on {task}: {by[task].missing}")
    return [
        *_listed(f"{NOTHING} or fewer runs than planned", lost),
        *_listed(f"{NOTHING} not planned", never),
        *["average: over the seeds that finished every task"] * (AVERAGE in tasks),
    ]


def _listed(what: str, items: list[str]) -> list[str]:
    more = f"; and {len(items) - SHOWN} more, see summary.csv" if len(items) > SHOWN else ""
    return [f"{what}: {'; '.join(items[:SHOWN])}{more}"] if items else []


def write_tables(runs_csv: Path, out_dir: Path, study: Path | None = None) -> list[str]:
    """Write every table as .csv, .md and .tex into `out_dir`; the names, in order."""
    tables = make_tables(read_runs(runs_csv, study))
    with atomic_dir(out_dir) as folder:
        for name, table in tables.items():
            (folder / f"{name}.csv").write_text(table.csv(), encoding="utf-8")
            (folder / f"{name}.md").write_text(table.markdown(), encoding="utf-8")
            (folder / f"{name}.tex").write_text(table.latex(), encoding="utf-8")
        (folder / "all.tex").write_text(document(list(tables)), encoding="utf-8")
    return list(tables)


def write_summary(runs_csv: Path, summary_csv: Path, study: Path | None = None) -> None:
    """Write the tidy summary: one row per cell and task, scores as in runs.csv."""
    summary = summarise(read_runs(runs_csv, study))
    atomic_write(summary_csv, summary.to_csv(index=False, float_format="%.6g"))
