"""The study's tables, from runs.csv alone, as CSV, Markdown and LaTeX."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from kd.files import atomic_dir, atomic_write
from kd.statistics import (
    ALIAS,
    AVERAGE,
    IDLE,
    axis_view,
    control_of,
    describe,
    levels,
    metric,
    prepare,
    read_runs,
    studied,
    summarise,
)

Cells = dict[tuple[str, ...], dict[str, Any]]  # rows of a description by cell, then by task
NOTHING = "–"  # what a missing or undefined number is shown as
SHOWN = 12  # missing cells that a footnote names one by one
COST_HEADER = [
    *("student", "knowledge", "parameters", "non-embedding", "runs", "seconds a run"),
    *("hours in all", "examples/s"),
]
SIZES = ("student_parameters", "student_nonembedding_parameters")
TEX = {char: f"\\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "×": r"$\times$",
    "−": "$-$",
}


@dataclass
class Table:
    """Text cells, with the (row, column) of those in bold, and what a reader must know."""

    caption: str
    header: list[str]
    rows: list[list[str]]
    labels: int = 1  # leading columns that are text
    bold: set[tuple[int, int]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def csv(self) -> str:
        """Cells as plain text; the numbers behind them are in summary.csv."""
        return pd.DataFrame(self.rows, columns=self.header).to_csv(index=False).replace("−", "-")

    def markdown(self) -> str:
        """Caption, a pipe table, notes."""
        cells = self._cells(lambda text: text.replace("|", r"\|").replace("*", r"\*"), "**{}**")
        body = tabulate(cells, self.header, tablefmt="pipe", disable_numparse=True)
        return "\n\n".join([self.caption, body, *(f"- {note}" for note in self.notes)]) + "\n"

    def latex(self) -> str:
        """A float with booktabs rules; one that spans both columns of a paper where it is wide."""
        kind = "table*" if len(self.header) > 5 else "table"
        align = "l" * self.labels + "r" * (len(self.header) - self.labels)
        lines = [list(map(_tex, self.header)), *self._cells(_tex, r"\textbf{{{}}}")]
        head, *body = [" & ".join(line) + r" \\" for line in lines]
        notes = [rf"{_tex(note)}\par" for note in self.notes]
        return "\n".join(
            [
                rf"\begin{{{kind}}}",
                r"\centering\small" if kind == "table" else r"\centering\footnotesize",
                r"\setlength{\tabcolsep}{4pt}",
                rf"\caption{{{_tex(self.caption)}}}",
                rf"\begin{{tabular}}{{{align}}}",
                *(r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"),
                *([r"\par\smallskip\footnotesize", *notes] if notes else []),
                rf"\end{{{kind}}}",
                "",
            ]
        )

    def _cells(self, escape: Callable[[str], str], strong: str) -> list[list[str]]:
        return [
            [
                strong.format(escape(c)) if (i, j) in self.bold else escape(c)
                for j, c in enumerate(r)
            ]
            for i, r in enumerate(self.rows)
        ]


def _tex(text: str) -> str:
    return "".join(TEX.get(char, char) for char in text)


def points(mean: float, sd: float, n: int, planned: int, signed: bool = False) -> str:
    """'81.2 ± 0.4 (3)' in points; '(2/3)' where runs are missing, a dash where all are."""
    if n == 0:
        return NOTHING
    text = f"{100 * mean:{'+' if signed else ''}.1f}".replace("-", "−")
    spread = f" ± {100 * sd:.1f}" if n > 1 else ""
    return f"{text}{spread} ({n})" if n == planned else f"{text}{spread} ({n}/{planned})"


def value_label(value: str, series: str, control: str) -> str:
    """How a row of an axis view is named; the idle value is the control that the axis leaves be."""
    name = control if value == IDLE else value
    return f"{name} (control)" if series == "control" else name


def make_tables(frame: pd.DataFrame) -> dict[str, Table]:
    """All tables of the study, by name."""
    runs = prepare(frame)
    tables = {"scores": score_table(runs)}
    tables |= {f"axis-{axis}": axis_table(runs, axis) for axis in studied(runs)}
    return tables | {"cost": cost_table(frame)}


def score_table(runs: pd.DataFrame) -> Table:
    """Teacher, majority class, then a row per cell; a column per task and their average."""
    names = studied(runs) or ["knowledge"]
    tasks = list(dict.fromkeys(runs["task"]))
    table = describe(runs, [*names, "task"])
    blank = [""] * (len(names) - 1)
    rows = [
        [f"teacher {teacher}", *blank, *_reference(group, "teacher_score", tasks)]
        for teacher, group in _teachers(runs)
    ]
    rows.append(["majority class", *blank, *_reference(runs, "majority_score", tasks)])
    first = len(rows)
    cells = _pivot(table, names)
    bold = set()
    for j, task in enumerate(tasks, start=len(names)):
        # A mean over fewer runs than planned is no winner.
        whole = {i: c[task] for i, c in enumerate(cells.values()) if task in c}
        means = {i: round(100 * row.mean, 1) for i, row in whole.items() if not row.missing}
        bold |= {(first + i, j) for i, mean in means.items() if mean == max(means.values())}
    rows += [[*cell, *(_score(by.get(task)) for task in tasks)] for cell, by in cells.items()]
    return Table(
        "Scores in points (score × 100): mean ± sd over seeds, number of runs in brackets; best "
        "complete cell in bold.",
        [*names, *tasks],
        rows,
        len(names),
        bold,
        [
            _metrics(tasks),
            "majority class: the best constant answer",
            *_missing(cells, " ".join, tasks),
        ],
    )


def axis_table(runs: pd.DataFrame, axis: str) -> Table:
    """A row per value of `axis`, then each value's paired difference to the control."""
    view, note = axis_view(runs, axis)
    control = control_of(runs)
    tasks = list(dict.fromkeys(runs["task"]))
    table = describe(view, ["value", "series", "task"])
    cells = _pivot(table, ["value", "series"])
    order = [(v, s) for v in levels(view["value"]) for s in ("main", "control") if (v, s) in cells]
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
        f"{NOTHING} where no control has the same settings"
    )
    return Table(
        f"Scores by {axis} in points (score × 100): mean ± sd over runs, their number in brackets"
        f"{'; ' * bool(note)}{note}.",
        [axis, "shows", *tasks],
        rows,
        2,
        notes=[
            _metrics(tasks),
            *[about] * compared,
            *_missing(cells, lambda key: value_label(key[0], key[1], control), tasks),
        ],
    )


def cost_table(frame: pd.DataFrame) -> Table:
    """Sizes and training time per student and knowledge, over the runs that are done."""
    rows = [
        [f"teacher {teacher}", "", _millions(group["teacher_parameters"]), *[NOTHING] * 5]
        for teacher, group in _teachers(frame)
    ]
    lost = []
    for (student, knowledge), group in frame.groupby(["student", "knowledge"], sort=False):
        done = group[group["status"] == "done"]
        seconds, speed = done["train_seconds"], done["examples_per_second"]
        rows.append(
            [
                *(str(student), str(knowledge)),
                *(_millions(group[column]) for column in SIZES),
                f"{len(done)}" if len(done) == len(group) else f"{len(done)}/{len(group)}",
                *(_plain(seconds.mean()), _plain(seconds.sum(min_count=1) / 3600, 2)),
                _plain(speed.mean(), 1),
            ]
        )
        if len(done) < len(group):
            lost.append(f"{student}, {knowledge}: {len(group) - len(done)} of {len(group)}")
    devices = frame.loc[frame["device"] != "", "device"].value_counts()
    where = ", ".join(f"{device} ({n} runs)" for device, n in devices.items())
    return Table(
        "Size and training cost; times are means over the runs that are done, on all tasks.",
        COST_HEADER,
        rows,
        2,
        notes=[
            *[f"device: {where}; speeds compare only on one device"] * bool(where),
            *_listed("missing runs", lost),
        ],
    )


def _teachers(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for teacher in levels(runs["teacher"]):
        own = runs["teacher"].map(lambda text, name=teacher: name in text.split(ALIAS))
        exact = runs[runs["teacher"] == teacher]
        yield teacher, exact if len(exact) else runs[own.astype(bool)]


def _reference(runs: pd.DataFrame, column: str, tasks: list[str]) -> list[str]:
    """One reference score per task; its average only where every task has one."""
    means = runs.groupby("task")[column].mean().reindex(tasks)
    means[AVERAGE] = means.drop(AVERAGE, errors="ignore").mean(skipna=False)
    return [_plain(100 * means[task], 1) for task in tasks]


def _pivot(table: pd.DataFrame, names: Sequence[str]) -> Cells:
    """Rows of `table` by cell, then by task."""
    cells: Cells = {}
    for row in table.itertuples():
        cells.setdefault(tuple(getattr(row, name) for name in names), {})[str(row.task)] = row
    return cells


def _score(row: Any) -> str:
    return points(row.mean, row.sd, row.n, row.n_expected) if row else NOTHING


def _difference(row: Any) -> str:
    if not row:
        return NOTHING
    return points(row.difference, row.difference_sd, row.pairs, row.n_expected, signed=True)


def _plain(number: float, digits: int = 0) -> str:
    return NOTHING if pd.isna(number) else f"{number:.{digits}f}".replace("-", "−")


def _millions(sizes: "pd.Series[float]") -> str:
    return NOTHING if pd.isna(sizes.mean()) else f"{sizes.mean() / 1e6:.1f} M"


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


def _listed(what: str, items: Sequence[str]) -> list[str]:
    more = f"; and {len(items) - SHOWN} more, see summary.csv" if len(items) > SHOWN else ""
    return [f"{what}: {'; '.join(items[:SHOWN])}{more}"] if items else []


def write_tables(runs_csv: Path, out_dir: Path) -> list[str]:
    """Write every table as .csv, .md and .tex into `out_dir`; the names, in order."""
    tables = make_tables(read_runs(runs_csv))
    with atomic_dir(out_dir) as folder:
        for name, table in tables.items():
            (folder / f"{name}.csv").write_text(table.csv(), encoding="utf-8")
            (folder / f"{name}.md").write_text(table.markdown(), encoding="utf-8")
            (folder / f"{name}.tex").write_text(table.latex(), encoding="utf-8")
    return list(tables)


def write_summary(runs_csv: Path, summary_csv: Path) -> None:
    """Write the tidy summary: one row per cell and task, scores as in runs.csv."""
    summary = summarise(read_runs(runs_csv))
    atomic_write(summary_csv, summary.to_csv(index=False, float_format="%.6g"))
