"""A study file as a checked `Study`, with the rules that involve several keys."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kd.axes.equal_size import ISO
from kd.axes.fields import RUN_FIELDS, TEACHER_FIELDS
from kd.axes.figures import axes_of
from kd.axes.initialisations import STAGE
from kd.axes.plugins import Plugin, activate
from kd.axes.tasks import TASKS, Task
from kd.data.generated import check_size
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.keys import (
    axis_values,
    data_source,
    evaluation_interval,
    figure_names,
    kept_students,
    mapping_of,
    margin_of,
    partial_runs,
    store_bytes,
    values_of,
)
from kd.study.plugins import load_plugins
from kd.study.read import read_yaml
from kd.study.select_keys import Select, check_select, select_of
from kd.study.stage_keys import StageKeys, stages_of
from kd.study.task_keys import own_tasks

DESIGNS = ("factorial", "one-at-a-time")
KEYS = (
    "study",
    "question",
    "data",
    "tasks",
    "plugins",
    "teachers",
    "stages",
    "base",
    "axes",
    "design",
    "exclude",
    "include",
    "store",
    "keep",
    "figures",
    "margin",
    "evaluate_every",
    "select",
)
MARGIN = 0.5  # points; values that differ by less are equal
NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


@dataclass(frozen=True, eq=False)
class Study:
    """One question: a base run, the axes that vary it, and the sources of data and teachers.

    All values are normalised (shapes in full, numbers as numbers), without defaults.
    """

    path: Path
    name: str
    question: str
    data: dict[str, Any]
    teachers: dict[str, dict[str, Any]]
    base: dict[str, Any]
    axes: dict[str, list[Any]]
    design: str
    exclude: list[dict[str, list[Any]]]
    include: list[dict[str, Any]]
    store_bytes: int | None  # disk for large teacher outputs; None: store none at all
    figures: list[str] | None = None  # None: what the axes are made for
    margin: float = MARGIN  # points within which values are equal
    evaluate_every: int | str | None = None  # steps, or `epoch`; None: at the end alone
    written: dict[str, list[Any]] = field(default_factory=dict)  # values as the file has them
    tasks: dict[str, Task] = field(default_factory=lambda: TASKS)  # by the name in this study
    select: Select | None = None
    stages: dict[str, StageKeys] = field(default_factory=dict)  # before the task, by their names
    equal_size: str = ""  # measure in which `student: {iso-MEASURE: ...}` makes students equal
    keep_students: str = "all"  # or best, none: whose weights stay when their runs are done
    plugins: tuple[Plugin, ...] = ()  # what adds rows to the tables

    @property
    def drawn(self) -> Any:
        """What figures depend on beside runs.csv: their names, and the plugins that draw some."""
        drawing = [p.sha256 for p in self.plugins if any(r.table == "FIGURES" for r in p.rows)]
        return [self.figures, drawing] if drawing else self.figures


def load_study(path: str | Path) -> Study:
    """Read and validate a study file.

    Raises:
        UserError: one sentence with the file, the key, what was found and what is allowed.
    """
    path = Path(path)
    try:
        return _study(path, read_yaml(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _study(path: Path, content: Any) -> Study:
    raw = mapping_of(content, "the file")
    for key in raw:
        if key not in KEYS:
            raise unknown("key", key, KEYS)
    for key in ("study", "axes"):
        if key not in raw:
            raise UserError(f"{key}: missing; a study needs the keys study, axes and base")
    name = raw["study"]
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise UserError(f"study: found {shown(name)}, allowed: a name of a-z, 0-9, - and _")
    question = raw.get("question", "")
    if not isinstance(question, str):
        raise UserError(f"question: found {shown(question)}, allowed: text")
    design = raw.get("design", DESIGNS[0])
    if design not in DESIGNS:
        raise unknown("design", design, DESIGNS)

    plugins = load_plugins(raw.get("plugins", []), path)
    activate(plugins)  # before any name is looked up
    study = Study(
        path=path,
        name=name,
        question=" ".join(question.split()),
        data=data_source(raw.get("data", {"source": "hub"}), path),
        tasks=TASKS | (own_tasks(raw["tasks"], path) if "tasks" in raw else {}),
        teachers=_teachers(raw.get("teachers")),
        stages=stages_of(raw["stages"], path) if "stages" in raw else {},
        base=values_of(raw.get("base", {}), "base", RUN_FIELDS),
        axes=axis_values(raw["axes"]),
        design=design,
        exclude=[
            {k: v if isinstance(v, list) else [v] for k, v in entry.items()}
            for entry in partial_runs(raw.get("exclude", []), "exclude", lists=True)
        ],
        include=partial_runs(raw.get("include", []), "include"),
        store_bytes=store_bytes(raw.get("store", {})),
        keep_students=kept_students(raw.get("keep")),
        figures=figure_names(raw["figures"]) if "figures" in raw else None,
        margin=margin_of(raw.get("margin", MARGIN)),
        evaluate_every=evaluation_interval(raw.get("evaluate_every")),
        select=select_of(raw["select"]) if "select" in raw else None,
        written=_written(raw),
        equal_size=_equal_size(raw["axes"].get("student")),
        plugins=plugins,
    )
    for check in (_check_presets, _check_names, _check_missing, _check_figures, _check_selected):
        check(study)
    return study


def _teachers(value: Any) -> dict[str, dict[str, Any]]:
    teachers = {}
    for teacher, keys in mapping_of(value, "teachers").items():
        if not isinstance(teacher, str) or not re.fullmatch(NAME, teacher):
            raise UserError(
                f"teachers: found {shown(teacher)}, allowed: names of a-z, 0-9, - and _"
            )
        teachers[teacher] = values_of(keys, f"teachers.{teacher}", TEACHER_FIELDS)
        if "model" not in teachers[teacher]:
            raise UserError(f"teachers.{teacher}.model: missing; a hub id, a folder, or scratch")
    if not teachers:
        raise UserError("teachers: missing; name at least one, such as bert: {model: HUB-ID}")
    return teachers


def _check_presets(study: Study) -> None:
    """Check that nothing changes the knowledge of a preset."""
    included = [(f"include[{i}]", entry) for i, entry in enumerate(study.include)]
    for where, keys in [("axes", study.axes), *included]:
        if "preset" in keys and "knowledge" in keys:
            raise UserError(
                f"{where}: preset and knowledge exclude each other, because a preset sets its own "
                f"knowledge"
            )


def _check_names(study: Study) -> None:
    """Check that every task and teacher that a cell can name exists."""
    for where, key, value in _used(study):
        if key == "teacher" and value not in study.teachers:
            raise unknown(where, value, study.teachers)
        if key == "task":
            _check_task(study, where, value)
        if key == "init" and value.startswith(STAGE):
            name = value.removeprefix(STAGE)
            if not study.stages:
                raise UserError(f"{where}: found {value}, but the study has no key stages")
            if name not in study.stages:
                raise unknown(f"{where}: stage", name, study.stages)
    for stage in study.stages.values():
        if (name := stage.values["teacher"]) not in study.teachers:
            raise unknown(f"stages.{stage.name}.teacher", name, study.teachers)
    for name, keys in study.teachers.items():
        if isinstance(labels := keys.get("labels"), dict):
            for task in labels:
                if task not in study.tasks:
                    raise unknown(f"teachers.{name}.labels: task", task, study.tasks)


def _check_task(study: Study, where: str, name: str) -> None:
    """Check that a task exists, and that the data source of the study has it."""
    if name not in study.tasks:
        raise unknown(where, name, study.tasks)
    task, source = study.tasks[name], study.data["source"]
    if task.source is None and task.synthetic != (source == "synthetic"):
        allowed = [
            other
            for other, row in study.tasks.items()
            if row.source or row.synthetic == (source == "synthetic")
        ]
        raise UserError(
            f"{where}: data.source {source} has no task {shown(name)}, allowed: {listing(allowed)}"
        )
    if task.synthetic:
        for split in task.splits:
            check_size(name, split, study.data[split])


def _used(study: Study) -> list[tuple[str, str, Any]]:
    """(where, key, value) for every value that the study gives to a key of a run."""
    points = [("base", study.base), *((f"include[{i}]", e) for i, e in enumerate(study.include))]
    used = [(f"{where}.{k}", k, v) for where, point in points for k, v in point.items()]
    used += [(f"axes.{k}[{i}]", k, v) for k, vs in study.axes.items() for i, v in enumerate(vs)]
    return used + [
        (f"exclude[{i}].{k}", k, v)
        for i, entry in enumerate(study.exclude)
        for k, values in entry.items()
        for v in values
    ]


def _check_missing(study: Study) -> None:
    """Check that every cell has a task, a student and a teacher."""
    for key in ("task", "student"):
        if key not in study.base and key not in study.axes:
            raise UserError(f"base.{key}: missing; give it under base or as an axis")
    if study.design == "one-at-a-time":
        for key in ("student", "teacher"):
            if key in study.axes and key not in study.base:
                raise UserError(
                    f"base.{key}: missing; one-at-a-time varies each axis alone from the base"
                )
    if len(study.teachers) > 1 and "teacher" not in study.base and "teacher" not in study.axes:
        raise UserError(
            f"base.teacher: missing; there are several teachers: {listing(study.teachers)}"
        )


def _check_figures(study: Study) -> None:
    """Check that figures are along axes that the study varies and does not tune."""
    tuned = study.select.axes if study.select else ()
    named = [*study.axes, *(key for entry in study.include for key in entry)]
    varied = [key for key in named if key not in tuned]
    for i, name in enumerate(study.figures or ()):
        for axis in axes_of(name):
            if axis not in varied:
                why = "selects the value of" if axis in tuned else "does not vary"
                raise UserError(
                    f"figures[{i}]: {name}: the study {why} {axis}; "
                    f"it varies {listing(dict.fromkeys(varied))}"
                )


def _check_selected(study: Study) -> None:
    """Check that what the key `select` names exists, and that nothing else sets what it sets."""
    if study.select:
        points = [("base", study.base), ("axes", dict(study.axes))]
        points += [(f"include[{i}]", entry) for i, entry in enumerate(study.include)]
        points += [(f"exclude[{i}]", dict(entry)) for i, entry in enumerate(study.exclude)]
        check_select(study.select, points, study.axes, study.teachers)


def _written(raw: dict[str, Any]) -> dict[str, list[Any]]:
    """All values of a run's keys in a checked study file, as they are written there."""
    entries = [raw.get("base") or {}, *raw.get("include", [])]
    written = {key: list(v) for key, v in raw["axes"].items() if isinstance(v, list)}
    for entry in entries:
        for key, value in entry.items():
            written.setdefault(key, []).append(value)
    return written


def _equal_size(students: Any) -> str:
    """The measure of a checked axis of students; '' if the axis is a list."""
    keys = students if isinstance(students, dict) else {}
    return next((measure for key, measure in ISO.items() if key in keys), "")
