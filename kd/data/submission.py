"""Writes and checks the zip of a submission to the GLUE leaderboard."""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from kd.axes.leaderboard import HEADER, HIGH, LOW, SHEETS, Sheet
from kd.runtime.errors import UserError, listing, shown
from kd.runtime.files import atomic_write

Answers = Sequence[tuple[int, str]]  # (number of the example, answer) in the order of the test set
_SHOWN = 3  # largest number of problems listed for one file


def answer(value: float, sheet: Sheet) -> str:
    """A class or a score in the form that the leaderboard expects."""
    return sheet.answers[int(value)] if sheet.answers else f"{min(max(value, LOW), HIGH):.4f}"


def write_zip(path: Path, files: Mapping[str, Answers]) -> None:
    """Write the files of a submission. Equal answers give equal bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, answers in files.items():
            rows = "".join(f"{index}\t{text}\n" for index, text in answers)
            entry = zipfile.ZipInfo(name)  # dated 1980, so that the bytes do not depend on the time
            archive.writestr(entry, f"{HEADER}\n{rows}", zipfile.ZIP_DEFLATED)
    atomic_write(path, whole.getvalue())


def problems(path: Path, numbers: Mapping[str, Sequence[int]]) -> list[str]:
    """What the leaderboard would refuse or score as wrong in a zip; [] if there is nothing.

    `numbers` has the numbers of the examples by file name, for test sets that are available. For
    the others, the numbers must be those of the official test sets, from 0 to the last.

    Raises:
        UserError: the file is no zip.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path}: not a readable zip ({error})") from None
    texts = [f"{name}: missing" for name in SHEETS if name not in contents]
    texts += [
        f"{name}: no file of a submission, allowed: {listing(SHEETS)}"
        for name in contents
        if name not in SHEETS
    ]
    for name, sheet in SHEETS.items():
        if name in contents:
            wanted = numbers.get(name, range(sheet.examples))
            wrong = _wrong(contents[name], sheet, wanted)
            texts += [f"{name}{text}" for text in wrong[:_SHOWN]]
            if len(wrong) > _SHOWN:
                texts.append(f"{name}: {len(wrong) - _SHOWN} more problems")
    return texts


def _wrong(content: bytes, sheet: Sheet, numbers: Sequence[int]) -> list[str]:
    """The problems of one file, as texts to be put after its name."""
    try:
        lines = content.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        return [f": not UTF-8 text ({error.reason})"]
    texts = []
    if lines[0] != HEADER:
        texts.append(f", line 1: found {shown(lines[0])}, allowed: {shown(HEADER)}")
    rows = [line.split("\t") for line in lines[1:]]
    if len(rows) != len(numbers):
        texts.append(f": found {len(rows)} examples, allowed: {len(numbers)}")
    for line, (fields, number) in enumerate(zip(rows, numbers, strict=False), start=2):
        if len(fields) != 2:
            texts.append(f", line {line}: found {len(fields)} columns, allowed: 2")
        elif fields[0] != str(number):
            texts.append(f", line {line}: index {shown(fields[0])}, allowed: {number}")
        elif not _is_answer(fields[1], sheet):
            allowed = listing(sheet.answers) or f"a number from {LOW:g} to {HIGH:g}"
            texts.append(f", line {line}: prediction {shown(fields[1])}, allowed: {allowed}")
    return texts


def _is_answer(text: str, sheet: Sheet) -> bool:
    if sheet.answers:
        return text in sheet.answers
    try:
        return LOW <= float(text) <= HIGH
    except ValueError:
        return False
