"""The identity of a task's data, found without reading its rows."""

from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.tasks import TASKS, Task
from kd.data.own_tasks import own_identity
from kd.runtime.digests import cached_file_digest
from kd.runtime.errors import UserError
from kd.runtime.user_paths import expanded, is_folder, readable

HUB_DATASET = "nyu-mll/glue"


@cache
def tsv_files(path: str, task: str) -> dict[str, Path]:
    """{split: TSV file} of a task in a glue_data folder.

    Raises:
        UserError: the folder or a split is missing.
    """
    root = expanded(path)
    if not is_folder(root):
        raise UserError(f"data.path: found {path!r}, which is no folder")
    row = TASKS[task]
    files = {"train": root / row.folder / "train.tsv"}
    files |= {split: root / row.folder / f"{name}.tsv" for split, name in row.dev}
    for split, file in files.items():
        readable(file, f"{row.title} needs it as its {split} split")
    return files


@cache
def tsv_fingerprint(path: str, task: str) -> str:
    """16 hex digits that identify the contents of a task's TSV files."""
    return cached_file_digest(*tsv_files(path, task).values())


def data_identity(data: dict[str, Any], task: Task) -> dict[str, Any]:
    """What identifies the data of a task.

    That is the source with its revision, fingerprint or settings. For a user's own task, it is the
    content of its files and how they are read.
    """
    if task.source:
        return own_identity(task)
    if data["source"] == "tsv":
        return {"source": "tsv", "fingerprint": tsv_fingerprint(data["path"], task.name)}
    return dict(data)
