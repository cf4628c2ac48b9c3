"""Reads the answers of a study's students: answers/TASK.parquet, next to runs.csv."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kd.results.statistics.examples import Answers
from kd.runtime.errors import UserError

_EXAMPLE = ["split", "id", "label"]


@dataclass(frozen=True)
class TaskAnswers:
    """A task's scored dev splits with the answers of its runs, and the metrics of its score."""

    splits: list[Answers]
    metrics: list[str]

    @property
    def runs(self) -> set[str]:
        """The runs whose answers are there."""
        return set(self.splits[0].values)

    @property
    def examples(self) -> int:
        """The number of examples in all splits."""
        return sum(len(split.labels) for split in self.splits)


def _values(column: "pd.Series[Any]", labels: int | None) -> np.ndarray:
    """(n,); of a multi-label task, with so many labels, (n, C) bool."""
    if labels is None:
        return column.to_numpy()
    chosen = np.zeros((len(column), labels), dtype=bool)
    for row, numbers in enumerate(column):
        chosen[row, np.asarray(numbers, dtype=int)] = True
    return chosen


def _highest(answers: pd.DataFrame) -> int:
    """The highest class of a file of an older version, which does not say how many there are."""
    return int(answers.to_numpy().max())


def read_answers(record: Path) -> dict[str, TaskAnswers]:
    """By task: the answers in the folder `answers` beside a record; empty where there are none.

    Raises:
        UserError: a file is damaged, or is none of `kd collect`.
    """
    by_task = {}
    for path in sorted((record.parent / "answers").glob("*.parquet")):
        try:
            table = pd.read_parquet(path)
            runs = table.columns.difference(_EXAMPLE)
            labels = table.attrs.get("labels")
            classes = labels or table.attrs.get("classes") or _highest(table[["label", *runs]]) + 1
            splits = [
                Answers(
                    _values(rows["label"], labels),
                    {str(run): _values(rows[run], labels) for run in runs},
                    classes,
                )
                for name, rows in table.groupby("split", sort=False)
                if name in table.attrs.get("scored", [name])
            ]
            by_task[path.stem] = TaskAnswers(splits, list(table.attrs["metrics"]))
        except Exception as error:  # pyarrow has many errors of its own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: damaged ({reason}); `kd collect` makes it again") from None
    return by_task
