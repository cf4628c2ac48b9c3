"""A small study, its undisturbed results, and ways to disturb it.

KD_FAULTS is how many times each fault is tried: 2 in the normal suite, 20 in a full campaign
(`KD_FAULTS=20 make test-all`).
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from moments import GATE, HOOKS, Changes, Gate
from studies import SYNTHETIC, tiny_study, write_study

from kd.cli.main import main
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.outputs import run_outputs
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.runtime.files import leftovers
from kd.runtime.seals import check_seal, read_record, set_aside
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import need_of

ROOT = Path(__file__).parents[2]
TIMES = int(os.environ.get("KD_FAULTS", "2"))
# What differs between two runs of the same thing on the same machine.
_CHANGING = ("seconds", "per_second", "created")


def write(folder: Path, train: int = 96, epochs: float = 1, **changes: Any) -> Path:
    """A synthetic study whose runs take `epochs` over `train` examples."""
    study = tiny_study(data={**SYNTHETIC, "train": train}, **changes)
    for recipe in (*study["teachers"].values(), study["base"]):
        recipe["epochs"] = epochs
    return write_study(folder, study)


def prepare(folder: Path, train: int, epochs: float) -> "Place":
    """Two runs, all but done: only their training and evaluation are left."""
    place = Place(write(folder, train, epochs, axes={"seed": [1, 2]}))
    return place.make("data", "tokenise", "teacher", "outputs")


class Place:
    """A study and its results in one folder, made step by step in this process."""

    def __init__(self, path: Path, results: Path | None = None) -> None:
        self.study, self.grid = path, load_grid(path)
        self.layout = Layout(results or path.parent / "results")

    @property
    def run(self) -> Any:
        return next(run for run in self.grid.runs.values() if run.needs_teacher)

    @property
    def folder(self) -> Path:
        return self.layout.run(self.run)

    @property
    def teacher(self) -> Path:
        return self.layout.teacher(self.run.teacher)

    @property
    def tokens(self) -> Path:
        return self.layout.tokens(self.run.data_id, self.run.task, self.run.tokens_id)

    @property
    def text(self) -> Path:
        return self.layout.text(self.run.data_id, self.run.task)

    def makers(self) -> dict[str, Callable[[], None]]:
        """Every step, in order, by its name."""
        run, given = self.run, (self.grid, self.layout)
        need = self.layout.need(run).stem
        return {
            "data": lambda: prepare_task(*given, run.task),
            "tokenise": lambda: run_tokenise(*given, run.task, run.tokens_id),
            "teacher": lambda: run_teacher(*given, run.teacher.id, 1),
            "outputs": lambda: run_outputs(*given, run.teacher.id, run.tokens_id, need, 1),
            "distil": lambda: run_distil(*given, run.id, 1),
            "evaluate": lambda: run_evaluate(*given, run.id, 1),
        }

    def outputs(self) -> dict[str, list[Path]]:
        """What Snakemake removes before a step starts, and asks for after it."""
        run, teacher = self.folder, self.teacher
        return {
            "data": [self.text],
            "tokenise": [self.tokens],
            "teacher": [teacher / "model", teacher / "metrics.json"],
            "outputs": [self.layout.need(self.run)],
            "distil": [run / n for n in ("model", "training.json", "history.csv", "spec.json")],
            "evaluate": [run / "metrics.json"],
        }

    def make(self, *names: str) -> "Place":
        """Do the steps whose outputs are missing, as the next start would; all, or those named."""
        for mark in self.layout.marks():
            set_aside(mark)
        for name, maker in self.makers().items():
            if (not names or name in names) and not all(p.exists() for p in self.outputs()[name]):
                maker()
        return self

    def store_outputs(self) -> "Place":
        """Store the outputs of the teachers that the runs of the study need."""
        for run in self.grid.runs.values():
            if need_of(run):
                ids = (run.teacher.id, run.tokens_id, self.layout.need(run).stem)
                run_outputs(self.grid, self.layout, *ids, 1)
        return self

    def finish_runs(self) -> "Place":
        """Train and evaluate every run of the study."""
        for run in self.grid.runs:
            run_distil(self.grid, self.layout, run, 1)
        return self.evaluate_runs()

    def evaluate_runs(self) -> "Place":
        """Evaluate every run of the study, after its training."""
        for run in self.grid.runs:
            run_evaluate(self.grid, self.layout, run, 1)
        return self

    def copy(self, folder: Path) -> "Place":
        """The study and its results once more, in another folder."""
        folder.mkdir(exist_ok=True)
        shutil.copy(self.study, folder / "study.yaml")
        shutil.copytree(self.layout.results, folder / "results")
        return Place(folder / "study.yaml")

    def command(self, step: str) -> list[str]:
        """The arguments of `kd` that do a step."""
        run = self.run
        flags = {
            "data": ["--task", run.task],
            "tokenise": ["--task", run.task, "--tokens", run.tokens_id],
            "teacher": ["--teacher", run.teacher.id],
            "outputs": [
                *("--teacher", run.teacher.id, "--tokens", run.tokens_id),
                *("--need", self.layout.need(run).stem),
            ],
            "distil": ["--run", run.id],
            "evaluate": ["--run", run.id],
        }[step]
        return [step, str(self.study), "--results", str(self.layout.results), *flags]

    def start(self, step: str, seconds: float, gate: Gate) -> "subprocess.Popen[str]":
        """Start a step in a process of its own, that saves its state every few `seconds`."""
        log = (self.study.parent / f"{step}.log").open("a")
        return subprocess.Popen(
            [sys.executable, "-m", "kd", *self.command(step)],
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(KD_CHECKPOINT_SECONDS=str(seconds), **gate.environment()),
        )

    def fork(self, step: str, seconds: float, *watches: Changes | Gate) -> ForkProcess:
        """`start` without its seconds of imports: a copy of this process does the step."""

        def work() -> None:
            os.environ["KD_CHECKPOINT_SECONDS"] = str(seconds)
            with (self.study.parent / f"{step}.log").open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
            for watched in watches:
                watched.watch()
            sys.exit(main(self.command(step)))

        job = get_context("fork").Process(target=work)
        job.start()
        return job

    def log(self, step: str) -> str:
        path = self.study.parent / f"{step}.log"
        return path.read_text() if path.is_file() else ""

    def numbers(self) -> dict[str, Any]:
        """All that the study's records say, but for times: what must be the same to the bit."""
        found = {
            str(path.relative_to(self.layout.results)): numbers(path)
            for pattern in ("runs/*/metrics.json", "teachers/*/*/metrics.json")
            for path in sorted(self.layout.results.glob(pattern))
        }
        for path in sorted(self.layout.results.glob("runs/*/history.csv")):
            found[str(path.relative_to(self.layout.results))] = path.read_text()
        return found

    def assert_tidy(self) -> None:
        """Every folder is as its seal says, and nothing half done lies about."""
        for folder in (self.text, self.tokens, self.teacher / "model", self.folder / "model"):
            check_seal(folder)
        for folder in (self.folder, self.teacher):
            assert not leftovers(folder)
            assert not (folder / "checkpoint.safetensors").exists(), "the state is still there"


def numbers(path: Path) -> dict[str, Any]:
    """A record without what two runs of the same thing differ in."""
    return {k: v for k, v in read_record(path).items() if not k.endswith(_CHANGING)}


def environment(**more: str) -> dict[str, str]:
    """The environment of a job: this checkout, offline, one thread."""
    hooks = [str(HOOKS)] if GATE in more else []
    path = [*hooks, str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    fixed = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **fixed, "PYTHONPATH": os.pathsep.join(path), **more}


def kill_at_random(place: Place, step: str, times: int, seed: int) -> dict[str, int]:
    """Start a step, `kill -9` it before a random one of its changes to files, start it again, until
    it has been killed `times` times; then let it finish. How often it was killed, and how often it
    finished before, as it may where it goes on from what was saved.

    Its declared outputs are removed before every start, as Snakemake does.
    """
    draw, counts = random.Random(seed), {"killed": 0, "finished": 0}
    whole = Changes(place.layout.results)
    finish(place.fork(step, 0, whole))
    while counts["killed"] < times:
        clear(place, step)
        job = place.fork(step, 0, Changes(place.layout.results, draw.randint(1, whole.count)))
        job.join()
        if job.exitcode == -signal.SIGKILL:
            counts["killed"] += 1
        else:
            finish(job)
            counts["finished"] += 1
    clear(place, step)
    finish(place.fork(step, 0))
    return counts


def clear(place: Place, step: str) -> None:
    """Remove the declared outputs of a step, and arrays, which are kept otherwise."""
    remove(*place.outputs()[step])
    if step == "outputs":
        remove(*place.layout.need(place.run).parent.glob("*.*"))


def finish(job: ForkProcess) -> None:
    """Wait for a job that must end well."""
    job.join()
    assert job.exitcode == 0


def remove(*paths: Path) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def snakemake(
    folder: Path,
    study: Path,
    *arguments: str,
    before: Sequence[str] = (),
    **environment_changes: str,
) -> "subprocess.Popen[str]":
    """Start the workflow in `folder`, in a process group of its own, with `before` in front."""
    command = [
        *before,
        str(Path(sys.executable).parent / "snakemake"),
        "-s",
        str(ROOT / "Snakefile"),
    ]
    command += ["--directory", str(folder), "--configfile", str(study), *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=environment(**environment_changes),
        start_new_session=True,
    )


def status(folder: Path, study: Path) -> dict[str, Any]:
    """`kd status`, as it is asked in `folder`."""
    command = [sys.executable, "-m", "kd", "status", str(study), "--json"]
    run = subprocess.run(command, cwd=folder, capture_output=True, check=True, env=environment())
    found: dict[str, Any] = json.loads(run.stdout)
    return found
