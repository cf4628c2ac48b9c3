"""The work that is left of a study: what its results lack."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from kd.data.corpus import MANIFEST, TOKENS
from kd.monitor.estimate import by_teacher
from kd.study.extra import Extra
from kd.study.grid import Grid
from kd.study.paths import METRICS, RECORD, TRAINING, Layout
from kd.study.run import Run
from kd.study.stage import Stage
from kd.study.teacher_outputs import need_of
from kd.teacher.budget import Choice, choose_outputs

DRAWING = ("collect", "tables", "figures", "report", "guideline")


@dataclass(frozen=True)
class Todo:
    """The work that is left of a study."""

    text: set[tuple[str, str]]  # (data, task)
    extended: list[tuple[Run, Extra]]  # extra examples to make, each with a run that learns from it
    tokens: set[tuple[str, str, str]]  # (data, task, tokens)
    untaught: list[Run]  # runs with the teachers to make
    outputs: Choice
    needs: set[Path]  # lists of the stored outputs of a need, one of each job that stores some
    unstaged: list[Stage]
    unpacked: list[Stage]  # one for each corpus that is still to be packed
    untrained: list[Run]
    left: list[Run]  # not evaluated
    drawn: bool

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule."""
        return {
            "data": len(self.text),
            "extra": len(self.extended),
            "tokenise": len(self.tokens),
            "teacher": len(self.untaught),
            "outputs": len(self.needs),
            "corpus": len(self.unpacked),
            "stage": len(self.unstaged),
            "distil": len(self.untrained),
            "evaluate": len(self.left),
            **dict.fromkeys(DRAWING, int(self.drawn)),
        }


def todo_of(grid: Grid, layout: Layout) -> Todo:
    """The work that is left of a study, by the files in its results."""
    left = to_evaluate(grid, layout)
    untrained = [run for run in left if not (layout.run(run) / TRAINING).is_file()]
    untaught = to_teach(left, layout)
    places = {_place(run) for run in untrained}
    places |= {(run.data_id, run.task, run.teacher.tokens_id) for run in untaught}
    tokens = {place for place in places if not layout.tokens(*place).is_dir()}
    extended = to_extend((run for run in untrained if _place(run) in tokens), layout)
    read = {place[:2] for place in tokens} | {(r.data_id, r.task) for r, _ in extended.values()}
    taught = {(r.teacher.id, r.task, r.tokens_id, need_of(r)): r for r in untrained}
    needs = {layout.need(run) for run in taught.values() if need_of(run)}
    staged = {run.stage.id: run.stage for run in untrained if run.stage}
    unstaged = [s for s in staged.values() if not (layout.stage(s) / TRAINING).is_file()]
    unpacked = {
        place: stage
        for place, stage in ((layout.corpus(stage), stage) for stage in unstaged)
        if not (place / MANIFEST).is_file() or not (place / TOKENS).is_dir()
    }
    return Todo(
        text={place for place in read if not layout.text(*place).is_dir()},
        extended=list(extended.values()),
        tokens=tokens,
        untaught=untaught,
        outputs=choose_outputs(grid, layout, untrained),
        needs={need for need in needs if not need.is_file()},
        unstaged=unstaged,
        unpacked=list(unpacked.values()),
        untrained=untrained,
        left=left,
        drawn=bool(left) or not (layout.study(grid.study.name) / RECORD).is_file(),
    )


def to_evaluate(grid: Grid, layout: Layout, done: Collection[str] | None = None) -> list[Run]:
    """The runs that are still to be evaluated, each after the runs whose students teach it.

    A run that is no cell of the study is among them only while a teacher is missing whose student
    it trains. `done` are the ids of runs that are evaluated; by default those with a record.
    """
    left: dict[str, Run] = {}

    def add(run: Run) -> None:
        if run.id in done if done is not None else (layout.run(run) / METRICS).is_file():
            return
        taught_by = run.teacher.student_of if run.needs_teacher else None
        if taught_by and not (layout.teacher(run.teacher) / METRICS).is_file():
            add(taught_by)
        left[run.id] = run

    for run in grid.runs.values():
        add(run)
    return list(left.values())


def to_teach(runs: Iterable[Run], layout: Layout) -> list[Run]:
    """Of `by_teacher` those that are still to be made: no candidate of one that is selected."""

    def is_there(run: Run) -> bool:
        return (layout.teacher(run.teacher) / METRICS).is_file()

    waiting = [run for run in runs if run.needs_teacher and not is_there(run)]
    return [run for run in by_teacher(waiting).values() if not is_there(run)]


def to_extend(runs: Iterable[Run], layout: Layout) -> dict[Path, tuple[Run, Extra]]:
    """By folder, the extra examples that these runs need and that are still to be made."""
    return {
        folder: (run, extra)
        for run in runs
        for folder, extra in zip(layout.extras(run), run.extras, strict=True)
        if not folder.is_dir()
    }


def _place(run: Run) -> tuple[str, str, str]:
    """The place of the tokens of a run."""
    return run.data_id, run.task, run.tokens_id
