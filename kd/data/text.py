"""Loads a task's text from the hub, from TSV files or from the generator, into one Parquet a split.

Columns: id (position in the split's source file, so stable), sentence1, sentence2 (null for single
sentences), label (class index, or score).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.axes.kinds import LABELS
from kd.axes.tasks import HUB_SPLITS, HUB_SPLITS_MNLI, TASKS, Task, describe
from kd.data.identity import HUB_DATASET, data_identity, tsv_files
from kd.data.own_reading import own_splits
from kd.data.own_tasks import own_facts
from kd.data.tsv import Row, tsv_rows
from kd.runtime.errors import Transient, UserError, listing, nearest
from kd.runtime.files import write_json
from kd.runtime.hashes import file_digest
from kd.runtime.progress import Progress
from kd.runtime.seals import sealed_dir

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Loaded:
    """What becomes known of a source while its rows are read, by split."""

    commits: dict[str, str] = field(default_factory=dict)  # of the hub, where known
    broken: dict[str, int] = field(default_factory=dict)  # rows left out of `corrupted` files


def prepare(data: dict[str, Any], task: Task, out: Path, progress: Progress | None = None) -> None:
    """Load every split of `task` and write {split}.parquet and manifest.json to the folder `out`.

    The manifest says what was really loaded: the hub's commit (where it is not known, the revision
    that was asked for), and how many broken rows of QQP's official files are left out.

    Raises:
        UserError: what is wrong with the source, with file and line.
    """
    import pandas as pd

    with sealed_dir(out) as folder:
        if progress:
            progress.start("loading splits", len(task.splits))
        counts, loaded = {}, Loaded()
        own = own_splits(task) if task.source else {}
        for split in task.splits:
            rows = own[split] if task.source else list(load_rows(data, task.name, split, loaded))
            frame = pd.DataFrame(rows)
            _check_frame(frame, task, f"{task.name}, split {split}")
            frame.to_parquet(folder / f"{split}.parquet", index=False)
            counts[split] = len(frame)
            if progress:
                progress.advance()
        files = [folder / f"{split}.parquet" for split in task.splits]
        write_json(
            folder / "manifest.json",
            {
                "task": task.name,
                "data": data_identity(data, task),
                "examples": counts,
                **_facts(data, task, loaded),
                "fingerprint": file_digest(*files),
            },
        )


def _facts(data: dict[str, Any], task: Task, loaded: Loaded) -> dict[str, Any]:
    """The manifest's keys that not every source and task has."""
    known: dict[str, Any] = {}
    if task.source:
        facts = own_facts(task)
        known |= {"description": describe(task), "repeated": facts.repeated, "shared": facts.shared}
        if task.source.hub:
            known["revision"] = task.source.revision
        return known
    if data["source"] == "hub":
        commits = sorted(set(loaded.commits.values()))
        if len(commits) > 1:
            raise Transient(
                f"data.revision {data['revision']}: {HUB_DATASET} changed while it was "
                f"loaded (commits {listing(commits)}); start again, or give one of them"
            )
        known["revision"] = commits[0] if commits else data["revision"]
    if task.corrupted and data["source"] == "tsv":
        known["broken_rows"] = loaded.broken
    return known


def load_rows(
    data: dict[str, Any], task: str, split: str, loaded: Loaded | None = None
) -> Iterator[Row]:
    """Rows of one split from the source that `data` names; `loaded` takes what becomes known."""
    loaded = Loaded() if loaded is None else loaded
    if data["source"] == "synthetic":
        yield from _synthetic_rows(data, task, split)
    elif data["source"] == "tsv":
        broken: list[int] = []
        file = tsv_files(data["path"], task)[split]
        yield from tsv_rows(file, TASKS[task], broken)
        if TASKS[task].corrupted:
            loaded.broken[split] = len(broken)
        if broken:
            print(
                f"{file}: {len(broken)} broken rows left out, the first in line {broken[0]}",
                flush=True,
            )
    else:
        yield from _hub_rows(data["revision"], task, split, loaded)


def _hub_rows(revision: str, task: str, split: str, loaded: Loaded) -> Iterator[Row]:
    row = TASKS[task]
    name = (HUB_SPLITS_MNLI if task == "mnli" else HUB_SPLITS)[split]
    dataset, commit = load_hub_split(revision, task, name, (*row.columns, "label"))
    if commit:
        loaded.commits[split] = commit
    for index, example in enumerate(dataset):
        text = [example[column].strip() for column in row.columns]
        yield {
            "id": index,
            "sentence1": text[0],
            "sentence2": text[1] if len(text) > 1 else None,
            "label": example["label"],
        }


def load_hub_split(
    revision: str,
    config: str | None,
    split: str,
    columns: Sequence[str],
    dataset: str = HUB_DATASET,
) -> tuple[Any, str | None]:
    """A split of a dataset of the hub that has `columns`, and the commit it is of, where known.

    Raises:
        UserError: it could not be loaded, or lacks a column.
    """
    from datasets import load_dataset

    from kd.runtime.provenance import dataset_commit

    try:
        found = load_dataset(dataset, config, revision=revision, split=split)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        key = "data.source hub: " if dataset == HUB_DATASET else ""
        raise Transient(
            f"{key}{dataset} ({config}, {split}, revision {revision}) could not be loaded: "
            f"{type(error).__name__}: {reason}"
        ) from error
    for column in columns:
        if column not in found.column_names:
            raise UserError(
                f"{dataset} ({config}): column {column!r} is missing; "
                f"found {listing(found.column_names)}{nearest(column, found.column_names)}"
            )
    return found, dataset_commit(found, dataset)


def _synthetic_rows(data: dict[str, Any], task: str, split: str) -> Iterator[Row]:
    from kd.data.generated import generate

    for index, row in enumerate(generate(task, split, data[split], data["seed"])):
        yield {"id": index, **row}


def _check_frame(frame: "pd.DataFrame", task: Task, where: str) -> None:
    """Checks that hold for every source."""
    if frame.empty:
        raise UserError(f"{where}: no rows")
    values = frame["label"].explode().dropna() if task.kind is LABELS else frame["label"]
    low, high = values.min(), values.max()
    least, top = task.range or (0, task.outputs - 1)
    if not (low >= least and high <= top):
        raise UserError(f"{where}: labels from {low} to {high}, allowed: {least:g} to {top:g}")
