"""Reads the files of users' own tasks: CSV, TSV, lines, JSON lines and Parquet, also with gzip."""

import codecs
import csv
import gzip
import io
import json
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kd.axes.tasks import Source
from kd.data.named_columns import place_of
from kd.runtime.errors import UserError, shown

if TYPE_CHECKING:
    import pandas as pd

_LINE_END = re.compile(r"\r\n|\r|\n")  # str.splitlines knows more, which are part of a text
_SEPARATORS = {"csv": ",", "tsv": "\t"}


def read_table(file: Path, source: Source) -> "pd.DataFrame":
    """The columns that `source` names, one row for each example, in the order of the file.

    They are called `text0`[, `text1`], then `label`, or `flag0`, `flag1`, ... for columns of 0 and
    1. In text formats all values are texts, as they are written.

    Raises:
        UserError: the file has another format or encoding, or a column is missing.
    """
    frame = _frame(file, source)
    names = [str(name).strip() for name in frame.columns]
    columns = columns_of(source)
    places = [_place(names, column, file, source.header) for column in columns]
    table = frame.iloc[:, places].copy()
    table.columns = names_of(source)
    return table


def once_misread(file: Path, encoding: str) -> bool:
    """Whether a file of format `lines` has characters that earlier versions took for line ends."""
    text = decoded(_bytes(file), encoding, file)
    return list(filter(None, text.splitlines())) != list(filter(None, _LINE_END.split(text)))


def columns_of(source: Source) -> list[str | int]:
    """The columns that are read: texts, then the label or the columns of 0 and 1."""
    return [*source.text, *(source.flags or [source.label])]


def names_of(source: Source) -> list[str]:
    """What these columns are called here."""
    flags = [f"flag{i}" for i in range(len(source.flags))]
    return [*(f"text{i}" for i in range(len(source.text))), *(flags or ["label"])]


def _frame(file: Path, source: Source) -> "pd.DataFrame":
    import pandas as pd

    raw = _bytes(file)
    if source.format == "parquet":
        from pyarrow import parquet

        try:
            names = parquet.read_schema(io.BytesIO(raw)).names
            for name in names:  # pandas cannot read two of one name
                place_of(name, names, file)
            # As it is in the file: a column that pandas has saved as an index is a column.
            return parquet.read_table(io.BytesIO(raw)).to_pandas(ignore_metadata=True)
        except UserError:
            raise
        except Exception as error:  # pyarrow has many errors of its own
            raise UserError(f"{file}: not a Parquet file ({_short(error)})") from None
    text = decoded(raw, source.encoding, file)
    if not text.strip():
        raise UserError(f"{file}: empty; a task needs rows in it")
    if source.format == "lines":
        return pd.DataFrame(
            [line.partition(" ")[::2] for line in _LINE_END.split(text) if line.strip()]
        )
    if source.format == "jsonl":
        rows = list(_json_rows(text, file))
        names = list(dict.fromkeys(name for row in rows for name in row))
        values = ([row.get(name) for name in names] for row in rows)
        return pd.DataFrame(values, columns=names, dtype=object)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a row that is longer than the header
            if source.header:  # pandas gives the second of one name another
                names = _csv(text, source, None, rows=1).iloc[0].str.strip().tolist()
                for column in {*columns_of(source)}.intersection(names):
                    place_of(column, names, file)
            return _csv(text, source, 0 if source.header else None)
    except (ValueError, Warning) as error:  # ParserError is a ValueError
        why = _long_row(text, source) or f"not a {source.format.upper()} file ({_short(error)})"
        raise UserError(f"{file}: {why}") from None


def _json_rows(text: str, file: Path) -> Iterator[dict[str, Any]]:
    """The object on each line. pandas' own reader rounds numbers and names no line in errors."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}, line {number}: not JSON ({_short(error)})") from None
        if not isinstance(row, dict):
            raise UserError(
                f"{file}, line {number}: found {shown(row)}, allowed: an object, as "
                f'{{"text": ..., "label": ...}}'
            )
        yield row


def _csv(text: str, source: Source, header: int | None, rows: int | None = None) -> "pd.DataFrame":
    import pandas as pd

    quoting: Literal[0, 3] = 0 if source.quotes else 3  # csv.QUOTE_MINIMAL, csv.QUOTE_NONE
    return pd.read_csv(
        io.StringIO(text),
        sep=_SEPARATORS[source.format],
        header=header,
        nrows=rows,
        dtype=str,
        na_filter=False,
        quoting=quoting,
        lineterminator="\n",
        index_col=False,
    )


def _long_row(text: str, source: Source) -> str:
    """The mistake of the first row that has too many columns; '' if no row has."""
    quoting: Literal[0, 3] = 0 if source.quotes else 3
    rows = csv.reader(io.StringIO(text), delimiter=_SEPARATORS[source.format], quoting=quoting)
    with suppress(csv.Error, StopIteration):
        width = len(next(rows))
        for number, row in enumerate(rows, 1 if source.header else 2):
            if len(row) > width:
                first = "the header" if source.header else "the first row"
                found = f"row {number} has {len(row)} columns, and {first} has {width}"
                comma = "; a comma in a text needs quotes around the text"
                return found + comma * (source.format == "csv")
    return ""


def _bytes(file: Path) -> bytes:
    raw = file.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: a damaged gzip file ({error})") from None


def decoded(raw: bytes, encoding: str, file: Path) -> str:
    r"""The text, with \n as line ends and without a byte-order mark.

    Raises:
        UserError: the file has another encoding; the message names line and byte.
    """
    if encoding == "utf-8":
        raw = raw.removeprefix(codecs.BOM_UTF8)  # not by utf-8-sig, whose errors do not count it
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        start = raw.rfind(b"\n", 0, error.start) + 1
        guess = f"; give the task the key encoding, such as {_likely(raw, error.start)}"
        hint = guess if encoding == "utf-8" else ""
        raise UserError(
            f"{file}, line {raw.count(bytes([10]), 0, error.start) + 1}: byte "
            f"{error.start - start + 1} of the line is 0x{raw[error.start]:02x}, which is not "
            f"{encoding}{hint}"
        ) from None
    text = text.replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")  # of old spreadsheets


def _likely(raw: bytes, at: int) -> str:
    """The likely encoding of a file that is not UTF-8 from a byte on."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "cp1252" if 0x80 <= raw[at] < 0xA0 else "iso-8859-1"  # there these are no letters


def _place(names: list[str], column: str | int, file: Path, header: bool) -> int:
    if isinstance(column, int):
        if column >= len(names):
            raise UserError(f"{file}: no column {column}: it has {len(names)}, counted from 0")
        return column
    if not header:
        raise UserError(f"{file}: column {column!r}: without a header, columns are numbers from 0")
    if len(names) == 1 and ";" in names[0]:
        raise UserError(
            f"{file}: found one column, {shown(names[0])}, allowed: columns that are separated by "
            f"commas (format csv) or tabs (format tsv)"
        )
    return place_of(column, names, file)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
