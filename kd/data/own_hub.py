"""Reads a split of a dataset on the hub, for a user's own task."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kd.axes.tasks import Source
from kd.data.own_files import columns_of, names_of
from kd.data.text import load_hub_split
from kd.runtime.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def read_hub_split(source: Source, split: str) -> tuple["pd.DataFrame", tuple[str, ...]]:
    """The columns that `source` names, as in `own_files.read_table`, and the names of the labels.

    The names are in the order of the dataset, and () if it has none.

    Raises:
        UserError: the split cannot be loaded, or lacks a column.
    """
    columns = [str(column) for column in columns_of(source)]
    dataset, _ = load_hub_split(
        source.revision, source.config or None, split, columns, dataset=source.hub
    )
    feature = dataset.features[columns[-1]]
    frame = dataset.select_columns(list(dict.fromkeys(columns))).to_pandas()[columns]
    frame.columns = names_of(source)
    if source.flags:
        return frame, ()
    inner = getattr(feature, "feature", feature)  # of a list, what is in it
    names = tuple(getattr(inner, "names", None) or ())
    if names and source.multi:
        frame["label"] = [
            [names[i] for i in chosen] for chosen in _numbers(frame["label"], names, source, split)
        ]
    elif names:
        if (bad := ~frame["label"].between(0, len(names) - 1)).any():
            raise UserError(
                f"{source.hub}, split {split}, row {int(bad.to_numpy().argmax()) + 1}: it has no "
                f"label ({frame['label'][bad].iloc[0]})"
            )
        frame["label"] = [names[i] for i in frame["label"]]
    return frame, names


def _numbers(
    column: "pd.Series[Any]", names: tuple[str, ...], source: Source, split: str
) -> Iterator[list[int]]:
    """Of each example the numbers of its labels; those of one, where it is no list."""
    for row, value in enumerate(column, 1):
        if value is None:
            raise UserError(
                f"{source.hub}, split {split}, row {row}: the labels ({source.label}) are missing; "
                f"an example without a label has an empty list"
            )
        numbers = [int(i) for i in (value if hasattr(value, "__len__") else [value])]
        if bad := [i for i in numbers if not 0 <= i < len(names)]:
            raise UserError(f"{source.hub}, split {split}, row {row}: it has no label ({bad[0]})")
        yield numbers
