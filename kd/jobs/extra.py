"""Rule `extra`: the extra examples of a task, made by an augmentation or read from a transfer set.

What an augmentation has made lies in parts beside the state of the job, so that a job which was
killed goes on from them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kd.data.augment import augmented
from kd.data.extra import (
    TRANSFERRED,
    key_of,
    keys_of_task,
    texts_of,
    write_extra,
)
from kd.data.transfer import Texts, TransferSet, transfer_examples
from kd.encoders import build
from kd.encoders.candidates import WordCandidates
from kd.encoders.masked_lm import load_masked_lm
from kd.encoders.tokenizer import encoder_tokenizer
from kd.jobs.inputs import run_on
from kd.jobs.setup import prepare_device
from kd.runtime.errors import UserError, unknown
from kd.runtime.files import remove_path
from kd.runtime.hashes import short_hash
from kd.runtime.progress import Progress, step_state
from kd.runtime.provenance import model_commit
from kd.runtime.seals import check_seal, read_record, write_record
from kd.study.extra import Extra
from kd.study.grid import Grid
from kd.study.mistakes import at, told
from kd.study.paths import Layout
from kd.study.run import Run

_PART = 200  # examples


def run_extra(grid: Grid, layout: Layout, task: str, extra_id: str, threads: int) -> None:
    """Make the extra examples of that name for a task."""
    task = run_on(grid, task).task
    found = {
        extra.id: (run, extra)
        for run in grid.trained.values()
        if run.task == task
        for extra in run.extras
    }
    if extra_id not in found:
        raise unknown(f"{grid.study.path}: extra examples of {task}", extra_id, found)
    run, extra = found[extra_id]
    out = layout.extra_folder(run.data_id, task, extra.id)
    work = layout.extending(run.data_id, task, extra.id)
    with step_state(work, "extra") as progress:
        if not (progress.waited and out.is_dir()):
            _extra(grid.study.path, run, extra, layout, out, work / "parts", threads, progress)


def _extra(
    study: Path,
    run: Run,
    extra: Extra,
    layout: Layout,
    out: Path,
    parts: Path,
    threads: int,
    progress: Progress,
) -> None:
    text = check_seal(layout.text(run.data_id, run.task))
    manifest = read_record(text / "manifest.json", "fingerprint")
    facts = {"of": extra.spec, "text_fingerprint": manifest["fingerprint"]}
    known = keys_of_task(text, run.task_row)
    if extra.transfer is not None:
        progress.start("reading the transfer set", 1)
        with told(study), at(f"transfer.{extra.name}"):
            texts, facts["repeated"] = _read(extra.transfer)
            with at(f"task {run.task_row.title}"):
                write_extra(out, ((TRANSFERRED, t) for t in texts), known, facts)
        progress.advance()
        return
    made = _augment(run, extra, text, manifest["fingerprint"], parts, threads, progress)
    assert extra.encoder is not None
    facts["model_revision"] = model_commit(extra.encoder.location, extra.encoder.revision)
    try:
        write_extra(out, made, known, facts)
    except UserError as error:  # or Transient, which is worth another try
        raise type(error)(f"{study}: augmentation {extra.name}: {error}") from error
    remove_path(parts)


def _read(found: TransferSet) -> tuple[list[Texts], int]:
    """The different examples of a transfer set, in their order, and how many are repeated."""
    seen: set[int] = set()
    kept, repeated = [], 0
    for texts in transfer_examples(found):
        if (key := key_of(texts)) in seen:
            repeated += 1
        else:
            seen.add(key)
            kept.append(texts)
    return kept, repeated


def _augment(
    run: Run,
    extra: Extra,
    text: Path,
    fingerprint: str,
    parts: Path,
    threads: int,
    progress: Progress,
) -> Iterator[tuple[int, Texts]]:
    """The augmented examples: (id of the training example, texts), part by part."""
    import pandas as pd

    device = prepare_device(threads, progress)
    train = pd.read_parquet(text / "train.parquet")
    identity = short_hash([extra.spec, fingerprint, device.type, threads])
    if not (parts / identity).is_dir():
        remove_path(parts)  # of another text or device
        (parts / identity).mkdir(parents=True)
    candidates: WordCandidates | None = None
    ranges = range(0, len(train), _PART)
    files = [parts / identity / f"{first}.json" for first in ranges]
    there = sum(file.is_file() for file in files)
    progress.start(f"augmentation, {_PART} examples a step", len(files), there)
    for first, file in zip(ranges, files, strict=True):
        if file.is_file():
            continue
        candidates = candidates or _candidates(extra, device)
        rows = train[first : first + _PART]
        examples = list(zip(rows["id"].tolist(), texts_of(rows, run.task_row), strict=True))
        write_record(file, {"examples": _variants(examples, candidates, extra.spec)})
        progress.advance()
    for file in files:
        for made_of, texts in read_record(file, "examples", mark=False)["examples"]:
            yield made_of, tuple(texts)


def _candidates(extra: Extra, device: Any) -> WordCandidates:
    assert extra.encoder is not None
    config = build.encoder_config(extra.encoder)
    model = load_masked_lm(extra.encoder, config, "float32", with_head=True)
    tokenizer = encoder_tokenizer(extra.encoder)
    return WordCandidates(model, tokenizer, extra.spec["candidates"], device)


def _variants(
    examples: Sequence[tuple[int, Texts]], candidates: WordCandidates, spec: dict[str, Any]
) -> list[tuple[int, Texts]]:
    """The variants of some examples, each marked by the id of its own."""
    flat = candidates([text for _, texts in examples for text in texts])
    found, place = [], 0
    for number, texts in examples:
        options = flat[place : place + len(texts)]
        place += len(texts)
        variants = augmented(
            texts, options, spec["factor"], spec["probability"], f"{spec['seed']} {number}"
        )
        found += [(number, variant) for variant in variants]
    return found
