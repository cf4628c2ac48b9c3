"""Transfer sets: texts without labels. What identifies one, and its examples, record by record."""

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kd.data.corpus_text import decoded_lines, json_lines, record_text
from kd.data.named_columns import place_of
from kd.runtime.digests import cached_content_digest
from kd.runtime.errors import UserError
from kd.runtime.user_paths import readable

_ROWS = 1000  # of a Parquet file at once
_LONGEST = 2**31 - 1  # characters of a field of a CSV file; by default the module allows 131,072
Texts = tuple[str, ...]  # one text, or two


@dataclass(frozen=True)
class TransferSet:
    """Files with their formats (text, csv, tsv, jsonl, parquet), and the columns of the texts."""

    files: tuple[tuple[str, str], ...]  # (absolute path, format)
    columns: tuple[str | int, ...] = ()  # one, or two for pairs; (): a text on each line
    header: bool = True  # of CSV and TSV files

    @property
    def texts(self) -> int:
        """Texts of an example."""
        return len(self.columns) or 1


@cache
def transfer_files(found: TransferSet) -> tuple[tuple[str, str, str], ...]:
    """(digest of the content, format, path) of each file, in the order in which they are read.

    Raises:
        UserError: a file cannot be read.
    """
    files = [
        (cached_content_digest(readable(Path(path)))[:16], kind, path) for path, kind in found.files
    ]
    return tuple(sorted(files))


@cache
def transfer_identity(found: TransferSet) -> dict[str, Any]:
    """What its examples depend on: contents and how they are read, never names or paths.

    Raises:
        UserError: a file cannot be read.
    """
    files = transfer_files(found)
    identity: dict[str, Any] = {"files": [f"{kind} {digest}" for digest, kind, _ in files]}
    if found.columns:
        identity["text"] = list(found.columns)
    return {**identity, **({} if found.header else {"header": False})}


def transfer_examples(found: TransferSet) -> Iterator[Texts]:
    """The examples, without blanks around their texts; one whose texts are all empty is no example.

    Raises:
        UserError: the first thing that cannot be read, with its file and line or record.
    """
    for _, kind, path in transfer_files(found):
        file = Path(path)
        try:
            for number, values in _ROWS_OF[kind](file, found):
                texts = tuple(record_text(value, file, number) for value in values)
                if all(texts):
                    yield texts
                elif any(texts):
                    raise UserError(f"{file}, record {number}: one of its two texts is empty")
        except csv.Error as error:
            raise UserError(f"{file}: not a {kind.upper()} file ({error})") from None
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{file}: cannot be read, or is cut off ({error})") from None


def check_transfer(found: TransferSet) -> None:
    """Read the first example of each file, so that a wrong format or column shows before anything
    runs.

    Raises:
        UserError: as `transfer_examples`; or a file has no example.
    """
    for path, kind in found.files:
        one = TransferSet(((path, kind),), found.columns, found.header)
        if next(transfer_examples(one), None) is None:
            raise UserError(f"{path}: found no text in it, allowed: files with text")


def _lines(file: Path, found: TransferSet) -> Iterator[tuple[int, list[Any]]]:
    for number, text in decoded_lines(file):
        yield number, [text]


def _table(file: Path, found: TransferSet) -> Iterator[tuple[int, list[Any]]]:
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        for _, text in decoded_lines(file):
            yield text
        ended = True

    csv.field_size_limit(_LONGEST)
    if dict(found.files)[str(file)] == "tsv":
        rows = csv.reader(lines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines())
    names = [name.strip() for name in next(rows, [])] if found.header else None
    places = [_place(column, names, file) for column in found.columns]
    width = len(names) if names else 0
    for number, row in enumerate(rows, 1):
        if ended:  # the reader wanted another line for this record
            raise UserError(f"{file}, record {number}: a quotation mark is not closed")
        width = width or len(row)
        if row and (len(row) > width or len(row) <= max(places)):
            raise UserError(
                f"{file}, record {number}: found {len(row)} columns, allowed: {width}, as in the "
                f"{'header' if names else 'first record'}"
                if width > max(places)
                else f"{file}: no column {max(places)}: it has {width}, counted from 0"
            )
        yield number, [row[place] for place in places] if row else [""] * len(places)


def _place(column: str | int, names: list[str] | None, file: Path) -> int:
    if isinstance(column, int):
        return column
    if names is None:
        raise UserError(f"{file}: column {column!r}: without a header, columns are numbers from 0")
    return place_of(column, names, file)


def _json_rows(file: Path, found: TransferSet) -> Iterator[tuple[int, list[Any]]]:
    for number, row in json_lines(file):
        for column in found.columns:
            if not isinstance(row, dict) or column not in row:
                names = list(row) if isinstance(row, dict) else []
                place_of(column, names, f"{file}, line {number}")
        yield number, [row[column] for column in found.columns]


def _parquet_rows(file: Path, found: TransferSet) -> Iterator[tuple[int, list[Any]]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    columns = list(map(str, found.columns))
    try:
        with ParquetFile(file) as table:
            for column in columns:
                place_of(column, table.schema_arrow.names, file)
            number = 0
            for batch in table.iter_batches(_ROWS, columns=columns):
                values = [batch.column(column).to_pylist() for column in columns]
                for row in zip(*values, strict=True):
                    number += 1
                    yield number, list(row)
    except ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: not a Parquet file, or damaged ({reason})") from None


_ROWS_OF = {
    "text": _lines,
    "csv": _table,
    "tsv": _table,
    "jsonl": _json_rows,
    "parquet": _parquet_rows,
}
