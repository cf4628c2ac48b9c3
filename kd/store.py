"""Which teacher outputs are stored: those that runs read, as far as the disk budget allows.

Facts only, no torch: `kd plan` and the workflow ask here; `teacher_outputs` writes and reads.
"""

from collections import Counter

from kd.files import short_hash
from kd.grid import Grid
from kd.run import Run
from kd.tasks import TASKS
from kd.terms import taught_keys
from kd.variants import errata_of

Key = tuple[str, int]
PER_EXAMPLE = ("logits", "cls", "pooled")  # one row an example, and so always stored
WRITER = ".store"  # locked by who writes or removes stored arrays
_LIVE = {"teacher-in-training", "padding"}  # errata that need the teacher itself


def name_of(key: Key) -> str:
    """`hidden-12`; `logits`, which has no layer."""
    return key[0] if key[0] == "logits" else f"{key[0]}-{key[1]}"


def training_size(run: Run) -> tuple[int, int]:
    """Training examples and mean tokens of a run's task."""
    task = TASKS[run.task]
    if task.synthetic:
        return int(run.spec["data"]["train"]), task.tokens
    return task.examples, task.tokens


def keys_of(run: Run) -> frozenset[Key]:
    """The (feature, layer) that a run can read from a store."""
    if errata_of(run.values["errata"]) & _LIVE:
        return frozenset()
    return frozenset(taught_keys(run.terms))


def need_of(run: Run) -> str:
    """Name of what a run needs, the same for all runs that need the same; '' for nothing."""
    keys = keys_of(run)
    return f"need-{short_hash(sorted(keys))}" if keys else ""


def key_bytes(run: Run, key: Key) -> int:
    """Bytes of one stored array, by the official size of the task."""
    examples, tokens = training_size(run)
    if key[0] == "logits":
        return 4 * examples * TASKS[run.task].outputs
    rows = examples if key[0] in PER_EXAMPLE else examples * tokens
    return 2 * rows * run.teacher.encoder.shape.hidden


def stored_keys(grid: Grid) -> dict[tuple[str, str], dict[Key, int]]:
    """{(teacher id, tokens id): {key: bytes}} of what is stored for a study.

    One row an example always; larger features while they fit in the study's budget, those that
    most runs read for the fewest bytes first.
    """
    budget = grid.study.store_bytes
    chosen: dict[tuple[str, str], dict[Key, int]] = {}
    if budget is None:
        return chosen
    readers: Counter[tuple[str, str, Key]] = Counter()
    sizes: dict[tuple[str, str, Key], int] = {}
    for run in grid.runs.values():
        for key in keys_of(run):
            place = (run.teacher.id, run.tokens_id, key)
            readers[place] += 1
            sizes[place] = key_bytes(run, key)
    left = budget
    for place in sorted(sizes, key=lambda place: (-readers[place] / sizes[place], place)):
        teacher, tokens, key = place
        if key[0] not in PER_EXAMPLE:
            if sizes[place] > left:
                continue
            left -= sizes[place]
        chosen.setdefault((teacher, tokens), {})[key] = sizes[place]
    return chosen
