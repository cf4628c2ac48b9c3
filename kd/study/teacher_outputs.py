"""The teacher outputs that a run reads: names and sizes of their arrays.

They follow from the study alone. `kd.teacher.budget` decides which of them are stored.
"""

from kd.axes.errata import errata_of
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.terms import taught_keys
from kd.runtime.hashes import short_hash
from kd.study.run import Run

Key = tuple[str, int]
# Arrays with one row per example, which are always stored: logits, cls, pooled.
# What a plugin reads itself is not stored as one vector.
PER_EXAMPLE = {
    name
    for row in KNOWLEDGE.values()
    if row.form.per_example and row.read is None
    for name in row.stored
}
WRITER = ".store"  # lock file: one process at a time writes or removes stored arrays
_LIVE = {"teacher-in-training", "padding"}  # errata that need the teacher itself


def name_of(key: Key) -> str:
    """The name of an array, such as `hidden-12`, or `logits` without a layer."""
    return key[0] if key[0] == "logits" else f"{key[0]}-{key[1]}"


def is_large(name: str) -> bool:
    """Whether an array has one row for each token. Only such arrays count against the budget."""
    return name.split("-")[0] not in PER_EXAMPLE


def training_size(run: Run) -> tuple[int, int]:
    """The number of training examples of a run's task, and their mean number of tokens."""
    task = run.task_row
    if task.synthetic:
        return int(run.spec["data"]["train"]), task.tokens
    return task.examples, task.tokens


def seen_size(run: Run) -> tuple[int, int]:
    """`training_size` with the extra examples, about as many as there are."""
    examples, mean = training_size(run)
    extra = sum(extra.examples(run.task_row, examples) for extra in run.extras)
    return examples + extra, mean


def keys_of(run: Run) -> frozenset[Key]:
    """The (feature, layer) keys that a run can read from the store."""
    if errata_of(run.values["errata"]) & _LIVE:
        return frozenset()
    return frozenset(taught_keys(run.terms))


def need_of(run: Run) -> str:
    """The name of the set of keys that a run reads, or '' if it reads none.

    Runs that read the same keys have the same name.
    """
    keys = keys_of(run)
    return f"need-{short_hash(sorted(keys))}" if keys else ""


def key_bytes(run: Run, key: Key, rows: tuple[int, int] | None = None) -> int:
    """Bytes of one stored array.

    Args:
        run: a run that reads the array.
        key: (feature, layer).
        rows: numbers of examples and tokens of the training set, extra ones included; those of the
            task by default.
    """
    if rows is None:
        examples, mean = seen_size(run)
        rows = examples, examples * mean
    if key[0] == "logits":
        return 4 * rows[0] * run.task_row.outputs
    return 2 * rows[key[0] not in PER_EXAMPLE] * run.teacher.encoder.shape.hidden
