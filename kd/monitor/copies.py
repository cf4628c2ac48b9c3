"""Keeps copied results finished: decides by contents, not by times, which file was made from which.

Snakemake repeats a job whose output is older than its input. After a copy without times (`cp -r`,
some archives and object stores) the times follow the order of copying. Where seals and fingerprints
prove that a result was made from the files beside it, `settle_times` gives it their time. Otherwise
(a file was edited or damaged, the teacher is another one) the result keeps its time, and Snakemake
decides. A copy may lack data and teachers, because Snakemake makes them only if a job needs them.
Those that it has must match the results.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from kd.data.corpus import MANIFEST
from kd.monitor.estimate import by_teacher
from kd.monitor.made_from import DRAWN, collected_files, drawn_files, is_noted, record_of
from kd.runtime.errors import UserError
from kd.runtime.hashes import file_digest, model_fingerprint, short_hash
from kd.runtime.seals import SEAL, broken_seal, emptied
from kd.study.grid import Grid
from kd.study.paths import (
    HISTORY,
    METRICS,
    MODEL,
    PREDICTIONS,
    SPEC,
    TRAINING,
    Layout,
    benchmark_file,
)
from kd.study.run import Run
from kd.study.stage import Stage
from kd.study.teacher import Teacher
from kd.study.teacher_outputs import need_of

_STAMP = ".snakemake_timestamp"  # in a folder: the time that Snakemake takes for the folder's

Job = tuple[Sequence[Path], Sequence[Path], Callable[[], bool]]  # inputs, outputs, are they proven


def settle_times(grid: Grid, layout: Layout) -> list[Path]:
    """Give results that are older than their inputs the time of these; return such results.

    Nothing else is written. Contents are read only where times are wrong.
    """
    stamped: list[Path] = []
    for inputs, outputs, is_proven in _jobs(grid, layout):
        times = [_time(path) for path in inputs]
        newest = max((time for time in times if time is not None), default=0)
        older = [path for path in outputs if (time := _time(path)) is not None and time < newest]
        if older and _holds(is_proven):
            for path in older:
                with suppress(OSError):  # a file of someone else's: Snakemake decides
                    os.utime(_stamp(path), ns=(newest, newest))
                    stamped.append(path)
    return stamped


def _holds(is_proven: Callable[[], bool]) -> bool:
    """Whether it is proven. A file that cannot be read proves nothing; its job reports it."""
    try:
        return is_proven()
    except (UserError, OSError):
        return False


def _jobs(grid: Grid, layout: Layout) -> Iterator[Job]:
    """The jobs of a study in the order of the work, so that inputs have their times first."""
    known = _Contents(layout)
    runs = list(grid.trained.values())
    owners: list[Run | Teacher] = [*runs, *(run.teacher for run in runs if run.needs_teacher)]
    extras = {(r.data_id, r.task, r.tokens_id): layout.extras(r) for r in runs if r.extras}
    for folder, text in {
        folder: layout.text(*place[:2]) for place, folders in extras.items() for folder in folders
    }.items():
        yield [text], [folder], partial(known.is_tokenised, text, folder)
    for data_id, task, tokens_id in sorted({(o.data_id, o.task, o.tokens_id) for o in owners}):
        text, tokens = layout.text(data_id, task), layout.tokens(data_id, task, tokens_id)
        more = extras.get((data_id, task, tokens_id), [])
        yield [text, *more], [tokens], partial(known.is_tokenised, text, tokens, more)

    for stage in grid.stages.values():
        folder, packed = layout.stage(stage), layout.corpus(stage) / MANIFEST
        student = [folder / name for name in (MODEL, TRAINING, HISTORY, SPEC)]
        made = [*student, benchmark_file(folder, "stage")]
        yield [packed], made, partial(known.is_staged, stage)

    settled: set[Path] = set()  # teachers and stored outputs
    for run in runs:  # those whose students are teachers come first
        for job in [*_teacher_jobs(run, layout, known), *_outputs_jobs(run, layout, known)]:
            if job[1][0] not in settled:
                settled.add(job[1][0])
                yield job
        yield from _run_jobs(run, layout, known)

    study = layout.study(grid.study.name)
    *metrics, record = collected_files(grid, layout)
    yield metrics, [record], partial(is_noted, study, "collect", [*metrics, record])
    for step, (inputs, outputs) in DRAWN.items():
        paths = [study / name for name in inputs], [study / name for name in outputs]
        yield *paths, partial(is_noted, study, step, drawn_files(study, step))


def _teacher_jobs(run: Run, layout: Layout, known: "_Contents") -> Iterator[Job]:
    """The jobs of the teacher that a run needs, and of its candidates."""
    for teacher in (taught.teacher for taught in by_teacher([run]).values()):
        folder = layout.teacher(teacher)
        made = [folder / MODEL, folder / METRICS, benchmark_file(folder, "teacher")]
        if teacher.student_of:
            student = layout.run(teacher.student_of)
            reads = [student / name for name in (MODEL, TRAINING, HISTORY, METRICS, PREDICTIONS)]
            yield reads, made, partial(known.is_assistant, folder, student)
            continue
        tokens = layout.tokens(teacher.data_id, teacher.task, teacher.tokens_id)
        others = [layout.teacher(candidate) for candidate in teacher.candidates]
        reads = [tokens, *(other / name for other in others for name in (MODEL, METRICS))]
        yield reads, made, partial(known.is_taught, folder, tokens, others)


def _outputs_jobs(run: Run, layout: Layout, known: "_Contents") -> Iterator[Job]:
    """The job of the stored outputs that a run reads."""
    if need_of(run):
        folder = layout.teacher(run.teacher)
        tokens = layout.tokens(run.data_id, run.task, run.tokens_id)
        reads = [tokens, folder / MODEL, folder / METRICS]
        yield reads, [layout.need(run)], partial(known.can_be_stored, folder, tokens)


def _run_jobs(run: Run, layout: Layout, known: "_Contents") -> Iterator[Job]:
    """The training of a run and its evaluation."""
    folder, teacher_folder = layout.run(run), layout.teacher(run.teacher)
    tokens = layout.tokens(run.data_id, run.task, run.tokens_id)
    files = [MODEL, TRAINING, HISTORY, SPEC]
    made = [*(folder / name for name in files), benchmark_file(folder, "distil")]
    teacher_files = [teacher_folder / MODEL, teacher_folder / METRICS]
    reads = teacher_files if run.needs_teacher else []
    started = [layout.stage(run.stage) / MODEL] if run.stage else []
    yield [tokens, *reads[:1], *started], made, partial(known.is_trained, run, tokens)
    scored = [folder / METRICS, folder / PREDICTIONS]
    yield [tokens, *reads[1:], *made[:2]], scored, partial(known.is_evaluated, run, tokens)


class _Contents:
    """What seals and records say; each file is read once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._is_whole = cache(lambda folder: not broken_seal(folder))
        self._weights = cache(model_fingerprint)
        self._record = cache(record_of)

    def is_tokenised(self, text: Path, tokens: Path, extras: Sequence[Path] = ()) -> bool:
        """Whole tokens, or extra examples, made of this whole text and these extra examples."""
        fingerprint = self._record(text / "manifest.json").get("fingerprint")
        more = [self._record(folder / "manifest.json").get("fingerprint") for folder in extras]
        return (
            all(map(self._is_whole, [text, *extras]))
            and fingerprint is not None
            and self._text(tokens) == fingerprint
            and self._record(tokens / "manifest.json").get("extra", []) == more
        )

    def is_taught(self, folder: Path, tokens: Path, candidates: Sequence[Path] = ()) -> bool:
        """A whole teacher, fine-tuned on these whole tokens; one of the candidates, if it has any.

        Older records of teachers have no fingerprint of their data, only an id that names it.
        """
        metrics, text = self._record(folder / METRICS), self._text(tokens)
        return (
            text is not None
            and metrics.get("data_fingerprint", text) == text
            and self._has_model(folder, metrics)
            and (not candidates or self._is_among(metrics, candidates))
        )

    def _is_among(self, metrics: dict[str, Any], candidates: Sequence[Path]) -> bool:
        """Whether a selected teacher's weights are those of one of its candidates, as recorded."""
        records = [self._record(folder / METRICS) for folder in candidates]
        selected = metrics.get("selected"), metrics.get("fingerprint")
        return selected in [(r.get("teacher_id"), r.get("fingerprint")) for r in records]

    def is_assistant(self, folder: Path, student: Path) -> bool:
        """A whole teacher that is the student in this folder of a run, where that is there."""
        metrics = self._record(folder / METRICS)
        facts = self._record(student / METRICS)
        mine = metrics.get("student_of"), metrics.get("fingerprint"), metrics.get("score")
        theirs = facts.get("run"), facts.get("model_fingerprint"), facts.get("score")
        return mine == theirs and self._has_model(folder, metrics)

    def can_be_stored(self, folder: Path, tokens: Path) -> bool:
        """A whole teacher and whole tokens. Jobs that read stored outputs check them."""
        return self._text(tokens, "any") is not None and self._has_model(
            folder, self._record(folder / METRICS)
        )

    def is_staged(self, stage: Stage) -> bool:
        """A whole student of this stage, trained on these tokens, where they are still there."""
        folder, packed = self.layout.stage(stage), self.layout.corpus(stage) / MANIFEST
        facts = self._record(folder / TRAINING)
        corpus = facts.get("corpus_fingerprint")
        return (
            self._record(packed).get("fingerprint", corpus) == corpus
            and short_hash(self._record(folder / SPEC)) == short_hash(stage.spec)
            and self._has_model(folder, {"fingerprint": facts.get("model_fingerprint")})
        )

    def is_trained(self, run: Run, tokens: Path) -> bool:
        """A whole student of this run, trained on these whole tokens with this whole teacher."""
        folder, teacher = self.layout.run(run), self.layout.teacher(run.teacher)
        facts = self._training(folder)
        text = self._text(tokens, facts.get("data_fingerprint"))
        if run.needs_teacher and (teacher / MODEL).exists():
            weights = {"fingerprint": facts.get("teacher_fingerprint")}
            if not self._has_model(teacher, weights):
                return False
        if run.stage and not self._has_started(facts, self.layout.stage(run.stage)):
            return False
        return (
            text is not None
            and facts.get("data_fingerprint") == text
            and short_hash(self._record(folder / SPEC)) == short_hash(run.spec)
            and self._has_model(folder, {"fingerprint": facts.get("model_fingerprint")})
        )

    def _has_started(self, facts: dict[str, Any], stage: Path) -> bool:
        """Whether a student has started from this stage, where it is still there."""
        weights = {"fingerprint": facts.get("stage_fingerprint")}
        return not (stage / MODEL).exists() or self._has_model(stage, weights)

    def is_evaluated(self, run: Run, tokens: Path) -> bool:
        """Trained, and evaluated afterwards; nothing was changed since."""
        metrics = self._record(self.layout.run(run) / METRICS)
        facts = self._training(self.layout.run(run))
        expected: dict[str, Any] = {"run": run.id}
        expected["data_fingerprint"] = self._text(tokens, facts.get("data_fingerprint"))
        expected["model_fingerprint"] = facts.get("model_fingerprint")
        record = self.layout.teacher(run.teacher) / METRICS
        if run.needs_teacher and record.exists():
            teacher = self._record(record)
            expected["teacher_fingerprint"] = teacher.get("fingerprint")
            expected["teacher_score"] = teacher.get("score")
        answers = self.layout.run(run) / PREDICTIONS
        if answers.is_file():
            expected["predictions_fingerprint"] = file_digest(answers)
        return self.is_trained(run, tokens) and expected.items() <= metrics.items()

    def _training(self, folder: Path) -> dict[str, Any]:
        """What is known of a training. Older records of it lack what the evaluation's have."""
        trained = self._record(folder / TRAINING)
        return {**self._record(folder / METRICS), **trained} if trained else {}

    def _text(self, tokens: Path, absent: Any = None) -> Any:
        """The fingerprint of the text of which whole tokens were made; None: they are not whole;
        `absent`: there are none."""
        if not tokens.exists():
            return absent
        fingerprint = self._record(tokens / "manifest.json").get("text_fingerprint")
        return fingerprint if self._is_whole(tokens) else None

    def _has_model(self, folder: Path, metrics: dict[str, Any]) -> bool:
        model, expected = folder / MODEL, metrics.get("fingerprint")
        if emptied(model):  # a student that was not kept: its seal says which it was
            return expected is not None and expected in self._record(model / SEAL).values()
        return self._is_whole(model) and self._weights(model) == expected


def _stamp(path: Path) -> Path:
    """The file whose time Snakemake takes for that of a file or folder."""
    stamp = path / _STAMP
    return stamp if stamp.is_file() else path


def _time(path: Path) -> int | None:
    """Time of modification in ns; None: there is no such file or folder."""
    try:
        return _stamp(path).stat().st_mtime_ns
    except OSError:
        return None
