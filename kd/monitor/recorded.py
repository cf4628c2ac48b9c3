"""What records say of runs: for runs whose results are on another machine, or were removed."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kd.axes.fields import RUN_FIELDS
from kd.results.columns import FIDELITY, WHOLE
from kd.runtime.errors import UserError
from kd.study.paths import RECORD
from kd.study.run import Run

Rows = Mapping[str, Mapping[str, str]]


def records_below(folders: Iterable[Path]) -> list[Path]:
    """The folders with a runs.csv among `folders`, and in those of them that have none.

    Raises:
        UserError: a folder has no record.
    """
    found = []
    for folder in folders:
        here = [folder] if (folder / RECORD).is_file() else []
        here = here or sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
        if not here:
            raise UserError(f"{folder}: no record; expected {RECORD} in it, or in a folder in it")
        found += here
    return found


def recorded_rows(records: Iterable[Path]) -> dict[str, dict[str, str]]:
    """{run: its row} of the runs that are done in the runs.csv of some folders; the first wins.

    Raises:
        UserError: a file cannot be read.
    """
    rows: dict[str, dict[str, str]] = {}
    for folder in records:
        for row in _done(folder / RECORD):
            rows.setdefault(row["run"], row)
    return rows


def _done(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            for row in csv.DictReader(handle):
                whole = None not in row.values()  # a row that was cut off lacks cells
                if whole and row["status"] == "done" and row["score"].strip():
                    yield row
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a record: {error}") from error


def filled(rows: Iterable[dict[str, Any]], runs: Mapping[str, Run], recorded: Rows) -> list[Any]:
    """The rows of a study; a run that is not done has what another record says of it.

    Its labels, and what is about the whole study, stay those of this study.
    """
    return [
        row if row["status"] == "done" or row["run"] not in recorded
        else _row(row, runs[row["run"]], recorded[row["run"]])
        for row in rows
    ]  # fmt: skip


def _row(row: dict[str, Any], run: Run, recorded: Mapping[str, str]) -> dict[str, Any]:
    measured = {k: v for k, v in recorded.items() if v and k not in (*RUN_FIELDS, *WHOLE)}
    if not run.needs_teacher and recorded.get("teacher") != run.labels["teacher"]:
        # A control is compared with the teacher of its cell, which is another one here.
        measured = {k: v for k, v in measured.items() if k not in FIDELITY}
    return {**row, **measured, "status": "done", "error": ""}


def other_scores(rows: Iterable[Mapping[str, Any]], recorded: Rows) -> list[str]:
    """The done runs whose score here is not the recorded one."""
    return [
        row["run"]
        for row in rows
        if row["status"] == "done"
        and row["run"] in recorded
        and float(row["score"]) != float(recorded[row["run"]]["score"])
    ]
