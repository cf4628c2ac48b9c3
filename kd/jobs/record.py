"""The contents of metrics.json and training.json, and which job each part comes from."""

import platform
from collections.abc import Sized
from datetime import UTC, datetime
from typing import Any

import torch
import transformers

from kd import __version__
from kd.axes.constant_answer import teacher_warning
from kd.axes.labels import INERT
from kd.axes.shapes import parse_shape
from kd.runtime.device_names import bf16_instructions
from kd.runtime.seals import read_record
from kd.study.paths import METRICS, TRAINING, Layout
from kd.study.run import Run
from kd.study.terms import relation_heads
from kd.training.loop import TrainingResult

READ = "teacher_outputs_read"  # in training.json alone: names of the arrays, for `kd retrain`
_PROGRAMS = ("kd", "torch", "transformers", "python")
# Column of a run's record: key of the manifest of its tokens, which an older one may lack.
_LOADED = {"data_revision": "revision", "tokenizer_fingerprint": "tokenizer_fingerprint"}


def run_record(
    run: Run, layout: Layout, training: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    """The contents of a run's metrics.json. Keys that an older record lacks are left out."""
    shape = parse_shape(run.spec["student"])
    tokens = layout.tokens(run.data_id, run.task, run.tokens_id)
    manifest = read_record(tokens / "manifest.json", "fingerprint", "text_fingerprint")
    record = {
        "run": run.id,
        "task": run.task,
        "student": str(shape),
        "objective": run.objective,
        "init": run.spec.get("init", "random"),
        **{k: v for k, v in run.values.items() if run.labels[k] != INERT},
        **_relation_heads(run),
        **metrics,
        "student_layers": shape.layers,
        "student_hidden": shape.hidden,
        **{key: value for key, value in training.items() if key != READ},
        "data_source": run.spec["data"]["source"],
        **({"plugins": "; ".join(p.label for p in run.plugins)} if run.plugins else {}),
        "data_fingerprint": manifest["text_fingerprint"],
        **{column: manifest[key] for column, key in _LOADED.items() if key in manifest},
    }
    if "shared" in manifest:
        record["data_repeated"] = manifest["repeated"]
        record["data_shared"] = manifest["shared"]["dev"]
    if "broken_rows" in manifest:
        record["data_broken_rows"] = sum(manifest["broken_rows"].values())
    if run.stage:
        record |= _stage_facts(read_record(layout.stage(run.stage) / TRAINING, "stage", "tokens"))
    if run.needs_teacher:
        teacher = read_record(layout.teacher(run.teacher) / METRICS, "score")
        facts = {
            "teacher_id": run.teacher.id,
            "teacher_score": teacher["score"],
            "teacher_majority_score": teacher.get("majority_score"),
            "teacher_warning": teacher_warning(run.task_row, teacher) or None,
            "teacher_parameters": teacher["parameters"],
            "teacher_fingerprint": teacher["fingerprint"],
            "teacher_shape": teacher.get("shape"),
            "teacher_latency_seconds": teacher.get("latency_seconds"),
            "teacher_evaluated_on": teacher.get("device"),
            "teacher_dtype": teacher.get("dtype"),
            "teacher_revision": teacher.get("model_revision"),
            **{f"teacher_{name}": teacher.get(name) for name in ("nll", "brier", "ece")},
            "teacher_slice_score": teacher.get("slice_score"),
            "teacher_candidates": teacher.get("teacher_candidates"),
            "teacher_run": teacher.get("student_of"),
            "teacher_chain": teacher.get("chain"),
            "teacher_chain_seconds": teacher.get("chain_seconds"),
        }
        record |= {name: value for name, value in facts.items() if value is not None}
    return record


def _stage_facts(stage: dict[str, Any]) -> dict[str, Any]:
    """What a run's record says of the stage that its student starts from."""
    facts = {
        "stage_id": stage["stage"],
        "stage_steps": stage["steps"],
        "stage_tokens": stage["tokens"],
        "stage_seconds": stage["train_seconds"],
        "stage_loss_before": stage["held_out_before"].get("loss"),
        "stage_loss": stage["held_out_losses"]["loss"],
    }
    return {name: value for name, value in facts.items() if value is not None}


def _relation_heads(run: Run) -> dict[str, int]:
    """The number of relation heads that `auto` became; {} if it was given or has no effect."""
    if run.labels["relation_heads"] != "auto":
        return {}
    shape = parse_shape(run.spec["student"])
    return {"relation_heads": relation_heads(shape, run.teacher.encoder.shape)}


def training_record(result: TrainingResult, examples: Sized) -> dict[str, Any]:
    """How a training on these examples went: steps, seconds, speed, precision, bytes."""
    return {
        "steps": result.steps,
        "examples_train": len(examples),
        "train_seconds": round(result.seconds, 3),
        "examples_per_second": round(result.examples / result.seconds, 2),
        "precision_used": result.precision,
        "peak_memory_bytes": result.peak_memory_bytes,
        "micro_batch": result.micro_batch,
        "final_loss": result.history[-1]["loss"],
    }


def environment(device: torch.device, threads: int) -> dict[str, Any]:
    """Where a training ran, and with what."""
    return {
        "device": device_name(device),
        "threads": threads,
        "kd_version": __version__,
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
        "python_version": platform.python_version(),
    }


def evaluation_record(device: torch.device, threads: int) -> dict[str, Any]:
    """Where and when an evaluation ran, and with what: its job may be on another machine."""
    here = environment(device, threads)
    versions = [f"{what} {here[f'{what}_version']}" for what in _PROGRAMS]
    return {
        "evaluated_on": here["device"],
        "evaluated_threads": threads,
        "evaluated_with": ", ".join(versions),
        "created": now(),
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's instructions, as in 'cpu (x86_64, AVX512, avx512_bf16)': they
    decide the last bits."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    return f"cpu ({', '.join(facts + bf16_instructions())})"


def now() -> str:
    """The time in UTC, as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")
