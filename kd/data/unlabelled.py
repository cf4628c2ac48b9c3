"""Reads the test sets of the GLUE leaderboard, without labels, in the order of their files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kd.axes.leaderboard import Sheet
from kd.axes.tasks import TASKS
from kd.data.text import load_hub_split
from kd.data.tsv import Row, tsv_fields
from kd.runtime.errors import UserError, shown
from kd.runtime.user_paths import expanded, is_folder


def unlabelled_rows(data: dict[str, Any], sheet: Sheet) -> list[Row] | None:
    """id (the official number), sentence1 and sentence2 of each example of a test set.

    `data` is the key of a study, with the source tsv or hub. The result is None if a folder of TSV
    files lacks the test set.

    Raises:
        UserError: a row is not in the official layout, or a number occurs twice.
    """
    if data["source"] == "hub":
        where = f"{sheet.config or sheet.task}, {sheet.split}"
        rows = list(_hub_rows(data["revision"], sheet))
    else:
        file = unlabelled_file(data["path"], sheet)
        if file is None:
            return None
        where, rows = str(file), list(_tsv_rows(file, sheet))
    seen: set[int] = set()
    for row in rows:
        if row["id"] in seen:
            raise UserError(f"{where}: the example {row['id']} is there twice")
        seen.add(row["id"])
    if not rows:
        raise UserError(f"{where}: empty; a test set needs rows")
    return rows


def unlabelled_file(path: str, sheet: Sheet) -> Path | None:
    """The file of the test set in a glue_data/ folder; None if it is missing.

    Raises:
        UserError: the folder does not exist.
    """
    root = expanded(path)
    if not is_folder(root):
        raise UserError(f"data.path: found {path!r}, which is no folder")
    return next((root / name for name in sheet.tsv if (root / name).is_file()), None)


def _tsv_rows(file: Path, sheet: Sheet) -> Iterator[Row]:
    title = TASKS[sheet.task].title
    for number, (index, *text) in tsv_fields(file, (sheet.index, *sheet.text), title):
        if not (index.isascii() and index.isdecimal()):
            raise UserError(
                f"{file}, line {number}: {sheet.index} {shown(index)}, allowed: a whole number"
            )
        yield _row(int(index), text)


def _hub_rows(revision: str, sheet: Sheet) -> Iterator[Row]:
    columns = TASKS[sheet.task].columns
    config = sheet.config or sheet.task
    dataset, _ = load_hub_split(revision, config, sheet.split, columns)
    for index, example in enumerate(dataset):  # the official numbers are positions
        yield _row(index, [example[column] for column in columns])


def _row(index: int, text: list[str]) -> Row:
    """One example. Blanks around a text are removed, as in the training data."""
    return {
        "id": index,
        "sentence1": text[0].strip(),
        "sentence2": text[1].strip() if len(text) > 1 else None,
    }
