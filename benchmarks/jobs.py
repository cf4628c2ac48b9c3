"""What surrounds a training: the start of a job, planning a grid, Snakemake's own work."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import need_of

_ROOT = Path(__file__).parents[1]
# Says when the first step of a job is done: seconds since its process started.
_FIRST_STEP = """
import os, sys
from pathlib import Path
from kd.runtime import progress
def advance(self, note=""):
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    print("first step", up - started / os.sysconf("SC_CLK_TCK"), *os.times()[:2], file=sys.stderr)
    os._exit(0)
progress.Progress.advance = advance
from kd.cli.main import main
main(sys.argv[1:])
"""
_TINY = {
    "study": "bench",
    "data": {"source": "synthetic", "train": 64, "dev": 32},
    "teachers": {"deep": {"model": "scratch", "shape": "2L-64-2h-256", "epochs": 1}},
    "base": {
        "task": "toy-single",
        "student": "1L-64-2h-256",
        "knowledge": "logits+hidden",
        "epochs": 1,
    },
    "axes": {"seed": [1]},
}


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"error: {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def start(folder: Path, repetitions: int) -> list[dict[str, float]]:
    """Seconds from the start of `kd distil` to the end of its first step, by the clock and of work
    on the CPU."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(_TINY))
    run = next(iter(load_grid(folder / "tiny.yaml").runs.values()))
    teacher, task = run.teacher, ("--task", run.task)
    for step in (
        ("data", *task),
        ("tokenise", *task, "--tokens", run.tokens_id),
        ("teacher", "--teacher", teacher.id),
        ("outputs", "--teacher", teacher.id, "--tokens", run.tokens_id, "--need", need_of(run)),
    ):
        _run(folder, "-m", "kd", step[0], "tiny.yaml", *step[1:])
    times = []
    for _ in range(repetitions):
        job = _run(folder, "-c", _FIRST_STEP, "distil", "tiny.yaml", "--run", run.id)
        line = next(x for x in job.stderr.splitlines() if x.startswith("first step"))
        wall, user, system = map(float, line.split()[2:])
        times.append({"wall": wall, "cpu": user + system})
    return times


def _grid(runs: int) -> dict[str, Any]:
    """A study of `runs` runs on GLUE: 5 kinds of knowledge, 2 students, 10 or more seeds."""
    knowledge = ["logits", "logits+hidden", "logits+attention", "logits+cls", "value-relation"]
    return {
        "study": "large",
        "teachers": {"bert-base": {"model": "google-bert/bert-base-uncased"}},
        "base": {"task": "rte"},
        "axes": {
            "student": ["6L-768", "3L-768"],
            "knowledge": knowledge,
            "seed": list(range(1, runs // 10 + 1)),
        },
    }


def grids(folder: Path, sizes: list[int]) -> list[dict[str, float]]:
    """Seconds of `kd plan` and of a dry run of Snakemake, by the number of runs."""
    rows = []
    for runs in sizes:
        (folder / "large.yaml").write_text(yaml.safe_dump(_grid(runs)))
        dry = ("-m", "snakemake", "--snakefile", str(_ROOT / "Snakefile"), "--cores", "1")
        (plan, *planned), (_, *dried) = (
            _timed(folder, "-m", "kd", "plan", "large.yaml", "--json"),
            _timed(folder, *dry, "--configfile", "large.yaml", "--dry-run", "--quiet", "all"),
        )
        plan = json.loads(plan)
        assert plan["runs"] == runs, plan["runs"]
        jobs = sum(plan["jobs"].values())
        times = dict(
            zip(("plan", "plan_cpu", "dry_run", "dry_run_cpu"), [*planned, *dried], strict=True)
        )
        rows.append({"runs": runs, "jobs": jobs, **times})
    return rows


def asked_again(folder: Path, runs: int) -> dict[str, float]:
    """Seconds that Snakemake takes to find that nothing is to be done in a finished grid.

    Its files are touched, not made by jobs: Snakemake has no records of them to compare.
    """
    here = folder / "finished"
    here.mkdir()
    (here / "large.yaml").write_text(yaml.safe_dump(_grid(runs)))
    grid, layout = load_grid(here / "large.yaml"), Layout(here / "results")
    for run in grid.runs.values():
        for tokens in {run.tokens_id, run.teacher.tokens_id}:
            _file(layout.tokens(run.data_id, run.task, tokens) / "any")
        _file(layout.text(run.data_id, run.task) / "any")
        _file(layout.teacher(run.teacher) / "model/any")
        _file(layout.teacher(run.teacher) / "metrics.json")
        _file(layout.need(run))
        for name in ("model/any", "spec.json", "training.json", "history.csv", "metrics.json"):
            _file(layout.run(run) / name)
    study = layout.study(grid.study.name)
    for name in ("runs.csv", "tables/any", "summary.csv", "figures/any", "report.html"):
        _file(study / name)
    _file(study / "guideline.md")
    snakemake = ("-m", "snakemake", "--snakefile", str(_ROOT / "Snakefile"), "--cores", "1")
    snakemake += ("--configfile", "large.yaml")
    _run(here, *snakemake, "--touch", "--quiet", "all")
    assert "Nothing to be done" in _run(here, *snakemake, "--dry-run").stdout
    _, seconds, cpu = _timed(here, *snakemake)
    return {"runs": runs, "again": seconds, "again_cpu": cpu}


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def _timed(folder: Path, *words: str) -> tuple[str, float, float]:
    """Output, seconds by the clock, seconds of CPU work."""
    began, before = time.perf_counter(), os.times()
    output = _run(folder, *words).stdout
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return output, time.perf_counter() - began, cpu
