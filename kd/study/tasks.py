"""The tasks of a study: those of the tables, and its own with facts about their data."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from kd.axes.metrics import METRICS
from kd.axes.tasks import Task
from kd.data.own_tasks import own_facts, own_identity
from kd.runtime.errors import UserError
from kd.runtime.hashes import short_hash

if TYPE_CHECKING:
    from kd.study.check import Study
    from kd.study.run import Run


def task_of(study: "Study", name: str) -> Task:
    """A task of a study with all facts. The data of a user's own task are read, once.

    Raises:
        UserError: the first error in the data.
    """
    task = study.tasks[name]
    if task.source is None:
        return task
    try:
        return _whole(task)
    except UserError as error:
        raise UserError(f"tasks.{name}: {error}") from None


@cache
def _whole(task: Task) -> Task:
    facts = own_facts(task)
    assert task.source is not None
    for name in (*task.metrics, *task.others):
        if not METRICS[name].fits(len(facts.labels)):
            raise UserError(
                f"metrics: {name} is of two labels, and the task has {len(facts.labels)}"
            )
    # A name that says something, of the description alone: the study's own name is no part of it.
    label = re.sub(r"[^a-z0-9]+", "-", str(task.source.label).lower()).strip("-")[:20].strip("-")
    kind = label if re.search("[a-z]", label) else "label"
    return replace(
        task,
        name=f"{kind}-{short_hash(own_identity(task), 6)}",
        labels=facts.labels,
        examples=facts.examples["train"],
        tokens=facts.tokens,
    )


def data_warnings(runs: "Iterable[Run]") -> list[str]:
    """Warnings about the data of users' own tasks: repeated texts, rare labels and so on."""
    tasks = dict.fromkeys(run.task_row for run in runs if run.task_row.source)
    return [f"task {task.title}: {text}" for task in tasks for text in own_facts(task).warnings]
