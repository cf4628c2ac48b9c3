"""The answers of a model on the dev splits: predictions.parquet in the folder of a run or teacher.

Columns: `split`, `id` (as in the task's text), `label` (a list of C numbers, 0 or 1, in a
multi-label task), `logits` (a list of C fp32 numbers; one for a regression). `pandas.read_parquet`
alone reads it.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kd.axes.kinds import LABELS, SCORES
from kd.axes.tasks import Task
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["split", "id", "label", "logits"]


@dataclass(frozen=True)
class Predictions:
    """The answers on one split: `ids` (n,), `labels` (n,), or (n, C) of a multi-label task, and
    `logits` (n, C), in fp32."""

    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray


def write_predictions(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Write the answers on all dev splits, as one file that appears whole or not at all."""
    import pandas as pd

    frame = pd.concat(
        pd.DataFrame(
            {
                "split": name,
                "id": split.ids,
                "label": split.labels if split.labels.ndim == 1 else list(split.labels),
                "logits": list(split.logits.astype(np.float32)),
            }
        )
        for name, split in splits.items()
    )
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    atomic_write(path, file.getvalue())


def read_predictions(path: Path) -> dict[str, Predictions]:
    """The answers by split.

    Raises:
        UserError: the file is missing, damaged, or has other columns.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path, columns=_COLUMNS)
    except Exception as error:  # pyarrow has many errors of its own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: missing or damaged ({reason}); `kd evaluate` makes it") from None
    return {
        str(name): Predictions(
            rows["id"].to_numpy(), _stacked(rows["label"]), _stacked(rows["logits"])
        )
        for name, rows in frame.groupby("split", sort=False)
    }


def _stacked(column: "pd.Series[Any]") -> np.ndarray:
    """(n,), or (n, C) of a column of lists."""
    values: np.ndarray = column.to_numpy()
    return np.stack(list(values)) if values.dtype == object else values


def chosen_answers(task: Task, logits: np.ndarray) -> np.ndarray:
    """What logits (n, C) answer: (n,) the classes with the highest ones, or the scores; of a
    multi-label task (n, C) bool, the labels with a probability above 0.5."""
    if task.kind is LABELS:
        return np.asarray(logits > 0)
    return np.asarray(logits[:, 0] if task.kind is SCORES else logits.argmax(-1))


def gold_answers(task: Task, labels: np.ndarray) -> np.ndarray:
    """The right answers, of the kind of `chosen_answers`."""
    return np.asarray(labels > 0) if task.kind is LABELS else labels


def aligned(student: Predictions, teacher: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """(n, C) logits of student and teacher for the same examples, in the student's order.

    Raises:
        UserError: they answered other examples.
    """
    place = {number: row for row, number in enumerate(teacher.ids.tolist())}
    rows = [place.get(number, -1) for number in student.ids.tolist()]
    if -1 in rows or len(place) != len(rows):
        raise UserError(
            f"student and teacher answered other examples: {len(rows)} and {len(place)}, of which "
            f"{sum(row >= 0 for row in rows)} are the same"
        )
    return student.logits, teacher.logits[rows]
