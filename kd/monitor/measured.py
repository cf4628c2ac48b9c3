"""What records say of the seconds of jobs: the device, and how much the model of `costs` errs."""

import csv
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from kd.monitor.costs import evaluation_seconds, sized, training_seconds
from kd.monitor.rates import Rates
from kd.runtime.device_names import device_label
from kd.runtime.errors import UserError
from kd.runtime.seals import read_record
from kd.study.grid import Grid
from kd.study.paths import METRICS, Layout, benchmark_file
from kd.study.teacher_outputs import training_size
from kd.teacher.budget import rows_of

MOST = 100  # records that are read: a median of more says the same, and planning stays fast
SHORTEST = 5.0  # seconds of a training that says how fast others are
FEWEST = 3  # own trainings of a study, so that those of other studies are left out
Size = tuple[float, float]  # examples and mean tokens of a training set


@dataclass(frozen=True)
class Sample:
    """A job that is done, from its record: what it did, and the seconds that it took."""

    kind: str  # distil, or teacher
    own: bool  # of the study that is planned
    device: str
    record: dict[str, Any]
    size: Size
    job: float | None  # seconds of the whole job, where Snakemake has timed it

    def modelled(self, rates: Rates) -> float:
        """Seconds of its training by the model."""
        made, student = self.record, self.kind == "distil"
        live = student and made.get("teacher_outputs_computed") and made.get("teacher_shape")
        return training_seconds(
            sized(made["student" if student else "shape"]),
            made["student_parameters" if student else "parameters"],
            made["steps"], made["examples_train"] * made["epochs"], self.size[1],
            made["precision_used"], rates,
            terms=student and bool(made.get("teacher_outputs_stored") or live),
            live=sized(live) if live else None,
        )  # fmt: skip

    def modelled_evaluation(self, rates: Rates) -> float:
        """Seconds of its evaluation by the model."""
        shape = sized(self.record["student" if self.kind == "distil" else "shape"])
        return evaluation_seconds(shape, rates, self.size, self.record["examples_eval"])


@dataclass(frozen=True)
class Correction:
    """Measured over modelled seconds: the median of some jobs, and the range of the middle half."""

    factor: float = 1.0
    low: float = 1.0
    high: float = 1.0
    jobs: int = 0  # 0: nothing is measured


def samples(grid: Grid, layout: Layout) -> list[Sample]:
    """Trainings that are done below these results, of this study first; at most MOST of each kind.

    Records that lack what the model needs, for example of older versions, are left out.
    """
    sizes: dict[str, Size | None] = {}
    own = {layout.run(run) for run in grid.trained.values()}
    runs = layout.runs
    others = sorted(f for f in runs.iterdir() if f not in own) if runs.is_dir() else []
    teachers = {layout.teacher(teacher) for teacher in grid.teachers.values()}
    taught = sorted(set(layout.results.glob("teachers/*/*")) - teachers)
    trainings: list[Sample] = []
    for kind, mine, rest in (("distil", own, others), ("teacher", teachers, taught)):
        done = sorted(f for f in mine if (f / METRICS).is_file())
        chosen = [(folder, True) for folder in _spread(done)]
        chosen += [(folder, False) for folder in _spread(rest)]
        for folder, is_own in chosen[:MOST]:
            with suppress(UserError, KeyError, TypeError, ValueError):
                trainings.append(_sample(kind, is_own, folder, layout, sizes))
    return trainings


def devices(trainings: Iterable[Sample]) -> list[str]:
    """Devices of samples: those of the study that is planned first, then the most frequent."""
    counts = Counter[str]()
    for sample in trainings:
        counts[sample.device] += 1 + MOST * 2 * sample.own
    return [device for device, _ in counts.most_common()]


def _spread(folders: list[Path]) -> list[Path]:
    """Up to MOST of them, evenly over the list."""
    step = max(1, len(folders) / MOST)
    return [folders[int(i * step)] for i in range(min(MOST, len(folders)))]


def _sample(
    kind: str, own: bool, folder: Path, layout: Layout, sizes: dict[str, Size | None]
) -> Sample:
    record = read_record(folder / METRICS, "train_seconds", "steps", "device", mark=False)
    task = str(record["task"])
    if task not in sizes:
        files = sorted(layout.results.glob(f"data/*/{task}/tokens-*/train.safetensors"))
        sizes[task] = size_of(files[0]) if files else None
    size = sizes[task]
    if size is None or not record["train_seconds"] >= SHORTEST:
        raise ValueError(f"{folder}: its tokens are not there, or it was not trained for long")
    whole = job_seconds(benchmark_file(folder, kind))
    sample = Sample(kind, own, device_of(record), record, size, whole)
    sample.modelled(_PROBE)
    return sample


def device_of(record: dict[str, Any]) -> str:
    """The device of a training, with its threads where it is a CPU."""
    return device_label(str(record["device"]), int(record["threads"]))


def size_of(tokens: Path) -> Size | None:
    """Examples and mean tokens of a split, from the header of its file; None if it has none."""
    examples, whole = rows_of(tokens) or (0, 0)
    return (examples, whole / examples) if examples else None


def job_seconds(path: Path) -> float | None:
    """Seconds of a job by Snakemake's benchmark file; None where there is none."""
    try:
        with path.open(encoding="utf-8") as file:
            return float(next(csv.DictReader(file, delimiter="\t"))["s"])
    except (OSError, StopIteration, KeyError, ValueError, TypeError):
        return None


_PROBE = Rates("cpu", 1, 1, 1, {"fp32": 1, "bf16": 1}, 1, 1, "assumed")


def of_device(trainings: Iterable[Sample], device: str) -> list[Sample]:
    """The samples of a device: those of the study alone, where it has enough."""
    same = [sample for sample in trainings if sample.device == device]
    own = [sample for sample in same if sample.own and sample.kind == "distil"]
    return [s for s in same if s.own or s.kind == "teacher"] if len(own) >= FEWEST else same


def corrections(trainings: list[Sample], rates: Rates) -> dict[str, Correction]:
    """By `distil`, `teacher` and `evaluate`, the correction of the model; `start`: seconds of the
    start of a job over those of the rates."""
    by_part: dict[str, list[float]] = {"distil": [], "teacher": [], "evaluate": [], "start": []}
    for sample in trainings:
        seconds = float(sample.record["train_seconds"])
        by_part[sample.kind].append(seconds / sample.modelled(rates))
        with suppress(KeyError, ZeroDivisionError):
            evaluated = float(sample.record["evaluate_seconds"])
            by_part["evaluate"].append(evaluated / sample.modelled_evaluation(rates))
            seconds += evaluated  # in the same job
        if sample.kind == "distil" and sample.job and sample.job > seconds:
            by_part["start"].append((sample.job - seconds) / rates.start)
    return {part: _correction(values) for part, values in by_part.items()}


def _correction(values: list[float]) -> Correction:
    if not values:
        return Correction()
    low, _, high = quantiles(values, n=4) if len(values) > 1 else values * 3
    return Correction(median(values), low, high, len(values))


def sizes_of(grid: Grid, layout: Layout) -> dict[tuple[str, str, str], Size]:
    """Examples and mean tokens of each training set, by (data, task, tokens): from its tokens where
    they are there, else from the table of tasks."""
    sizes: dict[tuple[str, str, str], Size] = {}
    for run in grid.trained.values():
        for owner in (run, run.teacher):
            place = (owner.data_id, owner.task, owner.tokens_id)
            if place not in sizes:
                file = layout.tokens(*place) / "train.safetensors"
                sizes[place] = size_of(file) or training_size(run)
    return sizes
