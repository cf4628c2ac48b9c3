"""The steps that workflow rules call: tokenise, teacher, distil, evaluate.

Each reads the study, does one thing, and leaves its output whole or not at all.
"""

import csv
import io
import platform
import sys
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import transformers

from kd import __version__
from kd.axes.constant_answer import is_unusable, teacher_warning
from kd.axes.initialisations import needs_teacher
from kd.axes.labels import INERT
from kd.axes.pretrained import SCRATCH
from kd.axes.shapes import parse_shape
from kd.axes.tasks import TASKS
from kd.axes.terms import taught_keys
from kd.data import tokens
from kd.encoders import build
from kd.encoders.initialise import initialise
from kd.jobs.storing import (
    load_teacher,
    open_store,
    store_outputs,
    teacher_fingerprint,
    tokens_fingerprint,
)
from kd.losses.objective import Objective
from kd.runtime.device import choose_device, make_deterministic
from kd.runtime.errors import UserError, unknown
from kd.runtime.files import (
    atomic_dir,
    atomic_write,
    check_seal,
    file_digest,
    model_fingerprint,
    read_record,
    remove_leftovers,
    write_json,
    write_record,
)
from kd.runtime.progress import Progress, step_state
from kd.runtime.provenance import model_commit, weights_dtype
from kd.study.grid import Grid
from kd.study.paths import CHECKPOINT, Layout
from kd.study.run import Run
from kd.study.stored import name_of, need_of
from kd.study.teacher import Teacher
from kd.study.terms import relation_heads
from kd.teacher.features import Teaching
from kd.training.checkpoint import Checkpoint
from kd.training.evaluation import evaluate
from kd.training.loop import Fitted, fit

METRICS_VERSION = 1
_PROGRAMS = ("kd", "torch", "transformers", "python")
# What a run's record has of the manifest of its tokens, where that has it.
_LOADED = {"data_revision": "revision", "tokenizer_fingerprint": "tokenizer_fingerprint"}


def run_tokenise(grid: Grid, layout: Layout, task: str, tokens_id: str) -> None:
    """Tokenise a task's text with the tokenizer that `tokens_id` stands for."""
    found = [
        (run, length)
        for run in grid.runs.values()
        for name, length in (
            (run.tokens_id, run.values["max_length"]),
            (run.teacher.tokens_id, run.teacher.recipe["max_length"]),
        )
        if run.task == task and name == tokens_id
    ]
    if not found:
        raise UserError(f"{grid.study.path}: no run on {task} reads {tokens_id!r}")
    run, length = found[0]
    out = layout.tokens(run.data_id, task, tokens_id)
    with step_state(layout.tokenising(run.data_id, task, tokens_id), "tokenise") as progress:
        if not (progress.waited and out.is_dir()):
            _tokenise(run, length, layout, out)


def _tokenise(run: Run, length: int, layout: Layout, out: Path) -> None:
    encoder = run.teacher.encoder
    tokenizer = build.encoder_tokenizer(encoder)
    config = build.encoder_config(encoder)
    if encoder.location == SCRATCH:
        config.vocab_size = len(tokenizer)  # the embeddings fit the words
        config.pad_token_id = tokenizer.pad_token_id
    elif length > (longest := build.longest_input(config)):
        raise UserError(
            f"{encoder.location}: it reads at most {longest} tokens (its config.json), but "
            f"max_length is {length}"
        )
    source = check_seal(layout.text(run.data_id, run.task))
    tokens.tokenise(source, run.task, tokenizer, config, length, out)


def run_teacher(grid: Grid, layout: Layout, teacher_id: str, threads: int) -> None:
    """Fine-tune a teacher (or take over one that is already), evaluate it, export it."""
    teachers = {run.teacher.id: run.teacher for run in grid.runs.values()}
    if teacher_id not in teachers:
        raise unknown(f"{grid.study.path}: teacher", teacher_id, teachers)
    teacher = teachers[teacher_id]
    folder = layout.teacher(teacher)
    with step_state(folder, "teacher") as progress:
        if not (progress.waited and _is_whole(folder, "metrics.json")):
            _teacher(teacher, layout, folder, threads, progress)


def _teacher(
    teacher: Teacher, layout: Layout, folder: Path, threads: int, progress: Progress
) -> None:
    device = _device(threads, progress)
    task, recipe = TASKS[teacher.task], teacher.recipe
    source = check_seal(layout.tokens(teacher.data_id, teacher.task, teacher.tokens_id))
    config = _config(source)
    own_labels = build.encoder_config(teacher.encoder).id2label
    model = build.load_encoder(
        teacher.encoder, config, teacher.dtype, recipe["seed"], teacher.finetuned
    )
    record: dict[str, Any] = {}
    checkpoint = Checkpoint(
        folder / CHECKPOINT,
        {
            "teacher": teacher.id,
            "tokens": tokens_fingerprint(source),
            **_circumstances(device, threads),
        },
    )
    if teacher.finetuned:
        build.align_labels(model, task, own_labels, teacher.order)
    else:
        shape = teacher.encoder.shape
        objective = Objective((), task.regression, shape, shape, {})
        split = tokens.load_split(source, "train")
        fitted = fit(
            *(model, None, objective, split, recipe, device, progress, "fine-tuning", checkpoint)
        )
        record |= _training_record(fitted, split)
        _write_history(folder / "history.csv", fitted)
    metrics = evaluate(model, source, teacher.task, device, progress)
    if warning := teacher_warning(teacher.task, {**metrics, "finetuned": teacher.finetuned}):
        if teacher.finetuned and is_unusable(metrics):
            raise UserError(f"teachers.{teacher.name}: {teacher.encoder.location}: {warning}")
        print(f"warning: teacher {teacher.name}: {warning}", file=sys.stderr)
    _export(model, source, folder / "model")
    write_record(
        folder / "metrics.json",
        {
            "metrics_version": METRICS_VERSION,
            "teacher": teacher.name,
            "teacher_id": teacher.id,
            "task": teacher.task,
            "model": dict(teacher.encoder.identity),
            "shape": str(teacher.encoder.shape),
            "finetuned": teacher.finetuned,
            **recipe,
            **metrics,
            **build.sizes(model),
            **({"teacher_warning": warning} if warning else {}),
            "dtype": weights_dtype(model),
            "model_revision": model_commit(teacher.encoder.location, teacher.encoder.revision),
            **record,
            **_environment(device, threads),
            "created": _now(),
            "data_fingerprint": _text_fingerprint(source),
            "fingerprint": model_fingerprint(folder / "model"),
        },
    )
    checkpoint.remove()


def run_distil(grid: Grid, layout: Layout, run_id: str, threads: int) -> None:
    """Train the student of one run and export it."""
    run = find_run(grid, run_id)
    folder = layout.run(run)
    with step_state(folder, "distil") as progress:
        if not (progress.waited and _is_whole(folder, "training.json")):
            _distil(grid, run, layout, folder, threads, progress)


def _device(threads: int, progress: Progress) -> torch.device:
    """The device of this job, set up."""
    device = choose_device(progress.wait)
    make_deterministic(device, threads)
    progress.attempt.depends(device=device_name(device))
    return device


def _is_whole(folder: Path, record: str) -> bool:
    """Whether another process, for which this one waited, has made the model and its record.

    Snakemake removes both before a job starts: what is there was made since.
    """
    if not ((folder / "model").is_dir() and (folder / record).is_file()):
        return False
    check_seal(folder / "model")
    read_record(folder / record)
    return True


def _distil(
    grid: Grid, run: Run, layout: Layout, folder: Path, threads: int, progress: Progress
) -> None:
    ready = cache(partial(_device, threads, progress))
    task, settings = TASKS[run.task], run.values
    source = check_seal(layout.tokens(run.data_id, run.task, run.tokens_id))
    shape, teacher_shape = parse_shape(run.spec["student"]), run.teacher.encoder.shape
    split, init = tokens.load_split(source, "train"), run.spec.get("init", "random")
    taught = taught_keys(run.terms)
    stored = open_store(grid, layout, run, split, ready, progress)
    device = ready()
    read = taught & set(stored.arrays)
    teacher = None
    if taught - read or (run.donor is None and needs_teacher(init)):
        teacher = load_teacher(run, layout)

    if run.donor is not None and (run.donor.revision or run.teacher.encoder.revision):
        build.check_same_words(run.donor, source)
    torch.manual_seed(settings["seed"])
    student = build.build_random(build.shaped_config(_config(source), shape))
    origins = initialise(student, init, teacher, run.donor)

    heads = settings["relation_heads"]
    if heads == "auto":
        settings = {**settings, "relation_heads": relation_heads(shape, teacher_shape)}
    objective = Objective(run.terms, task.regression, shape, teacher_shape, settings)
    trains = "teacher-in-training" in objective.errata
    teaching = Teaching(taught, stored, teacher, device, trains) if taught else None
    checkpoint = Checkpoint(
        folder / CHECKPOINT,
        {
            "spec": run.spec,
            "tokens": tokens_fingerprint(source),
            "teacher": teacher_fingerprint(run, layout) if run.needs_teacher else None,
            "stored": sorted(map(name_of, read)),
            **_circumstances(device, threads),
        },
    )
    fitted = fit(
        *(student, teaching, objective, split, settings, device, progress, "distilling", checkpoint)
    )

    write_json(folder / "spec.json", run.spec)
    write_json(folder / "init.json", origins)
    _write_history(folder / "history.csv", fitted)
    _export(student, source, folder / "model")
    write_record(
        folder / "training.json",
        {
            **_training_record(fitted, split),
            "weights_used": objective.weights_text(),
            "teacher_outputs_stored": len(read),
            "teacher_outputs_computed": len(taught - read),
            **{f"student_{k}": v for k, v in build.sizes(student).items()},
            "student_dtype": weights_dtype(student),
            **_environment(device, threads),
            "data_fingerprint": _text_fingerprint(source),
            **(
                {"teacher_fingerprint": teacher_fingerprint(run, layout)}
                if run.needs_teacher
                else {}
            ),
            "model_fingerprint": model_fingerprint(folder / "model"),
        },
    )
    checkpoint.remove()


def _circumstances(device: torch.device, threads: int) -> dict[str, Any]:
    """What the numbers of a training depend on beside its recipe and its data."""
    return {
        "device": device_name(device),
        "threads": threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "code": _code(),
    }


def _code() -> str:
    """A digest of the modules whose code a training's numbers depend on."""
    package = Path(__file__).parents[1]
    rooms = ("axes", "data", "encoders", "losses", "teacher", "training", "jobs")
    return file_digest(*(path for room in rooms for path in sorted((package / room).glob("*.py"))))


def run_outputs(
    grid: Grid, layout: Layout, teacher_id: str, tokens_id: str, need: str, threads: int
) -> None:
    """Store the outputs of a teacher that some runs need, and that the budget has room for.

    The first such job of a teacher and its tokens stores those that all runs of the grid need; the
    others find them there. `need`.json records what was there then; today's study decides anew.
    """
    runs = [
        run
        for run in grid.runs.values()
        if (run.teacher.id, run.tokens_id, need_of(run)) == (teacher_id, tokens_id, need)
    ]
    if not runs:
        raise UserError(f"{grid.study.path}: no run needs {need!r} of {teacher_id!r}")
    run = min(runs, key=lambda run: (layout.run(run) / "training.json").is_file())  # to be trained
    with step_state(layout.storing(run), "outputs") as progress:
        remove_leftovers(layout.need(run).parent, layout.need(run).name)
        source = check_seal(layout.tokens(run.data_id, run.task, tokens_id))
        split = tokens.load_split(source, "train")
        ready = partial(_device, threads, progress)
        stored = store_outputs(grid, layout, run, split, ready, progress)
        write_record(layout.need(run), {"stored": sorted(map(name_of, stored))})


def run_evaluate(grid: Grid, layout: Layout, run_id: str, threads: int) -> None:
    """Evaluate one run's exported student and write its metrics.json."""
    run = find_run(grid, run_id)
    folder = layout.run(run)
    with step_state(folder, "evaluate") as progress:
        device = _device(threads, progress)
        training = read_record(folder / "training.json", "model_fingerprint", "threads")
        if model_fingerprint(check_seal(folder / "model")) != training["model_fingerprint"]:
            raise UserError(f"{folder / 'model'}: not the model that was trained; delete {folder}")
        source = check_seal(layout.tokens(run.data_id, run.task, run.tokens_id))
        model = build.load_finetuned(folder / "model")
        metrics = evaluate(model, source, run.task, device, progress)
        metrics |= _evaluation(device, threads)
        write_record(folder / "metrics.json", _run_record(run, layout, training, metrics))


def _run_record(
    run: Run, layout: Layout, training: dict[str, Any], metrics: dict[str, Any]
) -> dict[str, Any]:
    """A run's metrics.json. What a record from an older version lacks is left out."""
    shape, manifest = parse_shape(run.spec["student"]), _manifest(layout, run)
    record = {
        "metrics_version": METRICS_VERSION,
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
        **training,
        "data_source": run.spec["data"]["source"],
        "data_fingerprint": manifest["text_fingerprint"],
        **{column: manifest[key] for column, key in _LOADED.items() if key in manifest},
    }
    if "broken_rows" in manifest:
        record["data_broken_rows"] = sum(manifest["broken_rows"].values())
    if run.needs_teacher:
        teacher = read_record(layout.teacher(run.teacher) / "metrics.json", "score")
        facts = {
            "teacher_id": run.teacher.id,
            "teacher_score": teacher["score"],
            "teacher_majority_score": teacher.get("majority_score"),
            "teacher_warning": teacher_warning(run.task, teacher) or None,
            "teacher_parameters": teacher["parameters"],
            "teacher_fingerprint": teacher["fingerprint"],
            "teacher_shape": teacher.get("shape"),
            "teacher_latency_seconds": teacher.get("latency_seconds"),
            "teacher_evaluated_on": teacher.get("device"),
            "teacher_dtype": teacher.get("dtype"),
            "teacher_revision": teacher.get("model_revision"),
        }
        record |= {name: value for name, value in facts.items() if value is not None}
    return record


def _relation_heads(run: Run) -> dict[str, int]:
    """The number of relation heads in force, where there are some."""
    if run.labels["relation_heads"] != "auto":
        return {}
    shape = parse_shape(run.spec["student"])
    return {"relation_heads": relation_heads(shape, run.teacher.encoder.shape)}


def find_run(grid: Grid, run_id: str) -> Run:
    """The run of that id in the study."""
    if run_id not in grid.runs:
        raise UserError(f"{grid.study.path}: no run {run_id!r}; `kd runs` lists them")
    return grid.runs[run_id]


def _manifest(layout: Layout, run: Run) -> dict[str, Any]:
    source = layout.tokens(run.data_id, run.task, run.tokens_id)
    return read_record(source / "manifest.json", "fingerprint", "text_fingerprint")


def _text_fingerprint(source: Path) -> str:
    return str(read_record(source / "manifest.json", "text_fingerprint")["text_fingerprint"])


def _config(source: Path) -> Any:
    if not (source / "config.json").is_file():
        raise UserError(f"{source}: missing; `kd data` and `kd tokenise` make it")
    return transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)


def _export(model: Any, source: Path, out: Path) -> None:
    """A folder that plain transformers loads: weights, config, tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    with atomic_dir(out, sealed=True) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def device_name(device: torch.device) -> str:
    """The GPU's name, or 'cpu (processor)'."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({platform.processor() or platform.machine()})"


def _training_record(fitted: Fitted, split: tokens.Split) -> dict[str, Any]:
    return {
        "steps": fitted.steps,
        "examples_train": len(split),
        "train_seconds": round(fitted.seconds, 3),
        "examples_per_second": round(fitted.examples / fitted.seconds, 2),
        "precision_used": fitted.precision,
        "peak_memory_bytes": fitted.peak_memory_bytes,
        "micro_batch": fitted.micro_batch,
        "final_loss": fitted.history[-1]["loss"],
    }


def _environment(device: torch.device, threads: int) -> dict[str, Any]:
    """Where a training ran, and with what."""
    return {
        "device": device_name(device),
        "threads": threads,
        "kd_version": __version__,
        "torch_version": torch.__version__,
        "transformers_version": transformers.__version__,
        "python_version": platform.python_version(),
    }


def _evaluation(device: torch.device, threads: int) -> dict[str, Any]:
    """Where and when an evaluation ran, and with what: its job may be on another machine."""
    here = _environment(device, threads)
    versions = [f"{what} {here[f'{what}_version']}" for what in _PROGRAMS]
    return {
        "evaluated_on": here["device"],
        "evaluated_threads": threads,
        "evaluated_with": ", ".join(versions),
        "created": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_history(path: Path, fitted: Fitted) -> None:
    text = io.StringIO()
    columns = dict.fromkeys(name for row in fitted.history for name in row)
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(fitted.history)
    atomic_write(path, text.getvalue())
