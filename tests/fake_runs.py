"""Builds small runs.csv files whose numbers can be worked out by hand."""

import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from kd.study.grid import load_grid

DEFAULTS = {
    "task": "rte",
    "teacher": "bert-base",
    "student": "6L-768-12h-3072",
    "init": "teacher-uniform",
    "knowledge": "logits+hidden",
    "matching": "mse",
    "mapping": "uniform",
    "temperature": "2",
    "hard_weight": "0.5",
    "relation_heads": "-",
    "epochs": "3",
    "batch_size": "32",
    "learning_rate": "5e-05",
    "weight_decay": "0.01",
    "warmup": "0.1",
    "max_grad_norm": "1",
    "max_length": "128",
    "precision": "fp32",
    "recipe": "1",
    "seed": "1",
    "preset": "none",
    "temperature_schedule": "constant",
    "probability_shift": "False",
    "weights": "fixed",
    "errata": "-",
    "projection": "-",
    "train_fraction": "1",
    "fraction_seed": "-",
    "teacher_data": "-",
    "held_out": "0",
    "held_out_seed": "-",
    "augmentation": "none",
    "augmentation_factor": "-",
    "augmentation_probability": "-",
    "augmentation_candidates": "-",
    "augmentation_model": "-",
    "augmentation_seed": "-",
    "transfer": "none",
    "compare_at": "-",
}
IDLE = {"logits": ["matching", "mapping"], "none": ["matching", "mapping", "temperature"]}
MEASURED = [
    *("score", "teacher_score", "majority_score", "student_parameters", "train_seconds"),
    *("student_nonembedding_parameters", "examples_per_second", "device", "history"),
    *("latency_seconds", "teacher_latency_seconds", "teacher_shape", "examples_eval"),
    *("evaluated_on", "teacher_evaluated_on"),
]


def one_run(cell: dict[str, str], score: float | None, **more: Any) -> dict[str, Any]:
    """A row of runs.csv; a score of None makes it a missing run."""
    axes = {**DEFAULTS, **cell}
    axes |= dict.fromkeys(IDLE.get(axes["knowledge"], []), "-")
    layers, hidden = (int(part.strip("L")) for part in axes["student"].split("-")[:2])
    size = 12 * layers * hidden**2
    row = {
        "run": f"{axes['task']}-{zlib.crc32(repr(axes).encode()):08x}",
        "status": "done" if score is not None else "missing",
        "error": "",
        **axes,
        "objective": axes["knowledge"],
        "score": score,
        "teacher_score": 0.7,
        "majority_score": 0.5,
        "student_layers": layers,
        "student_hidden": hidden,
        "student_parameters": size + 30522 * hidden,
        "student_nonembedding_parameters": size,
        "teacher_parameters": 109_482_240,
        "teacher_shape": "12L-768-12h-3072",
        "latency_seconds": 1e-9 * size,
        "teacher_latency_seconds": 0.085,
        "examples_eval": 277,
        "history": f"step=50 100;loss={1.5 + layers / 10:g} 1;hard=0.7 {0.7 - layers / 50:g}",
        "train_seconds": 100.0,
        "examples_per_second": 50.0,
        "device": "cpu",
        "threads": 2,
        "peak_memory_bytes": None,
        "evaluate_seconds": 2.0,
        "precision_used": "fp32",
        "kd_version": "0.1.0",
        "transformers_version": "5.23.0",
        "python_version": "3.11.7",
        "data_source": "hub",
        "data_fingerprint": "abc",
        "teacher_fingerprint": "def",
        "split": "dev",
        "torch_version": "2.13.0",
        "created": "2025-01-01T00:00:00Z",
        "evaluated_on": "cpu",
        "teacher_evaluated_on": "cpu",
        "data_shared": None,
        "stage_id": "",
        "stage_seconds": None,
        "examples_train": 2490,
        "examples_extra": None,
        "teacher_id": "bert-12l-768-def",
        "teacher_run": "",
        "teacher_chain": "",
        "teacher_chain_seconds": None,
    }
    if score is None:
        row |= dict.fromkeys(MEASURED, None)
    return row | more


def grid(score: Callable[[dict[str, str]], float | None], **axes: list[str]) -> pd.DataFrame:
    """The factorial of `axes`, each distinct run once, scored by a function of its cell."""
    rows = {}
    for values in product(*axes.values()):
        row = one_run(dict(zip(axes, values, strict=True)), 0.0)
        cell = {axis: row[axis] for axis in DEFAULTS}
        rows.setdefault(tuple(cell.values()), one_run(cell, score(cell)))
    return frame_of(*rows.values())


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write the rows as runs.csv."""
    frame.to_csv(path, index=False)
    return path


def frame_of(*rows):
    """Rows of runs.csv as the frame that `read_runs` gives."""
    frame = pd.DataFrame(rows)
    texts = ["history", "teacher_shape", "device", "evaluated_on", "teacher_evaluated_on"]
    frame = frame.assign(**{name: frame[name].fillna("") for name in texts})
    return frame.assign(score=frame["score"].astype(float))


def row_of(table, **where):
    """The one row of `table` where these columns have these values."""
    found = table[(table[list(where)] == list(where.values())).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def three_seeds(control=(0.60, 0.61, 0.65), other=(0.62, 0.64, 0.66)):
    """A control and one other knowledge, with these scores by seed."""
    return frame_of(
        *(one_run({"knowledge": "logits", "seed": str(i)}, s) for i, s in enumerate(control)),
        *(one_run({"seed": str(i)}, s) for i, s in enumerate(other)),
    )


def of_study(path: Path, score: Callable[[dict[str, str]], float | None]) -> pd.DataFrame:
    """The record of a study file, with the ids and labels of its runs."""
    return frame_of(
        *(
            one_run(run.labels, score(run.labels))
            | run.labels
            | {"run": run.id, "objective": run.objective}
            | {"teacher_parameters": 3.35e8 if "large" in run.labels["teacher"] else 1.09e8}
            for run in load_grid(path).runs.values()
        )
    )
