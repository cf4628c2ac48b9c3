"""The keys of a task that say where its labels are, and what they are called."""

from typing import Any

from kd.runtime.errors import UserError, shown, unknown

LABEL_KEYS = {
    "from": "column of the labels, or a list of columns of 0 and 1, one for each label",
    "multi": "true: an example has any number of labels, also none",
    "names": "names of the labels in order, as the key labels has them elsewhere",
    "separator": "between the labels of an example, where they are text (;)",
}


def label_sets(value: dict[Any, Any]) -> dict[str, Any]:
    """The parts of a source that the key `labels` gives as keys with values."""
    for key in value:
        if key not in LABEL_KEYS:
            raise unknown("labels: key", key, LABEL_KEYS)
    if "from" not in value:
        raise UserError("labels.from: missing")
    parts: dict[str, Any] = {"multi": value.get("multi", False)}
    if not isinstance(parts["multi"], bool):
        raise UserError(f"labels.multi: found {shown(parts['multi'])}, allowed: true, false")
    if "names" in value:
        parts["labels"] = label_names(value["names"], "labels.names")
    columns = value["from"]
    if not isinstance(columns, list):
        parts["label"] = column_of(columns, "labels.from")
    elif not parts["multi"]:
        raise UserError("labels.from: several columns need multi: true")
    elif "separator" in value:
        raise UserError("labels.separator: it is for one column alone")
    else:
        parts |= {"label": "labels", "flags": _flags(columns, parts.get("labels"))}
    if "separator" in value:
        mark = value["separator"]
        if not parts["multi"]:
            raise UserError("labels.separator: it needs multi: true")
        if not isinstance(mark, str) or not mark:
            raise UserError(f"labels.separator: found {shown(mark)}, allowed: text such as ;")
        parts["separator"] = mark
    return parts


def _flags(columns: list[Any], names: tuple[str, ...] | None) -> tuple[str | int, ...]:
    """Columns of 0 and 1."""
    if len(columns) < 2:
        raise UserError(f"labels.from: found {shown(columns)}, allowed: two columns or more")
    flags = tuple(column_of(column, "labels.from") for column in columns)
    if len(set(flags)) < len(flags):
        raise UserError(f"labels.from: found {shown(columns)}: a column is there twice")
    if names and len(names) != len(flags):
        raise UserError(
            f"labels.names: found {len(names)} names, and labels.from has {len(flags)} columns"
        )
    return flags


def label_names(value: Any, key: str) -> tuple[str, ...]:
    """The labels in their order, as the study gives them.

    Raises:
        UserError: the key, what was found, what is allowed.
    """
    if (
        not isinstance(value, list)
        or len(value) < 2
        or not all(isinstance(v, str | int) for v in value)
    ):
        also = ", or keys with values: from, multi" if key == "labels" else ""
        raise UserError(f"{key}: found {shown(value)}, allowed: a list of two names or more{also}")
    for label in value:
        if isinstance(label, bool):
            raise UserError(
                f"{key}: found {shown(label)}, allowed: names; put yes, no, on, off, true and "
                f"false in quotes, because YAML reads them as truth values (those of JSON lines "
                f"and Parquet are 'True' and 'False')"
            )
    labels = tuple(str(label).strip() for label in value)
    if len(set(labels)) < len(labels):
        raise UserError(f"{key}: found {shown(value)}: a label is there twice")
    return labels


def column_of(value: Any, key: str) -> str | int:
    """A column: its name, or its position from 0.

    Raises:
        UserError: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UserError(
            f"{key}: found {shown(value)}, allowed: a column's name, or its position from 0"
        )
    if isinstance(value, int) and value < 0:
        raise UserError(f"{key}: found {value}, allowed: a column's name, or its position from 0")
    return value.strip() if isinstance(value, str) else value
