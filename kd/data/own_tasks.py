"""The data of tasks of the user's own: what identifies them, and what is known of them.

What is known (labels, sizes, duplicates) is remembered between processes by the data's identity, so
that planning reads a file once.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.tasks import Source, Task
from kd.runtime.digests import cache_folder, cached_content_digest
from kd.runtime.files import atomic_write
from kd.runtime.hashes import short_hash
from kd.runtime.user_paths import readable

_READER = 4  # raised when the same data would give other facts
NOTED = 0.01  # share of dev texts in the training data from which there is a warning


@dataclass(frozen=True)
class Facts:
    """What is known of a task's data. `labels` is empty for a regression. `repeated` counts the
    training examples whose text an earlier one has; `shared` by dev split those whose text the
    training split has too. `rarest`: training examples of the rarest label; 0 for a regression."""

    labels: tuple[str, ...]
    examples: dict[str, int]
    tokens: int  # mean of a training example, an estimate
    repeated: int
    shared: dict[str, int]
    warnings: tuple[str, ...]
    rarest: int = 0


@cache
def own_identity(task: Task) -> dict[str, Any]:
    """What the numbers of the task depend on: the content of its files and how they are read,
    never their paths, nor the task's name in one study.

    Raises:
        UserError: a file cannot be read.
    """
    source = task.source
    assert source is not None
    found: dict[str, Any] = {"source": "hub" if source.hub else "files"}
    if source.hub:
        found |= {"dataset": source.hub, "config": source.config, "revision": source.revision}
        found["splits"] = dict(source.splits)
    else:
        files = {
            split: readable(Path(file), f"{task.title} needs it as its {split} split")
            for split, file in source.splits
        }
        found["splits"] = {split: cached_content_digest(file)[:16] for split, file in files.items()}
    usual = Source((), (), "")
    names = ("format", "encoding", "header", "quotes", "share", "share_seed")
    found |= {n: v for n in names if (v := getattr(source, n)) != getattr(usual, n)}
    found |= {"text": list(source.text), "label": source.label}
    found["metrics"] = [*task.metrics, *task.others]
    if task.regression:
        found["regression"] = list(task.range or ())
    elif source.labels:
        found["labels"] = list(source.labels)
    return found


@cache
def own_facts(task: Task) -> Facts:
    """What is known of the task's data, from the cache or from the data.

    Raises:
        UserError: the first thing that is wrong with them.
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
