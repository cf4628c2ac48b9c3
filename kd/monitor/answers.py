"""Gathers what a study's students answered on the dev splits: answers/TASK.parquet beside runs.csv.

Rows are dev examples: columns `split`, `id` (as in the task's text) and `label`, then one column
for each run, named by its id. It has the class chosen for the example (int8 or int16), the score of
a regression (float32), or the list of the numbers of the labels chosen in a multi-label task, as
`label` has it there. The `attrs` of `pandas.read_parquet(file)` say what the score is made of: the
`metrics` of the task, its `scored` splits, and how many `classes` it has, or `labels` where it has
several.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.axes.kinds import LABELS, SCORES
from kd.axes.tasks import Task
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write
from kd.study.grid import Grid
from kd.study.paths import ANSWERS, PREDICTIONS, Layout
from kd.study.run import Run

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLE = ["split", "id"]
_SMALL = 127  # the largest int8


def write_answers(
    grid: Grid, layout: Layout, record: Path, records: Sequence[Path] = ()
) -> list[str]:
    """Write the answers of the runs that are done in `record`, the study's runs.csv.

    Runs without results in `layout` have the answers of the first of `records` (paths of runs.csv)
    that has them. Runs of older versions have left no answers: they have no column. A task none of
    whose runs has answers gets no file, and keeps one that is there.

    Returns:
        Sentences on answers that cannot be read or belong to other examples, which are left out.

    Raises:
        UserError: the answers of one of `records` cannot be read.
    """
    with record.open(newline="", encoding="utf-8-sig") as handle:
        finished = {row["run"] for row in csv.DictReader(handle) if row["status"] == "done"}
    folder, remarks = record.parent / ANSWERS, []
    by_task: dict[str, list[Run]] = {}
    for run in grid.runs.values():
        if run.id in finished:
            # As the task is named in runs.csv: the id of a user's own task has another name.
            by_task.setdefault(run.labels["task"], []).append(run)
    for task, runs in by_task.items():
        table, told = _answers(runs, layout, _recorded(task, records))
        remarks += told
        if table is not None:
            file = io.BytesIO()
            table.to_parquet(file, index=False)
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(folder / f"{task}.parquet", file.getvalue())
    return remarks


def _recorded(task: str, records: Iterable[Path]) -> dict[str, "pd.DataFrame"]:
    """{run: columns split, id, label and answer}, from the first record that has the run.

    Raises:
        UserError: a file cannot be read.
    """
    import pandas as pd

    found: dict[str, pd.DataFrame] = {}
    for record in records:
        path = record.parent / ANSWERS / f"{task}.parquet"
        if path.is_file():
            try:
                table = pd.read_parquet(path)
            except (OSError, ValueError) as error:
                raise UserError(f"{path}: cannot be read: {error}") from error
            for run in {*map(str, table)} - {*_EXAMPLE, "label", *found}:
                found[run] = table[[*_EXAMPLE, "label", run]].rename(columns={run: "answer"})
    return found


def _answers(
    runs: list[Run], layout: Layout, recorded: Mapping[str, "pd.DataFrame"]
) -> tuple["pd.DataFrame | None", list[str]]:
    """The answers of one task's runs; those of the first one say which examples there are."""
    import pandas as pd

    examples, first, columns, remarks = None, "", {}, []
    for run in runs:
        path = layout.run(run) / PREDICTIONS
        if not path.is_file() and run.id not in recorded:
            continue
        try:
            own = _chosen(path, run.task_row) if path.is_file() else recorded[run.id]
        except UserError as error:
            remarks.append(f"{error}; its answers are left out")
            continue
        own = own.set_index(_EXAMPLE)
        if examples is None:
            examples, first = own[["label"]], run.id
        elif len(own) != len(examples) or not own.index.isin(examples.index).all():
            remarks.append(f"{run.id}: has other examples than {first}; its answers are left out")
            continue
        columns[run.id] = own["answer"].reindex(examples.index)
    if examples is None:
        return None, remarks
    table = pd.concat([examples, pd.DataFrame(columns)], axis=1).reset_index()
    task = runs[0].task_row
    table.attrs["metrics"] = list(task.metrics)
    table.attrs["scored"] = list(task.scored)
    table.attrs["labels" if task.kind is LABELS else "classes"] = task.outputs
    return table, remarks


def _chosen(path: Path, task: Task) -> "pd.DataFrame":
    """Columns split, id, label and answer of one run."""
    import numpy as np
    import pandas as pd

    from kd.training.predictions import chosen_answers, read_predictions

    small = np.int8 if task.outputs <= _SMALL else np.int16

    def compact(values: np.ndarray) -> Any:
        if task.kind is LABELS:
            return [np.flatnonzero(row).astype(small) for row in values]
        return values.astype(np.float32 if task.kind is SCORES else small)

    return pd.concat(
        pd.DataFrame(
            {
                "split": split,
                "id": predicted.ids,
                "label": compact(predicted.labels) if task.kind is LABELS else predicted.labels,
                "answer": compact(chosen_answers(task, predicted.logits)),
            }
        )
        for split, predicted in read_predictions(path).items()
    )
