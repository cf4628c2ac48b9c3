"""A study file as a checked `Study`."""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kd.axes.equal_size import ISO
from kd.axes.fields import RUN_FIELDS
from kd.axes.labels import NAME
from kd.axes.plugins import Plugin, activate
from kd.axes.tasks import TASKS, Task
from kd.data.transfer import TransferSet
from kd.runtime.errors import UserError, shown, unknown
from kd.study.assistant_keys import teacher_keys
from kd.study.design_keys import Design, design_of
from kd.study.keys import (
    axis_values,
    data_source,
    evaluation_interval,
    figure_names,
    kept_students,
    looks_of,
    mapping_of,
    margin_of,
    partial_runs,
    store_bytes,
    values_of,
)
from kd.study.mistakes import keep, kept, number_kept, told
from kd.study.plugins import load_plugins
from kd.study.read import read_yaml
from kd.study.select_keys import Select, select_of
from kd.study.stage_keys import StageKeys, stages_of
from kd.study.task_keys import own_tasks
from kd.study.together import check_together
from kd.study.transfer_keys import transfer_sets

KEYS = (
    "study",
    "question",
    "data",
    "tasks",
    "plugins",
    "teachers",
    "stages",
    "transfer",
    "base",
    "axes",
    "design",
    "exclude",
    "include",
    "store",
    "keep",
    "figures",
    "margin",
    "looks",
    "evaluate_every",
    "select",
)
MARGIN = 0.5  # points; values that differ by less are equal
_NO_TEACHER = "teachers: missing; name at least one, such as bert: {model: HUB-ID}"


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
    design: Design
    exclude: list[dict[str, list[Any]]]
    include: list[dict[str, Any]]
    store_bytes: int | None  # disk for large teacher outputs; None: store none at all
    figures: list[str] | None = None  # None: what the axes are made for
    margin: float = MARGIN  # points within which values are equal
    looks: tuple[int, ...] = ()  # numbers of seeds at which the study is looked at
    evaluate_every: int | str | None = None  # steps, or `epoch`; None: at the end alone
    written: dict[str, list[Any]] = field(default_factory=dict)  # values as the file has them
    tasks: dict[str, Task] = field(default_factory=lambda: TASKS)  # by the name in this study
    select: Select | None = None
    stages: dict[str, StageKeys] = field(default_factory=dict)  # before the task, by their names
    transfer: dict[str, TransferSet] = field(default_factory=dict)  # by their names
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
        UserError: a sentence for each mistake, with the file, the line, the key, what was found and
            what is allowed.
    """
    path = Path(path)
    with told(path):
        study = _study(path, read_yaml(path))
    return study


def study_of(path: Path, content: Any) -> Study:
    """The study of this content, as if the file had it. Raises as `load_study`."""
    with told(path):
        study = _study(path, content)
    return study


def _study(path: Path, content: Any) -> Study:
    """The study; in parts, where mistakes were kept."""
    raw = mapping_of(content, "the file")
    _check_keys(raw)
    plugins = load_plugins(raw.get("plugins", []), path)
    activate(plugins)  # before any name is looked up
    parts: dict[str, Any] = {}
    broken = set()
    for key, (default, parse) in _PARTS.items():
        parts[key], before = copy(default), number_kept()
        if key in raw:
            with kept():
                parts[key] = parse(raw[key], path)
        if number_kept() > before:
            broken.add(key)
    sound = number_kept() == 0
    study = Study(
        path=path,
        name=parts.pop("study"),
        tasks=TASKS | parts.pop("tasks"),
        store_bytes=parts.pop("store"),
        keep_students=parts.pop("keep"),
        written=_written(raw) if sound else {},
        equal_size=_equal_size(raw["axes"].get("student")) if sound else "",
        plugins=plugins,
        **parts,
    )
    check_together(study, raw, broken)
    return study


def _check_keys(raw: dict[Any, Any]) -> None:
    """Check the names of the file's keys."""
    wrong = [key for key in raw if key not in KEYS]
    for key in wrong:
        keep(unknown("key", key, KEYS))
    if wrong:  # what is missing may be there, mistyped
        return
    for key in ("study", "axes"):
        if key not in raw:
            keep(UserError(f"{key}: missing; a study needs the keys study, teachers and axes"))
    if "teachers" not in raw:
        keep(UserError(_NO_TEACHER))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise UserError(f"study: found {shown(value)}, allowed: a name of a-z, 0-9, - and _")
    return value


def _question(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"question: found {shown(value)}, allowed: text")
    return " ".join(value.split())


def _teachers(value: Any) -> dict[str, dict[str, Any]]:
    teachers: dict[str, dict[str, Any]] = {}
    for teacher, written in mapping_of(value, "teachers").items():
        with kept():
            if not isinstance(teacher, str) or not re.fullmatch(NAME, teacher):
                raise UserError(
                    f"teachers: found {shown(teacher)}, allowed: names of a-z, 0-9, - and _"
                )
            teachers[teacher] = {}
            keys = mapping_of(written, f"teachers.{teacher}")
            teachers[teacher] = teacher_keys(keys, f"teachers.{teacher}")
    if not value:
        raise UserError(_NO_TEACHER)
    return teachers


def _excluded(value: Any) -> list[dict[str, list[Any]]]:
    return [
        {k: v if isinstance(v, list) else [v] for k, v in entry.items()}
        for entry in partial_runs(value, "exclude", lists=True)
    ]


# The keys of a file, each with the value where it is not there or wrong, and with its check.
_PARTS: dict[str, tuple[Any, Callable[[Any, Path], Any]]] = {
    "study": ("", lambda value, path: _name(value)),
    "question": ("", lambda value, path: _question(value)),
    "data": (data_source(None, Path()), data_source),
    "tasks": ({}, own_tasks),
    "teachers": ({}, lambda value, path: _teachers(value)),
    "stages": ({}, stages_of),
    "transfer": ({}, transfer_sets),
    "base": ({}, lambda value, path: values_of(value, "base", RUN_FIELDS)),
    "axes": ({}, lambda value, path: axis_values(value)),
    "design": (Design(), lambda value, path: design_of(value)),
    "exclude": ([], lambda value, path: _excluded(value)),
    "include": ([], lambda value, path: partial_runs(value, "include")),
    "store": (store_bytes({}), lambda value, path: store_bytes(value)),
    "keep": (kept_students(None), lambda value, path: kept_students(value)),
    "figures": (None, lambda value, path: figure_names(value)),
    "margin": (MARGIN, lambda value, path: margin_of(value)),
    "looks": ((), lambda value, path: looks_of(value)),
    "evaluate_every": (None, lambda value, path: evaluation_interval(value)),
    "select": (None, lambda value, path: select_of(value)),
}


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
