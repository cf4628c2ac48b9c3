"""Reads the record of a study, runs.csv, and checks every row.

An impossible value is an error that names line and value. A run without a score is a missing run.
If the study file is given, it says which runs should be there.
"""

import csv
import io
import math
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from kd.axes.fields import RUN_DEFAULTS
from kd.axes.metrics import CORRELATION, column_of
from kd.axes.tasks import TASKS
from kd.results.columns import COLUMNS, METRICS, numbers
from kd.results.statistics.looks import changed_looks, read_looks
from kd.results.statistics.runs import AXES, BUNDLE, IDLE, NEEDED, metrics_of
from kd.results.statistics.selection import Selection, select
from kd.runtime.errors import UserError, listing, nearest, shown
from kd.runtime.state import STATES
from kd.study.check import Study, load_study
from kd.study.design_keys import read_design
from kd.study.grid import Grid, expand
from kd.study.selected import looks_text, part_text, read_tuned, tuned_of

_SCORES = (
    *("score", "teacher_score", "majority_score", "teacher_majority_score"),
    *("slice_score", "teacher_slice_score"),
)


@dataclass(frozen=True)
class Record:
    """The runs of a study, one row each, as far as they are known.

    The columns of `runs` are those of runs.csv, and `equal_size`: the measure (a key of
    `kd.axes.shapes.MEASURES`) in which the study file makes its students equal, '' where it names
    none or there is no file. `remarks` are sentences on what runs.csv lacks. `study` is None where
    no study file was given, `grid` also where its runs cannot be planned on this machine (a local
    teacher is not here).

    Where the study tunes axes, `every` has all runs, and `runs` each cell at its chosen value alone
    (see `selection`). Else both are the same.
    """

    runs: pd.DataFrame
    remarks: list[str] = field(default_factory=list)
    study: Study | None = None
    grid: Grid | None = None
    selection: Selection | None = None
    every: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_runs(path: Path, study: Path | None = None) -> pd.DataFrame:
    """The runs of `load_record`."""
    return load_record(path, study).runs


def warned(record: Record) -> Record:
    """The record, after its remarks are printed to stderr, for commands that write no sentences."""
    for remark in record.remarks:
        print(f"warning: {remark}", file=sys.stderr)
    return record


def load_record(path: Path, study: Path | Study | None = None, planned: bool = True) -> Record:
    """Read and check runs.csv: axis values as the text that was written, measurements as numbers.

    A file from before a column existed can be read. An axis that it lacks has its default,
    which is what the code did then; a measurement that it lacks is unknown. Runs of `study` (its
    file, or what that says) that have no row are added as missing ones, and rows come in the
    study's order; not where `planned` is false, so that nothing depends on which data are on this
    machine.

    Raises:
        UserError: in one sentence: the file, the line, the column, what was found, what is allowed.
    """
    rows, remarks = _rows(path)
    _check_rows(path, rows)
    lines = [line for line, _ in rows]
    frame = _text([row for _, row in rows])
    asked = load_study(study) if isinstance(study, Path | str) else study
    grid = _planned(asked) if asked and planned else None
    written = list(frame["score"])
    for name in numbers():
        frame[name], told = _measured(path, frame, lines, name)
        remarks += told
    frame["history"] = [text if _is_history(text) else "" for text in frame["history"]]
    remarks += _scored(path, frame, lines, written)
    frame = frame.copy()  # in one piece
    if grid:
        frame, told = _completed(frame, grid, path)
        remarks += told
    if frame.empty:
        raise UserError(f"{path}: found a header and no runs, allowed: one row for each run")
    frame = _by_task(frame)
    if frame[BUNDLE].nunique() > 1:  # runs without a preset are named by their knowledge
        frame[BUNDLE] = frame[BUNDLE].where(frame[BUNDLE] != "none", frame["knowledge"])
    frame = frame.copy()  # columns set one by one lie apart; pandas warns of a hundred
    frame["equal_size"] = asked.equal_size if asked else ""
    frame["design"] = part_text(grid) if grid else frame["design"]
    if asked:
        remarks += changed_looks(frame, asked)
        frame["looks"] = looks_text(asked)
    try:
        read_design(frame["design"])
        read_looks(frame["looks"])
        tuned = tuned_of(grid) if grid else read_tuned(frame["select"])
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if tuned is None:
        return Record(frame, remarks, asked, grid, None, frame)
    selection = select(frame, tuned)
    remarks += selection.remarks
    return Record(selection.runs, remarks, asked, grid, selection, frame)


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """(line, cells by column) of every row; a last row that is cut off is left out, and named."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    lines = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            text = handle.read()
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if cells]
        broken = ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a runs.csv: not UTF-8 text ({error.reason})") from None
    except csv.Error as error:
        broken = " ".join(str(error).split())
    if broken:
        raise UserError(f"{path}: line {reader.line_num}: not a runs.csv ({broken})")
    header = [name.strip() for name in lines[0][1]] if lines else []
    lacking = [name for name in NEEDED if name not in header]
    if lacking:
        raise UserError(f"{path}: not a runs.csv, it has no column {listing(lacking)}")
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path}: the column {shown(name)} is there twice")
    rows, remarks = lines[1:], []
    if rows and len(rows[-1][1]) < len(header) and not text.endswith("\n"):
        remarks.append(f"{path.name}: cut off in line {rows[-1][0]}, which is left out.")
        rows = rows[:-1]
    for line, cells in rows:
        if len(cells) != len(header):
            raise UserError(
                f"{path}: line {line}: found {len(cells)} cells, allowed: {len(header)}, "
                "as many as the header has"
            )
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in rows], remarks


def _text(rows: list[dict[str, str]]) -> pd.DataFrame:
    """The cells as text, with all columns: an axis that the file lacks has its default."""
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=NEEDED)
    absent = {
        **dict.fromkeys(COLUMNS, ""),
        **{name: str(RUN_DEFAULTS.get(name, IDLE)) for name in AXES},
    }
    lacking = {name: value for name, value in absent.items() if name not in frame}
    added = pd.DataFrame(lacking, index=frame.index, dtype=object)
    frame = pd.concat([frame.astype(object), added], axis=1)
    frame[AXES] = frame[AXES].replace("", IDLE)
    return frame


def _check_rows(path: Path, rows: list[tuple[int, dict[str, str]]]) -> None:
    """Check that every row has a run of its own, a status and a task."""
    seen: set[str] = set()
    for line, row in rows:
        run, status = row["run"], row["status"]
        if not run or not row["task"]:
            raise UserError(f"{path}: line {line}: the column {'task' if run else 'run'} is blank")
        if run in seen:
            raise UserError(f"{path}: line {line}: the run {run} is there twice")
        seen.add(run)
        if status not in STATES:
            near = nearest(status.strip().lower(), STATES)
            raise UserError(
                f"{path}: line {line} (run {run}): status: found {shown(status)}, "
                f"allowed: {listing(STATES)}{near}"
            )


def _measured(
    path: Path, frame: pd.DataFrame, lines: list[int], name: str
) -> tuple["pd.Series[float]", list[str]]:
    """A column as numbers. Blank and infinite values are NaN; infinite ones are named."""
    values, unknown = [], []
    measured = {task: metrics_of(task, frame) for task in frame["task"].unique()}
    for line, run, task, cell in zip(lines, frame["run"], frame["task"], frame[name], strict=True):
        where = f"line {line} (run {run}): {name}"
        try:
            value = float(cell) if cell.strip() else math.nan
        except ValueError:
            raise UserError(
                f"{path}: {where}: found {shown(cell)}, allowed: a number, or blank"
            ) from None
        if cell.strip() and not math.isfinite(value):
            unknown.append(f"{where} is {shown(cell)}")
            value = math.nan
        low, high, words = _bounds(name, measured[task])
        if value < low or value > high:
            raise UserError(f"{path}: {where}: found {shown(cell)}, allowed: {words}")
        values.append(value)
    told = [f"{path.name}: {unknown[0]}, which is taken as unknown"] if unknown else []
    if len(unknown) > 1:
        told[0] += f", as are {len(unknown) - 1} more of that column"
    return pd.Series(values, index=frame.index, dtype=float), [f"{text}." for text in told]


def _scored(path: Path, frame: pd.DataFrame, lines: list[int], written: list[str]) -> list[str]:
    """Make runs that are done without a score missing, in place, and say so. A score counts only
    where the run says that it is done."""
    unscored = (frame["status"] == "done") & frame["score"].isna()
    frame.loc[unscored, "error"] = "done according to runs.csv, which has no score for it"
    frame.loc[unscored, "status"] = "missing"
    frame["score"] = frame["score"].where(frame["status"] == "done")
    if not unscored.any():
        return []
    first = int(np.flatnonzero(unscored)[0])
    run, score, more = frame["run"].iloc[first], written[first], int(unscored.sum()) - 1
    others = f", as are {more} more" if more else ""
    return [
        f"{path.name}: line {lines[first]} (run {run}): done, but its score is "
        f"{shown(score) if score.strip() else 'blank'}; it is shown as missing{others}."
    ]


def _by_task(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with tasks in GLUE's order, as everywhere, and users' own tasks after them."""
    place = {task: i for i, task in enumerate(TASKS)}
    tasks = frame["task"].map(lambda task: place.get(task, len(place)))
    return frame.iloc[np.argsort(tasks.to_numpy(), kind="stable")].reset_index(drop=True)


def _bounds(name: str, metrics: Collection[str]) -> tuple[float, float, str]:
    """The bounds of a measurement, and the same in words. They follow from its unit."""
    column = METRICS[name]
    units = [column.unit]
    if name in _SCORES:
        # One that the table lacks is a plugin's.
        known = [METRICS.get(column_of(m)) for m in metrics] or [None]
        units = [column.unit if column else CORRELATION for column in known]
    if any("−1 to 1" in unit for unit in units):
        return -1.0, 1.0, "a number from -1 to 1 (points are made from it)"
    if any("0 to 1" in unit or unit == "fraction" for unit in units):
        return 0.0, 1.0, "a fraction from 0 to 1 (points are made from it)"
    if "at most 1" in units:
        return -math.inf, 1.0, "a number up to 1"
    if column.kind == "integer" or column.unit in ("s", "1/s", "B"):
        return 0.0, math.inf, "a number from 0"
    return -math.inf, math.inf, "a number"


def _is_history(text: str) -> bool:
    """Whether a cell is like `step=25 50;loss=0.7 0.6`: series of numbers of equal length."""
    series = [part.rpartition("=")[2].split() for part in text.split(";")]
    try:
        for numbers_of in series:
            list(map(float, numbers_of))
    except ValueError:
        return False
    return text.startswith("step=") and len(set(map(len, series))) == 1


def _planned(study: Study) -> Grid | None:
    try:
        return expand(study)
    except UserError:  # a record can be drawn without the teachers of its study
        return None


def _completed(frame: pd.DataFrame, grid: Grid, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The rows in the order of the study. Planned runs without a row are added as missing.

    A run is found by its id, or by its axis values if its id was made in another way.
    """
    ids = {run: i for i, run in enumerate(grid.runs)}
    planned = {tuple(run.labels[a] for a in AXES): i for i, run in enumerate(grid.runs.values())}
    places = [
        ids.get(run, planned.get(cell, len(ids)))
        for run, cell in zip(frame["run"], map(tuple, frame[AXES].to_numpy()), strict=True)
    ]
    there = set(places)
    if len(frame) and there == {len(ids)}:
        return frame, [
            f"No run of {path.name} is one of {grid.study.path.name}: is it another study's record?"
        ]
    frame = frame.assign(place=places)
    lost = [
        {"run": run.id, "status": "missing", "objective": run.objective, **run.labels, "place": i}
        for i, run in enumerate(grid.runs.values())
        if i not in there
    ]
    remarks = []
    if lost:
        texts = [name for name in COLUMNS if name not in numbers()]
        more = pd.DataFrame(lost).reindex(columns=frame.columns)
        more[texts] = more[texts].fillna("")
        more["error"] = f"{path.name} has no row for it"
        more[numbers()] = more[numbers()].astype(float)
        frame = pd.concat([frame, more], ignore_index=True) if len(frame) else more
        remarks.append(
            f"{path.name} lacks {len(lost)} of the {len(ids)} runs that {grid.study.path.name} "
            "plans; they are shown as missing."
        )
    extra = places.count(len(ids))
    if extra:
        remarks.append(
            f"{path.name} has {extra} run{'s' * (extra > 1)} that {grid.study.path.name} does not "
            f"name ({frame['run'].iloc[places.index(len(ids))]}{', ...' * (extra > 1)})."
        )
    frame = frame.sort_values("place", kind="stable", ignore_index=True)
    return frame.drop(columns="place"), remarks
