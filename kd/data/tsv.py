"""Reads the official TSV files of GLUE and finds their errors, with the standard library only."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kd.axes.kinds import SCORES
from kd.axes.tasks import TASKS, Task
from kd.data.identity import tsv_files
from kd.runtime.errors import UserError, listing

Row = dict[str, Any]  # id, sentence1, sentence2 (None for single sentences), label


def check_tsv(path: str, task: str) -> None:
    """Read every TSV file of a task, so that its errors are found before anything runs.

    Raises:
        UserError: the first error, with file and line.
    """
    for file in tsv_files(path, task).values():
        for _ in tsv_rows(file, TASKS[task]):
            pass


def tsv_rows(file: Path, task: Task, broken: list[int] | None = None) -> Iterator[Row]:
    """The rows of the TSV file of a split with labels.

    For a `corrupted` task, broken rows are left out, and `broken` gets their line numbers.

    Raises:
        UserError: the file is empty, a column is missing, a row has a wrong number of columns, or
            a label is not allowed.
    """
    if not task.corrupted:
        broken = None
    elif broken is None:
        broken = []
    columns = (*task.text, task.label)
    header = _has_header(columns)
    for number, (*text, label) in tsv_fields(file, columns, task.title, broken):
        yield {
            "id": number - 1 - header,
            "sentence1": text[0].strip(),
            "sentence2": text[1].strip() if len(text) > 1 else None,
            "label": _label(label, task, f"{file}, line {number}"),
        }


def tsv_fields(
    file: Path, columns: Sequence[str | int], title: str, broken: list[int] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields of `columns`) of each row of a TSV file in the official layout.

    The layout is UTF-8 with tabs, and quotes are plain characters. A file whose columns are given
    as positions has no header (CoLA's files with labels). MRPC's files start with a byte-order
    mark, which utf-8-sig removes. If `broken` is a list, it gets the line numbers of rows with a
    wrong number of columns; otherwise they are errors.

    Raises:
        UserError: the file is empty, a column is missing, or a row has a wrong number of columns.
    """
    try:
        with file.open(
            encoding="utf-8-sig", newline=""
        ) as handle:  # a single \r does not end a line
            lines = handle.read().split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error})") from None
    if lines and not lines[-1].strip():
        lines.pop()
    header = _has_header(columns)
    if len(lines) < 1 + header:
        raise UserError(f"{file}: empty; {title} needs rows in it")
    names = lines[0].rstrip("\r").split("\t")
    places = [_place(names, column, file) for column in columns]
    width = len(names)
    for number, line in enumerate(lines[header:], start=1 + header):
        fields = line.rstrip("\r").split("\t")
        if len(fields) == width:
            yield number, [fields[place] for place in places]
        elif broken is not None:
            broken.append(number)
        else:
            raise UserError(
                f"{file}, line {number}: found {len(fields)} columns, allowed: {width} as in line 1"
            )


def _has_header(columns: Sequence[str | int]) -> bool:
    return all(isinstance(column, str) for column in columns)


def _place(names: list[str], column: str | int, file: Path) -> int:
    if isinstance(column, int):
        if column >= len(names):
            raise UserError(
                f"{file}, line 1: found {len(names)} columns, allowed: at least {column + 1}"
            )
        return column
    if column not in names:
        raise UserError(f"{file}, line 1: column {column!r} is missing; found {listing(names)}")
    return names.index(column)


def _label(text: str, task: Task, where: str) -> int | float:
    if task.kind is not SCORES:
        if text not in task.labels:
            raise UserError(f"{where}: label {text!r}, allowed: {listing(task.labels)}")
        return task.labels.index(text)
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0 <= score <= 5:
        raise UserError(f"{where}: score {text!r}, allowed: a number from 0 to 5")
    return score
