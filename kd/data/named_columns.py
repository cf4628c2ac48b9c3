"""Finds a column of a data file by its name, which has to be there once."""

from collections.abc import Iterable
from pathlib import Path

from kd.runtime.errors import UserError, listing, nearest

_SHOWN = 20  # names of columns in a message


def place_of(column: object, names: Iterable[object], where: str | Path) -> int:
    """The position of the column, from 0.

    Raises:
        UserError: it is missing, or there are several of that name; it starts with `where`.
    """
    names = list(names)
    if column not in names:
        raise UserError(
            f"{where}: column {column!r} is missing; found {listing(names[:_SHOWN])}"
            f"{', ...' * (len(names) > _SHOWN)}{nearest(column, names)}"
        )
    if (count := names.count(column)) > 1:
        raise UserError(
            f"{where}: found {count} columns with the name {column!r}, allowed: one; rename the "
            f"others"
        )
    return names.index(column)
