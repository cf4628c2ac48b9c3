"""Which teacher outputs a run reads, what their arrays are called, and how large they are.

Facts of one run, from the study alone. What of it is stored is decided in `kd.teacher.budget`.
"""

from kd.axes.errata import errata_of
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.terms import taught_keys
from kd.runtime.hashes import short_hash
from kd.study.run import Run

Key = tuple[str, int]
# Arrays with one row per example, which are always stored: logits, cls, pooled.
PER_EXAMPLE = {name for row in KNOWLEDGE.values() if row.form.per_example for name in row.stored}
WRITER = ".store"  # lock file: one process at a time writes or removes stored arrays
_LIVE = {"teacher-in-training", "padding"}  # errata that need the teacher itself


def name_of(key: Key) -> str:
    """`hidden-12`; `logits`, which has no layer."""
    return key[0] if key[0] == "logits" else f"{key[0]}-{key[1]}"


def is_large(name: str) -> bool:
    """Whether the array of that name has one row per token, and so counts against the budget."""
    return name.split("-")[0] not in PER_EXAMPLE


def training_size(run: Run) -> tuple[int, int]:
    """Training examples and mean tokens of a run's task."""
    task = run.task_row
    if task.synthetic:
        return int(run.spec["data"]["train"]), task.tokens
    return task.examples, task.tokens


def keys_of(run: Run) -> frozenset[Key]:
    """The (feature, layer) keys that a run can read from the store."""
    if errata_of(run.values["errata"]) & _LIVE:
        return frozenset()
    return frozenset(taught_keys(run.terms))


def need_of(run: Run) -> str:
    """Name of the set of keys that a run reads, the same for all runs that read the same keys.

    '' if it reads none.
    """
    keys = keys_of(run)
    return f"need-{short_hash(sorted(keys))}" if keys else ""


def key_bytes(run: Run, key: Key, rows: tuple[int, int] | None = None) -> int:
    """Bytes of one stored array.

    Args:
        run: a run that reads it.
        key: (feature, layer).
        rows: examples and tokens of the training set; by default those of the official task.
    """
    if rows is None:
        examples, mean = training_size(run)
        rows = examples, examples * mean
    if key[0] == "logits":
        return 4 * rows[0] * run.task_row.outputs
    return 2 * rows[key[0] not in PER_EXAMPLE] * run.teacher.encoder.shape.hidden
