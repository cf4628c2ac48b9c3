"""The identity of the data of users' own tasks, and facts about them.

Facts (labels, sizes, duplicates) are kept in a cache by the identity of the data, so that planning
reads a file once.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.kinds import SCORES
from kd.axes.tasks import Source, Task
from kd.data.own_files import once_misread
from kd.runtime.digests import cache_folder, cached_content_digest
from kd.runtime.files import atomic_write
from kd.runtime.hashes import short_hash
from kd.runtime.user_paths import readable

_READER = 6  # to be raised when the same data give other facts
NOTED = 0.01  # share of repeated texts that leads to a warning


@dataclass(frozen=True)
class Facts:
    """Facts about the data of a task. `labels` is empty for a regression. `repeated` is the number
    of training examples with the text of an earlier one. `shared` is, for each dev split, the
    number of examples with a text of the training split. `rarest` is the number of training
    examples of the rarest label, and 0 for a regression."""

    labels: tuple[str, ...]
    examples: dict[str, int]
    tokens: int  # estimated mean of a training example
    repeated: int
    shared: dict[str, int]
    warnings: tuple[str, ...]
    rarest: int = 0


@cache
def own_identity(task: Task) -> dict[str, Any]:
    """All that the results of the task depend on: the content of its files and how they are read,
    but not their paths or the name of the task in a study.

    Raises:
        UserError: a file cannot be read.
    """
    source = task.source
    assert source is not None
    files: dict[str, Path] = {}
    identity: dict[str, Any] = {"source": "hub" if source.hub else "files"}
    if source.hub:
        identity |= {"dataset": source.hub, "config": source.config, "revision": source.revision}
        identity["splits"] = dict(source.splits)
    else:
        files = {
            split: readable(Path(file), f"{task.title} needs it as its {split} split")
            for split, file in source.splits
        }
        identity["splits"] = {
            split: cached_content_digest(file)[:16] for split, file in files.items()
        }
    usual = Source((), (), "")
    names = (
        *("format", "encoding", "header", "quotes", "share", "share_seed"),
        *("multi", "separator", "flags"),
    )
    identity |= {n: v for n in names if (v := getattr(source, n)) != getattr(usual, n)}
    if source.format == "lines" and any(once_misread(f, source.encoding) for f in files.values()):
        identity["line_ends"] = 2  # runs of earlier versions saw other examples
    identity |= {"text": list(source.text), "label": source.label}
    identity["metrics"] = [*task.metrics, *task.others]
    if task.plugins:
        identity["plugins"] = [*task.plugins]
    if task.kind is SCORES:
        identity["regression"] = list(task.range or ())
    elif source.labels:
        identity["labels"] = list(source.labels)
    return identity


@cache
def own_facts(task: Task) -> Facts:
    """Facts about the data of the task, from the cache or from the data.

    Raises:
        UserError: the first error in the data.
    """
    folder = cache_folder()
    record = (
        folder / "tasks" / f"{short_hash([_READER, own_identity(task)], 32)}.json"
        if folder
        else None
    )
    with suppress(OSError, ValueError, KeyError, TypeError):
        if record:
            known = json.loads(record.read_bytes())
            for name in ("labels", "warnings"):
                known[name] = tuple(known[name])
            return Facts(**known)
    from kd.data.own_reading import facts_of  # loads pandas

    facts = facts_of(task)
    if record:
        with suppress(OSError):
            record.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(record, json.dumps(asdict(facts)))
    return facts
