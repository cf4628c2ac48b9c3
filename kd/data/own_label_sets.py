"""Reads the labels of each example of a multi-label task, from one column or several."""

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kd.axes.tasks import Source
from kd.runtime.errors import UserError, shown

if TYPE_CHECKING:
    import pandas as pd

_LIST = re.compile(r"\[\s*(['\"]).*\1\s*\]", re.DOTALL)  # as Python and JSON write it
_YES_OR_NO = {"1": True, "0": False, "true": True, "false": False}


def label_sets(table: "pd.DataFrame", source: Source, where: str) -> Iterator[tuple[str, ...]]:
    """The labels of each example, each once, sorted; () where it has none.

    One column has them as a list (JSON lines, Parquet, the hub) or as text with `source.separator`
    between them. With `source.flags` each label has a column of 0 and 1.

    Raises:
        UserError: a value is missing, which is not the same as no label, or is neither 0 nor 1.
    """
    if source.flags:
        yield from _of_flags(table, source, where)
        return
    for row, value in enumerate(table["label"], 1):
        several = _is_list(value, f"{where}, row {row}: labels ({source.label})")
        empty = isinstance(value, str) and not value.strip()
        if isinstance(value, str) and _LIST.fullmatch(value.strip()):
            raise UserError(
                f"{where}, row {row}: labels ({source.label}): found the text {shown(value)}, "
                f"allowed: labels with {shown(source.separator)} between them, or a list in JSON "
                f"lines or Parquet"
            )
        if not (several or empty) and text_of(value) == "":
            raise UserError(
                f"{where}, row {row}: the labels ({source.label}) are missing; an example without "
                f"a label has an empty list or text"
            )
        found = [text_of(v) for v in value] if several else text_of(value).split(source.separator)
        if several and "" in found:
            raise UserError(f"{where}, row {row}: a label ({source.label}) is empty")
        yield tuple(sorted({label.strip() for label in found} - {""}))


def _of_flags(table: "pd.DataFrame", source: Source, where: str) -> Iterator[tuple[str, ...]]:
    names = source.labels or tuple(map(str, source.flags))
    columns = [table[f"flag{i}"] for i in range(len(names))]
    for row, values in enumerate(zip(*columns, strict=True), 1):
        chosen = []
        for name, column, value in zip(names, source.flags, values, strict=True):
            text = text_of(value).lower()
            if text not in _YES_OR_NO:
                raise UserError(
                    f"{where}, row {row}: {column}: found {shown(text_of(value))}, allowed: 0, 1"
                )
            chosen += [name] * _YES_OR_NO[text]
        yield tuple(sorted(chosen))


def _is_list(value: Any, where: str) -> bool:
    """Whether a value is a list of labels, and not one text or number."""
    if not is_several(value):
        return False
    if isinstance(value, dict | bytes) or any(map(is_several, value)):
        raise UserError(
            f"{where}: found {shown(value)}, allowed: a list of labels, or columns of 0 and 1"
        )
    return True


def is_several(value: Any) -> bool:
    """Whether a value is a list, a mapping or bytes, and not one text or number."""
    return hasattr(value, "__len__") and not isinstance(value, str)


def text_of(value: Any) -> str:
    """A value as text; a missing value is ''. A whole number is written without a point, since
    Parquet and JSON make floats of integers where one is missing."""
    import pandas as pd

    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
