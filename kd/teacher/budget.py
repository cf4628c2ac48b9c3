"""Decides which teacher outputs a study stores: those its unfinished runs read, within its budget.

Steps and `kd plan` decide anew each time they ask, from today's study and from what is on the disk.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kd.encoders.safetensors_header import read_header
from kd.runtime.errors import UserError
from kd.study.grid import Grid
from kd.study.paths import METRICS, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher_outputs import Key, is_large, key_bytes, keys_of, name_of
from kd.teacher.manifests import array_of, is_stored, peek

Place = tuple[str, str, Key]  # teacher id, tokens id, (feature, layer)


@dataclass(frozen=True)
class Choice:
    """The teacher outputs that runs read, each with its bytes, sorted by what is done with them."""

    there: dict[Place, int]  # already stored
    new: dict[Place, int]  # the first job that needs them stores them
    computed: dict[Place, int]  # over the budget, so every run computes them itself
    others: int  # bytes of large arrays in the same results that these runs do not read

    def keys(self, run: Run) -> frozenset[Key]:
        """The keys, stored now or later, of a run's teacher on its tokens."""
        owner, stored = (run.teacher.id, run.tokens_id), (*self.there, *self.new)
        return frozenset(key for teacher, tokens, key in stored if (teacher, tokens) == owner)


def unfinished(grid: Grid, layout: Layout) -> list[Run]:
    """The runs that are not trained yet. Only these read teacher outputs."""
    folders = ((run, layout.run(run)) for run in grid.trained.values())
    ends = (METRICS, TRAINING)
    return [run for run, folder in folders if not any((folder / e).is_file() for e in ends)]


def choose_outputs(grid: Grid, layout: Layout, runs: Iterable[Run]) -> Choice:
    """What to store of the teacher outputs that `runs`, the unfinished ones of a study, read.

    Arrays with one row per example are always stored. Larger arrays that are there already stay.
    New ones are added, those with the most readers per byte first, while all large arrays in the
    results fit in the study's budget. Arrays that these runs do not read count against it too,
    because they lie on the same disk.
    """
    budget = grid.study.store_bytes
    readers: Counter[Place] = Counter()
    sizes: dict[Place, int] = {}
    there: dict[Place, int] = {}
    read: set[Path] = set()
    owners: dict[tuple[str, str], tuple[dict[str, str] | None, tuple[int, int] | None]] = {}
    for run in runs:
        owner = (run.teacher.id, run.tokens_id)
        for key in keys_of(run):
            place = (*owner, key)
            readers[place] += 1
            if place in sizes:
                continue
            if owner not in owners:
                owners[owner] = made_of(run, layout), rows_of(_training_file(run, layout))
            identity, rows = owners[owner]
            sizes[place] = key_bytes(run, key, rows)
            array = array_of(layout.outputs(run.teacher, run.tokens_id), key)
            read.add(array)
            if is_stored(array, identity):
                there[place] = sizes[place]
    if budget is None:
        return Choice({}, {}, sizes, 0)
    others = sum(
        array.stat().st_size
        for array in layout.arrays()
        if array not in read and is_large(array.stem)
    )
    left = budget - others - sum(size for place, size in there.items() if is_large(place[2][0]))
    new: dict[Place, int] = {}
    for place in sorted(sizes, key=lambda place: (-readers[place] / sizes[place], place)):
        if place in there:
            continue
        if is_large(place[2][0]):
            if sizes[place] > left:
                continue
            left -= sizes[place]
        new[place] = sizes[place]
    stored = there.keys() | new
    return Choice(there, new, {p: n for p, n in sizes.items() if p not in stored}, others)


def made_of(run: Run, layout: Layout) -> dict[str, str] | None:
    """The fingerprints of a run's teacher and of its tokens, from which its outputs are made.

    None while either is missing.
    """
    teacher = layout.teacher(run.teacher) / METRICS
    tokens = layout.tokens(run.data_id, run.task, run.tokens_id) / "manifest.json"
    found = {"teacher": peek(teacher), "tokens": peek(tokens)}
    if not all("fingerprint" in record for record in found.values()):
        return None
    return {name: str(record["fingerprint"]) for name, record in found.items()}


def _training_file(run: Run, layout: Layout) -> Path:
    return layout.tokens(run.data_id, run.task, run.tokens_id) / "train.safetensors"


def rows_of(tokens: Path) -> tuple[int, int] | None:
    """Examples and tokens of a split, from the header of its token file.

    None while there is no such file, or if it is damaged.
    """
    try:
        header = read_header(tokens)
        return header["labels"].shape[0], header["input_ids"].shape[0]
    except (OSError, UserError, KeyError, IndexError):
        return None


def label(place: Place) -> str:
    """`TEACHER/TOKENS/hidden-3`."""
    return f"{place[0]}/{place[1]}/{name_of(place[2])}"
