"""Reads a split of a dataset on the hub, for a user's own task."""

from typing import TYPE_CHECKING

from kd.axes.tasks import Source
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
    columns = [str(column) for column in (*source.text, source.label)]
    dataset, _ = load_hub_split(
        source.revision, source.config or None, split, columns, dataset=source.hub
    )
    feature = dataset.features[columns[-1]]
    frame = dataset.select_columns(list(dict.fromkeys(columns))).to_pandas()[columns]
    frame.columns = [*(f"text{i}" for i in range(len(source.text))), "label"]
    names = tuple(getattr(feature, "names", None) or ())
    if names:
        if (bad := ~frame["label"].between(0, len(names) - 1)).any():
            raise UserError(
                f"{source.hub}, split {split}, row {int(bad.to_numpy().argmax()) + 1}: it has no "
                f"label ({frame['label'][bad].iloc[0]})"
            )
        frame["label"] = [names[i] for i in frame["label"]]
    return frame, names
