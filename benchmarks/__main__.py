"""`python -m benchmarks`: every measurement, as one table in Markdown and JSON."""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kd.runtime import startup

startup.keep_memory()  # for every contender alike
if "--gpu" in sys.argv:  # one GPU of several, for all processes; before torch looks for them
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]

import torch  # noqa: E402

from benchmarks import general, gpu, growth, jobs, limits, own  # noqa: E402
from benchmarks.contenders import (  # noqa: E402
    ALL,
    ALONE,
    BREWER,
    OURS,
    SLOW,
    TYPES,
    UNSTORED,
    check_losses,
    contenders,
)
from benchmarks.measure import interleaved, ratio  # noqa: E402
from benchmarks.memory import peak_bytes  # noqa: E402
from benchmarks.table import markdown  # noqa: E402
from benchmarks.workload import DEVICE, NAMES, workload  # noqa: E402
from kd.runtime.errors import Pruned, UserError  # noqa: E402
from kd.runtime.files import atomic_write, write_json  # noqa: E402

_PEER_REPETITIONS = 2


def whole_batches(mean_tokens: int, options: argparse.Namespace) -> int:
    """How many examples of these lengths have about the wanted tokens, in full batches."""
    return max(1, options.tokens // mean_tokens // options.batch_size) * options.batch_size


def train(
    mean_tokens: int, student: str, options: argparse.Namespace, folder: Path, others: bool
) -> dict[str, Any]:
    """One workload with one student: every contender's time, and its ratios."""
    examples = whole_batches(mean_tokens, options)
    shapes = student, options.teacher
    work = workload(mean_tokens, examples, *shapes, options.batch_size, folder / student)
    print(f"{work.name}, {student}: {examples} examples", file=sys.stderr)
    knowledge = (options.knowledge or list(TYPES)) if others else []
    began = time.process_time()
    own.store(work, [ALL, *knowledge])
    stored = time.process_time() - began
    checked = check_losses(work) if others else {}
    found = contenders(work, knowledge, others)
    interleaved({ALONE: found[ALONE], OURS: found[OURS]}, 1)  # what happens once is not timed
    fewer = dict.fromkeys(SLOW, min(_PEER_REPETITIONS, options.repetitions))
    timings = interleaved(found, options.repetitions, fewer)
    memory = [ALONE, OURS, UNSTORED, BREWER] if others else []
    needed = limits.needs(work)
    rows = {
        contender: {
            "seconds": timing.seconds,
            "wall": timing.wall,
            "examples_per_second": work.batch_size / statistics.median(timing.seconds),
            "to_student_alone": ratio(timings, contender, ALONE),
            "to_ours": ratio(timings, contender, OURS),
        }
        for contender, timing in timings.items()
    }
    return {
        "workload": work.name,
        "student": student,
        "examples": len(work.split),
        "mean_tokens": work.tokens / len(work.split),
        "store_cpu_seconds": stored,
        "losses": checked,
        "needs": needed,
        "peak_bytes": {contender: peak_bytes(work, contender) for contender in memory},
        "contenders": rows,
    }


def main() -> None:
    """Measure, and write results/bench/bench.json and bench.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a glimpse: small models, once")
    parser.add_argument("--tokens", type=int, default=16000, help="of all examples")
    parser.add_argument("--lengths", nargs="*", type=int, default=list(NAMES), help="mean tokens")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6, help="of a stage before the task")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--teacher", default="12L-768")
    parser.add_argument("--students", nargs="*", default=["4L-312", "6L-384"])
    parser.add_argument("--knowledge", nargs="*", help="types to time (one of each cost)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, as a job has (1)")
    parser.add_argument("--gpu", action="store_true", help="on a GPU: tests, bits, packing, others")
    parser.add_argument("--packed", nargs="*", type=int, default=[1, 2, 4, 8], help="jobs on a GPU")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each of these")
    parser.add_argument("--minutes", type=float, default=8.5, help="after which no part begins")
    parser.add_argument("--grids", nargs="*", type=int, default=[1000, 10000])
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    if options.quick:
        options.tokens, options.batch_size, options.repetitions = 600, 8, 1
        options.steps = 2
        options.teacher, options.students = "3L-96-12h-192", ["2L-48-12h-96"]
        options.grids, options.knowledge = [100], options.knowledge or ["logits", "hidden"]
    torch.set_num_threads(options.threads)
    if options.gpu:
        if DEVICE.type != "cuda":
            sys.exit("error: --gpu: torch finds no GPU here")
        with tempfile.TemporaryDirectory() as name:
            sys.exit(gpu.main(options, Path(name)))
    found: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "device": limits.device(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": options.threads,
        "batch_size": options.batch_size,
        "teacher": options.teacher,
        "machine": limits.machine(),
        "training": [],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["start"] = jobs.start(folder, options.repetitions)
        found["grids"] = jobs.grids(folder, options.grids)
        found["again"] = [jobs.asked_again(folder, runs) for runs in sorted(options.grids)[:1]]
        found["growth"] = growth.growth(
            options.students[0], options.teacher, options.batch_size, options.repetitions, folder
        )
        found["general"] = general.general(
            options.students[0],
            options.teacher,
            *(options.batch_size, options.steps, options.repetitions),
        )
        for i, student in enumerate(options.students):
            for mean in options.lengths:  # other libraries with the first student alone
                found["training"].append(train(mean, student, options, folder, others=i == 0))
                write_json(options.out / "bench.json", found)
    text = markdown(found)
    atomic_write(options.out / "bench.md", text)
    print(f"{text}\nWritten to {options.out}/bench.md and bench.json.")


if __name__ == "__main__":
    try:
        main()
    except (UserError, Pruned) as error:
        sys.exit(f"error: {error}")
