"""`python -m benchmarks --gpu`: what is to be known of this project on a GPU, in under ten minutes.

Each part is written to gpu.json as soon as it is there. A part that fails is named with its error,
and the others go on. One for which no time is left is named too.
"""

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import jobs, limits, own, peers
from benchmarks.busy import profiled
from benchmarks.contenders import (
    ALL,
    ALONE,
    BREWER,
    OURS,
    PADDED,
    TORCHDISTILL,
    TRAINER,
    UNSTORED,
    Contender,
    check_losses,
)
from benchmarks.gpu_table import markdown
from benchmarks.measure import Timing, interleaved, ratio
from benchmarks.packed import packed
from benchmarks.workload import DEVICE, Silent, Workload, workload
from kd.runtime.device import make_deterministic
from kd.runtime.files import atomic_write, write_json
from kd.training.graphs import SWITCH

_ROOT = Path(__file__).parents[1]
ANY_KERNEL = f"{OURS}, bf16, any kernels"  # not the deterministic ones
ORDINARY = f"{OURS}, bf16, without CUDA graphs"
_TEST_SECONDS = 200
_EPOCHS = 10  # of this project's trainings, whose first steps capture CUDA graphs


@contextmanager
def _no_graphs() -> Iterator[None]:
    os.environ[SWITCH] = "0"
    try:
        yield
    finally:
        del os.environ[SWITCH]


def _with(settings: Callable[[], Any], train: Callable[[], Any]) -> Callable[[], Any]:
    def wrapped() -> Any:
        with settings():
            return train()

    return wrapped


@contextmanager
def job_settings() -> Iterator[None]:
    """Deterministic kernels, as a job asks for them; afterwards as before."""
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    before, tf32 = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32
    make_deterministic(DEVICE, torch.get_num_threads())
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(2 if before else 0)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.allow_tf32 = tf32


def card() -> dict[str, Any]:
    """Name, memory and capability of the GPU, the versions, and what it can do."""
    found: dict[str, Any] = {"name": limits.device(), "torch": torch.__version__}
    if DEVICE.type == "cuda":
        facts = torch.cuda.get_device_properties(DEVICE)
        found |= {"memory_bytes": facts.total_memory, "cuda": torch.version.cuda}
        found["capability"] = f"{facts.major}.{facts.minor}"
    return {**found, **limits.machine()}


def tests(folder: Path) -> dict[str, Any]:
    """The tests with the mark gpu: how many passed, and the names of those that did not."""
    report = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-n", "0"]
    command = command if find_spec("xdist") else command[:-2]
    command += ["--junit-xml", str(report), str(_ROOT / "tests/test_gpu.py")]
    run = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_TEST_SECONDS)
    if not report.exists():
        raise RuntimeError(f"pytest: {(run.stdout + run.stderr)[-2000:]}")
    return {**counted(report.read_text()), "output": run.stdout[-4000:] if run.returncode else ""}


def counted(report: str) -> dict[str, Any]:
    """The numbers of a JUnit report, and the names of the tests that failed."""
    cases = list(ElementTree.fromstring(report).iter("testcase"))  # noqa: S314
    bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    passed = len(cases) - len(bad) - skipped
    return {"passed": passed, "skipped": skipped, "failed": [c.get("name") for c in bad]}


def bits(work: Workload) -> dict[str, list[str]]:
    """Digests of the student after an epoch, twice, by precision: one where the bits are equal."""
    found = {}
    with job_settings():
        for precision in ("fp32", "bf16"):
            digests = set()
            for _ in range(2):
                train, student = own.training(work, ALL, True, precision)
                train()
                digests.add(own.digest(student))
            found[precision] = sorted(digests)
    return found


def contenders(work: Workload, steps: int) -> dict[str, Contender]:
    """Who is timed on a GPU, all in fp32 and in bf16, for `steps`; those that are installed."""

    # The first steps of a shape are ordinary, and its capture takes time: that counts too, in a
    # training that is long enough to be one.
    long = steps if steps < work.steps else _EPOCHS * steps

    def ours(text: str, precision: str, stored: bool = True, as_job: bool = True) -> Contender:
        def prepare() -> Callable[[], Any]:
            train = own.epoch(work, text, stored, precision, long)
            return _with(job_settings, train) if as_job else train

        return Contender(prepare, long)

    def without_graphs() -> Callable[[], Any]:
        return _with(_no_graphs, _with(job_settings, own.epoch(work, ALL, True, "bf16", steps)))

    def rounded(prepare: Callable[[], Callable[[], Any]]) -> Callable[[], Callable[[], Any]]:
        def prepared() -> Callable[[], Any]:
            train = prepare()

            def in_bf16() -> Any:
                with torch.autocast(DEVICE.type, torch.bfloat16):
                    return train()

            return in_bf16

        return prepared

    found = {
        ALONE: ours("none", "fp32"),
        OURS: ours(ALL, "fp32"),
        UNSTORED: ours(ALL, "fp32", stored=False),
        f"{ALONE}, bf16": ours("none", "bf16"),
        f"{OURS}, bf16": ours(ALL, "bf16"),
        ANY_KERNEL: ours(ALL, "bf16", as_job=False),
        ORDINARY: Contender(without_graphs, steps),
    }
    others: dict[str, Callable[[], Callable[[], Any]]] = {}
    if find_spec("textbrewer"):
        others |= {
            BREWER: lambda: peers.textbrewer(work, False, steps)[0],
            PADDED: lambda: peers.textbrewer(work, True, steps)[0],
        }
    if find_spec("torchdistill"):
        others[TORCHDISTILL] = lambda: peers.torchdistill(work, steps)[0]
    for name, prepare in others.items():
        found[name] = Contender(prepare, steps)
        found[f"{name}, bf16"] = Contender(rounded(prepare), steps)
    if find_spec("accelerate"):
        found[TRAINER] = Contender(lambda: peers.trainer(work, steps=steps), steps)
        found[f"{TRAINER}, bf16"] = Contender(
            lambda: peers.trainer(work, bf16=True, steps=steps), steps
        )
    return found


def training(work: Workload, repetitions: int, deadline: float) -> dict[str, Any]:
    """Examples a second of all contenders, each against this project's with the same precision."""
    checked = check_losses(work) if find_spec("textbrewer") and find_spec("torchdistill") else {}
    interleaved(contenders(work, min(3, work.steps)), 1)  # what happens once is not timed
    timings: dict[str, Timing] = {}
    for _ in range(repetitions):
        began = time.monotonic()
        for name, timing in interleaved(contenders(work, work.steps), 1).items():
            known = timings.setdefault(name, Timing())
            known.wall += timing.wall
            known.cpu += timing.cpu
        if 2 * time.monotonic() - began > deadline:
            break
    rows = {}
    for name, timing in timings.items():
        same = f"{OURS}, bf16" if "bf16" in name else OURS
        rows[name] = {
            "seconds": timing.wall,
            "examples_per_second": work.batch_size / min(timing.wall),
            "to_ours": ratio(timings, name, same),
        }
    return {"workload": work.name, "examples": len(work.split), "losses": checked, "rows": rows}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every part in order of importance, until the time is over."""
    began, student, size = time.monotonic(), options.students[0], options.batch_size
    deadline = began + 60 * options.minutes

    def work_of(mean: int) -> Workload:
        examples = max(1, options.tokens // mean // size) * size
        made = workload(mean, examples, student, options.teacher, size, folder / "work")
        if not made.folder.exists():
            own.store(made, [ALL])
        return made

    def busy() -> dict[str, Any]:
        work, precision = work_of(options.lengths[0]), "bf16" if DEVICE.type == "cuda" else "fp32"

        def prepare(progress: Silent) -> Callable[[], Any]:
            return own.training(work, ALL, True, precision, 6.0, progress)[0]

        with job_settings():
            return profiled(prepare, 5 * work.steps)

    def packing() -> list[dict[str, Any]]:
        work = work_of(options.lengths[0])
        return [packed(work, ALL, count, options.seconds) for count in options.packed]

    parts: dict[str, Callable[[], Any]] = {
        "card": card,
        "tests": lambda: tests(folder),
        "bits": lambda: bits(work_of(options.lengths[0])),
        "busy": busy,
        **{
            f"training {mean}": partial(_training, work_of, mean, options.repetitions, deadline)
            for mean in options.lengths
        },
        "packing": packing,
        "start": lambda: jobs.start(folder, options.repetitions),
    }
    found: dict[str, Any] = {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "student": student,
        "teacher": options.teacher,
        "batch_size": size,
        "failed": {},
        "left_out": [],
        "took": {},
    }
    for name, part in parts.items():
        started = time.monotonic()
        if started > deadline:
            found["left_out"].append(name)
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            found[name] = part()
        except (Exception, SystemExit) as error:  # losses that differ, or a step, end `make bench`
            found["failed"][name] = f"{type(error).__name__}: {error}"
        found["took"][name] = time.monotonic() - started
        write_json(options.out / "gpu.json", found)
    return found


def _training(
    work_of: Callable[[int], Workload], mean: int, repetitions: int, deadline: float
) -> dict[str, Any]:
    return training(work_of(mean), repetitions, deadline)


def main(options: argparse.Namespace, folder: Path) -> int:
    """Measure, print the table, write gpu.json and gpu.md; 1 if a test or a part failed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as jobs do, before CUDA starts
    found = measure(options, folder)
    text = markdown(found)
    write_json(options.out / "gpu.json", found)
    atomic_write(options.out / "gpu.md", text)
    print(f"{text}\nWritten to {options.out}/gpu.md and gpu.json.")
    return int(bool(found["failed"] or found.get("tests", {}).get("failed")))
