"""The answers of a model on the dev splits: predictions.parquet in the folder of a run or teacher.

Columns: `split`, `id` (as in the task's text), `label` (a list of C numbers, 0 or 1, in a
multi-label task), `logits` (a list of C fp32 numbers; one for a regression). `pandas.read_parquet`
alone reads it.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kd.axes.kinds import LABELS, SCORES
from kd.axes.tasks import Task
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write

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
    answers = splits.values()
    table = pa.table(
        {
            "split": np.repeat(list(splits), [len(split.ids) for split in answers]),
            "id": np.concatenate([split.ids for split in answers]),
            "label": _column(np.concatenate([split.labels for split in answers])),
            "logits": _column(
                np.concatenate([split.logits for split in answers], dtype=np.float32)
            ),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file)
    atomic_write(path, file.getvalue())


def read_predictions(path: Path) -> dict[str, Predictions]:
    """The answers by split.

    Raises:
        UserError: the file is missing, damaged, or has other columns.
    """
    try:
        # `pq.read_table` and `to_numpy` would load pandas. That takes half a second, and a training
        # needs it for nothing else.
        with pq.ParquetFile(path) as file:
            table = file.read(columns=_COLUMNS).combine_chunks()
        split, ids, labels, logits = (_values(table[name]) for name in _COLUMNS)
    except Exception as error:  # pyarrow has many errors of its own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: missing or damaged ({reason}); `kd evaluate` makes it") from None
    return {
        str(name): Predictions(ids[split == name], labels[split == name], logits[split == name])
        for name in dict.fromkeys(split)
    }


def _column(values: np.ndarray) -> pa.Array:
    """A column of (n,) numbers, or of n lists for (n, C)."""
    return pa.array(values if values.ndim == 1 else list(values))


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """(n,), or (n, C) of a column of lists."""
    if pa.types.is_list(column.type):
        if column.null_count or len(pc.unique(pc.list_value_length(column))) > 1:
            raise ValueError("its lists are not of one length")
        return _values(pc.list_flatten(column)).reshape(len(column), -1)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.from_dlpack(column.combine_chunks())
    return np.array(column.to_pylist())


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
