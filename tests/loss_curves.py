"""Loss curves of a few tiny runs, as the steps of the workflow train them.

`tests/test_loss_curves.py` compares them with those stored in `tests/loss_curves.json`. A change
that is meant to change numbers stores them anew, in seconds:

    python tests/loss_curves.py

The file shows in the diff what has changed. On one machine it is the same to the last digit as long
as code and libraries compute the same.
"""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from helpers import save_encoder
from studies import study_dict, write_study

from kd.cli.main import main
from kd.study.grid import Grid, load_grid
from kd.study.paths import Layout
from kd.study.run import Run
from kd.study.teacher_outputs import need_of

STORED = Path(__file__).with_suffix(".json")
Curves = dict[str, dict[str, list[float | None]]]  # {run: {column of its history: values by step}}

RECIPE = {"epochs": 2, "batch_size": 16, "learning_rate": 2e-3, "warmup": 0.2}
BASE = {"student": "2L-16-2h-32", "task": "toy-pair", "temperature": 2, **RECIPE}
# What each run adds to the base. Names are shown where a curve has changed.
RUNS: dict[str, dict[str, Any]] = {
    "labels": {"knowledge": "none"},
    "fp32": {"knowledge": "logits+hidden+attention+cls"},
    "bf16": {"knowledge": "logits+hidden+attention+cls", "precision": "bf16"},
    "staged": {"knowledge": "hidden*1%0-50+logits*1..0.2%50-100+value-relation*0..1"},
    "moving": {"knowledge": "hidden@emd+cls@random-in-block"},
    "mixed": {"knowledge": "hidden@attention-weighted", "weights": "calibrated"},
    "relations": {
        "knowledge": "cls:contrastive+hidden:cka+hidden:word-relation",
        "init": "teacher-first+truncate",
    },
    "scores": {"knowledge": "logits:mse+query-relation", "task": "toy-similarity"},
}
COMPUTED = "fp32"  # this one is trained without stored outputs too


def _study(model: Path, runs: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return study_dict(
        data={"source": "synthetic", "train": 96, "dev": 64},
        teachers={"deep": {"model": str(model), **RECIPE}},
        base={**BASE, **next(iter(runs.values()))},
        axes={"seed": [1]},
        include=[{**row, "seed": 1} for row in list(runs.values())[1:]],
        **more,
    )


def make_curves(folder: Path) -> Curves:
    """Train all the runs below `folder`; the histories of them and of their teachers."""
    model = save_encoder(folder / "encoder", "bert")  # with dropout, which `scratch` has not
    found = _train(folder / "stored", _study(model, RUNS), RUNS)
    row = {COMPUTED: RUNS[COMPUTED]}
    live = _train(folder / "live", _study(model, row, store=False), row)
    return {**found, "live": live[COMPUTED]}


def _train(folder: Path, study: dict[str, Any], names: dict[str, dict[str, Any]]) -> Curves:
    folder.mkdir(parents=True)
    path = write_study(folder, study)
    grid, layout = load_grid(path), Layout(folder / "results")
    runs = list(grid.runs.values())
    for task in dict.fromkeys(run.task for run in runs):
        _step(path, layout, "data", "--task", task)
        for tokens in _tokens_of(grid, task):
            _step(path, layout, "tokenise", "--task", task, "--tokens", tokens)
    teachers = {run.teacher.id: run.teacher for run in runs if run.needs_teacher}
    for teacher in teachers:
        _step(path, layout, "teacher", "--teacher", teacher)
    for run in runs:
        if need := need_of(run):
            place = ("--teacher", run.teacher.id, "--tokens", run.tokens_id, "--need", need)
            _step(path, layout, "outputs", *place)
        _step(path, layout, "distil", "--run", run.id)
    found = {
        f"teacher of {teacher.task}": _curve(layout.teacher(teacher) / "history.csv")
        for teacher in teachers.values()
    }
    return found | {
        name: _curve(layout.run(run) / "history.csv") for name, run in zip(names, runs, strict=True)
    }


def _tokens_of(grid: Grid, task: str) -> list[str]:
    def both(run: Run) -> tuple[str, str]:
        return run.tokens_id, run.teacher.tokens_id

    return sorted({name for run in grid.runs.values() if run.task == task for name in both(run)})


def _step(study: Path, layout: Layout, command: str, *flags: str) -> None:
    words = [command, str(study), "--results", str(layout.results), *flags]
    assert main(words) == 0, f"kd {' '.join(words)}"


def _curve(history: Path) -> dict[str, list[float | None]]:
    with history.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        curves = make_curves(Path(folder))
    lines = [
        f"  {json.dumps(name)}: {{\n"
        + ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in curve.items())
        + "\n  }"
        for name, curve in curves.items()
    ]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{STORED}: {len(curves)} curves")
