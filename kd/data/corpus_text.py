"""Reads the text of a corpus, record by record, so that one larger than memory can be read.

Text files have one sentence or paragraph a line, and a blank line between documents. A record of
JSON lines, Parquet or the hub is a document.
"""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from kd.data.corpus import Corpus, corpus_files
from kd.data.named_columns import place_of
from kd.runtime.errors import Transient, UserError, shown

END = None  # between two documents
_ROWS = 1000  # of a Parquet file at once
LONGEST = 16_000_000  # bytes of a line, characters of a record: about 2 GB while it is tokenised
_GZIP = b"\x1f\x8b"


def corpus_texts(corpus: Corpus) -> Iterator[str | None]:
    """The lines or records of a corpus, without blanks around them, in one order; END after each
    document.

    Raises:
        UserError: the first thing that cannot be read, with its file and line or record.
        Transient: the hub does not answer.
    """
    if corpus.hub:
        yield from _documents(_hub_rows(corpus), corpus.hub)
        return
    for _, kind, path in corpus_files(corpus):
        file = Path(path)
        try:
            if kind == "text":
                yield from _lines(file)
            elif kind == "jsonl":
                yield from _documents(_json_rows(file, corpus.column), path)
            else:
                yield from _documents(_parquet_rows(file, corpus.column), path)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{file}: cannot be read, or is cut off ({error})") from None
        yield END


def check_corpus(corpus: Corpus) -> None:
    """Read the first text of each file, so that a wrong format or column shows before anything
    runs. A dataset of the hub is not asked.

    Raises:
        UserError: as `corpus_texts`; or a file has no text.
    """
    for path, kind in corpus.files:
        one = Corpus(((path, kind),), corpus.column, corpus.held_out)
        if not any(corpus_texts(one)):
            raise UserError(f"{path}: found no text in it, allowed: files with text")


def _opened(file: Path) -> BinaryIO:
    """The file, unpacked if it is a gzip file."""
    with file.open("rb") as handle:
        packed = handle.read(2) == _GZIP
    return cast(BinaryIO, gzip.open(file, "rb")) if packed else file.open("rb")


def decoded_lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of each line of a text file in UTF-8, plain or gzip.

    Raises:
        UserError: the first line that is not UTF-8, or too long for the memory of a job.
    """
    with _opened(file) as lines:
        for number, raw in enumerate(iter(lambda: lines.readline(LONGEST + 1), b""), 1):
            if len(raw) > LONGEST:
                raise UserError(
                    f"{file}, line {number}: found a line of more than {LONGEST:,} bytes, "
                    f"allowed: up to that; break its text into several lines or records"
                )
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{file}, line {number}: byte {error.start + 1} of the line is "
                    f"0x{raw[error.start]:02x}, which is not UTF-8"
                ) from None
            yield number, text


def _lines(file: Path) -> Iterator[str | None]:
    for _, text in decoded_lines(file):
        yield text.strip() or END


def _documents(rows: Iterator[tuple[int, Any]], where: str) -> Iterator[str | None]:
    """Records as documents; empty ones are left out."""
    for number, value in rows:
        if text := record_text(value, where, number):
            yield text
            yield END


def record_text(value: Any, where: str | Path, number: int) -> str:
    """The text of a record without blanks around it; '' for null.

    Raises:
        UserError: it is no text, too long for the memory of a job, or has half of a surrogate pair.
            JSON can write one as an escape, but UTF-8 and tokenizers have no such character.
    """
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where}, record {number}: found {shown(value)}, allowed: text")
    text = (value or "").strip()
    if len(text) > LONGEST:
        raise UserError(
            f"{where}, record {number}: found a text of {len(text):,} characters, allowed: up to "
            f"{LONGEST:,}; break it into several records"
        )
    check_characters(text, f"{where}, record {number}")
    return text


def check_characters(text: str, where: str) -> None:
    """Check that a text can be written as UTF-8.

    Raises:
        UserError: it has half of a surrogate pair; it starts with `where`.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise UserError(
            f"{where}: found {half}, half of a surrogate pair, allowed: text that can be written "
            f"as UTF-8"
        ) from None


def json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    """Line number and value of each line of a file, without blank lines.

    Raises:
        UserError: a line is not JSON.
    """
    for number, text in decoded_lines(file):
        if not text.strip():
            continue
        try:
            yield number, json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}, line {number}: not JSON ({str(error)[:100]})") from None


def _json_rows(file: Path, column: str) -> Iterator[tuple[int, Any]]:
    for number, row in json_lines(file):
        if not isinstance(row, dict) or column not in row:
            place_of(column, row if isinstance(row, dict) else (), f"{file}, line {number}")
        yield number, row[column]


def _parquet_rows(file: Path, column: str) -> Iterator[tuple[int, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as table:
            place_of(column, table.schema_arrow.names, file)
            number = 0
            for batch in table.iter_batches(_ROWS, columns=[column]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield number, value
    except ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: not a Parquet file, or damaged ({reason})") from None


def _hub_rows(corpus: Corpus) -> Iterator[tuple[int, Any]]:
    """The rows of a dataset of the hub, as they arrive: nothing is stored."""
    from datasets import load_dataset

    where = f"{corpus.hub} ({corpus.config or 'default'}, {corpus.split})"
    try:
        rows = load_dataset(
            corpus.hub,
            corpus.config or None,
            revision=corpus.revision,
            split=corpus.split,
            streaming=True,
        )
        for number, row in enumerate(rows, 1):
            if corpus.column not in row:
                place_of(corpus.column, row, where)
            yield number, row[corpus.column]
    except UserError:
        raise
    except Exception as error:  # the library and the network have errors of their own
        reason = " ".join(str(error).split())[:300]
        raise Transient(f"{where}: cannot be read: {type(error).__name__}: {reason}") from error
