"""The key `transfer` of a study file: each set of texts without labels, checked; none is read."""

import re
from pathlib import Path
from typing import Any

from kd.axes.extra import TRANSFER_ENDINGS, TRANSFER_KEYS
from kd.axes.labels import NAME
from kd.data.transfer import TransferSet
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.keys import mapping_of
from kd.study.label_keys import column_of
from kd.study.located import file_format, located_files
from kd.study.mistakes import kept

_TABLES = ("csv", "tsv")  # formats whose columns may have no names


def transfer_sets(value: Any, study: Path) -> dict[str, TransferSet]:
    """The key `transfer`, checked.

    Raises:
        UserError: the key, what was found, what is allowed.
    """
    sets: dict[str, TransferSet] = {}
    for name, keys in mapping_of(value, "transfer").items():
        with kept():
            sets |= _named(name, keys, study)
    return sets


def _named(name: Any, keys: Any, study: Path) -> dict[str, TransferSet]:
    if name in TRANSFER_KEYS and not isinstance(keys, dict):
        raise UserError(
            f"transfer: found the key {name}; a set has a name: transfer: {{NAME: {{files: "
            f"...}}}}, and runs have transfer: NAME"
        )
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or name == "none":
        raise UserError(
            f"transfer: found {shown(name)}, allowed: names of a-z, 0-9, - and _, but not none"
        )
    return {name: _set(mapping_of(keys, f"transfer.{name}"), f"transfer.{name}", study)}


def _set(keys: dict[str, Any], where: str, study: Path) -> TransferSet:
    for key in keys:
        if key not in TRANSFER_KEYS:
            raise unknown(f"{where}: key", key, TRANSFER_KEYS)
    if "files" not in keys:
        raise UserError(f"{where}.files: missing; a transfer set needs files of texts")
    kind = keys.get("format", "")
    if "format" in keys and (not isinstance(kind, str) or kind not in TRANSFER_ENDINGS):
        raise unknown(f"{where}.format", kind, TRANSFER_ENDINGS)
    located = located_files(keys["files"], f"{where}.files", study)
    files = tuple((f, kind or file_format(f, at, TRANSFER_ENDINGS)) for f, at in located.items())
    kinds = dict.fromkeys(kind for _, kind in files)
    if len(kinds) > 1 and "text" in kinds:
        raise UserError(f"{where}.files: found {listing(kinds)}: text files have no columns")
    if "text" in kinds:
        for key in ("text", "header"):
            if key in keys:
                raise UserError(f"{where}.{key}: it would change nothing: a line is a text")
        return TransferSet(files)
    if "text" not in keys:
        raise UserError(f"{where}.text: missing; the column of the text, or a list of two")
    header = keys.get("header", True)
    if not isinstance(header, bool):
        raise UserError(f"{where}.header: found {shown(header)}, allowed: true, false")
    others = [kind for kind in kinds if kind not in _TABLES]
    if "header" in keys and others:
        raise UserError(f"{where}.header: {others[0]} has names of columns anyway")
    columns = _columns(keys["text"], where)
    for column in columns:
        if isinstance(column, int) and (others or header):
            raise UserError(
                f"{where}.text: found {column}, allowed: names of columns; positions are for CSV "
                f"and TSV files with header: false"
            )
    return TransferSet(files, columns, header)


def _columns(value: Any, where: str) -> tuple[str | int, ...]:
    columns = value if isinstance(value, list) else [value]
    if not 1 <= len(columns) <= 2:
        raise UserError(f"{where}.text: found {shown(value)}, allowed: a column, or a list of two")
    try:
        return tuple(column_of(column, "text") for column in columns)
    except UserError as error:
        raise UserError(f"{where}.{error}") from None
