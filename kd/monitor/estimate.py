"""Estimates of a plan: operations, hours on one device, bytes on disk."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from kd.axes.extra import EPOCHS
from kd.axes.shapes import VOCABULARY, Shape, parse_shape
from kd.data.corpus import Corpus
from kd.study.extra import Extra
from kd.study.run import Run
from kd.study.stage import Stage
from kd.study.teacher_outputs import keys_of, training_size

_BYTES = 4
_LETTERS, _PACKED = 4.5, 3.0  # of a token, with its blank; in a byte of a packed file


def run_flops(run: Run) -> float:
    """Operations of one training: three forward passes of the student (the backward pass counts as
    two), and one of the teacher if it runs in every step."""
    examples, tokens = training_size(run)
    if run.values["compare_at"] == EPOCHS and run.extras:
        own = 0 if run.alone else examples
        examples = own + sum(extra.examples(run.task_row, examples) for extra in run.extras)
    examples *= run.values["train_fraction"] * (1 - run.values["held_out"])
    student = 3 * parse_shape(run.spec["student"]).flops(tokens)
    live = run.terms and not keys_of(run)
    teacher = run.teacher.encoder.shape.flops(tokens) if live else 0
    return float(examples * run.values["epochs"] * (student + teacher))


def teacher_flops(run: Run) -> float:
    """Operations of fine-tuning a run's teacher; 0 if it is fine-tuned already, or a link."""
    examples, tokens = training_size(run)
    teacher = run.teacher
    if teacher.finetuned or teacher.is_linked:
        return 0.0
    examples *= teacher.recipe["train_fraction"] * (1 - teacher.recipe["held_out"])
    return float(examples * teacher.recipe["epochs"] * 3 * teacher.encoder.shape.flops(tokens))


def by_teacher(runs: Iterable[Run]) -> dict[str, Run]:
    """By the id of each teacher that runs need, a run with it, in the order of the runs; a selected
    one after its candidates, each of which is put in the place of the run's own teacher."""
    return {
        teacher.id: replace(run, teacher=teacher)
        for run in runs
        if run.needs_teacher
        for teacher in (*run.teacher.candidates, run.teacher)
    }


def stage_flops(stage: Stage) -> float:
    """Operations of a stage, as of a run; its teacher runs at every step. Without the head of the
    masked language model."""
    length = stage.values["max_length"]
    each = 3 * stage.shape.flops(length)
    if stage.terms:
        each += stage.encoder.shape.flops(length)
    return float(stage.tokens / length * each)


def extra_flops(run: Run, extra: Extra) -> float:
    """Operations of an augmentation: the masked language model reads each example once for each of
    its words. Without its head. 0 for a transfer set."""
    if extra.encoder is None:
        return 0.0
    examples, tokens = training_size(run)
    return float(examples * tokens * extra.encoder.shape.flops(tokens))


def stage_bytes(stage: Stage) -> int:
    """Bytes of the saved student of a stage."""
    return _bytes(stage.shape, stage.encoder.vocabulary)


def corpus_bytes(corpus: Corpus) -> float:
    """Bytes of the packed tokens of a corpus of files; 0 of the hub's, whose size is not known."""
    sizes = [(Path(file).stat().st_size, file.lower()) for file, _ in corpus.files]
    packed = (".gz", ".parquet", ".pq")
    letters = sum(size * (_PACKED if name.endswith(packed) else 1) for size, name in sizes)
    return letters / _LETTERS * _BYTES


def _bytes(shape: Shape, vocabulary: int | None) -> int:
    return _BYTES * shape.parameters(vocabulary or VOCABULARY)


def student_bytes(run: Run) -> int:
    """Bytes of the saved student of a run."""
    return _bytes(parse_shape(run.spec["student"]), run.teacher.encoder.vocabulary)


def kept_bytes(runs: Iterable[Run], keep: str, assistants: Collection[str] = ()) -> tuple[int, int]:
    """Bytes of the students of these runs: at most at a time, and those that stay.

    `best` removes the others when all runs are done, `none` each one after its evaluation. For
    `best` the largest student of each task counts as the one that stays. The students of
    `assistants`, ids of runs, always stay.
    """
    runs = list(runs)
    always = sum(student_bytes(run) for run in runs if run.id in assistants)
    sizes = [(run.task, student_bytes(run)) for run in runs if run.id not in assistants]
    if keep == "none":
        return always + max((size for _, size in sizes), default=0), always
    total = always + sum(size for _, size in sizes)
    if keep == "all":
        return total, total
    best: dict[str, int] = {}
    for task, size in sizes:
        best[task] = max(size, best.get(task, 0))
    return total, always + sum(best.values())


def teacher_bytes(run: Run) -> int:
    """Bytes of the saved teacher of a run; 0 for a link to a candidate or to a student."""
    if run.teacher.is_linked:
        return 0
    return _bytes(run.teacher.encoder.shape, run.teacher.encoder.vocabulary)
