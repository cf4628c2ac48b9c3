"""Reads a study file and checks every key and value of it; nothing else is touched."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kd.axes.fields import DATA_DEFAULTS, DATA_FIELDS, RUN_FIELDS, TEACHER_FIELDS, Field
from kd.axes.figures import MORE, axes_of, parse_figure
from kd.axes.presets import NONE, read_preset
from kd.axes.shapes import parse_iso
from kd.axes.tasks import TASKS
from kd.data.generated import check_size
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.located import located_path

DESIGNS = ("factorial", "one-at-a-time")
KEYS = (
    "study",
    "question",
    "data",
    "teachers",
    "base",
    "axes",
    "design",
    "exclude",
    "include",
    "store",
    "figures",
    "margin",
)
STORE_GIGABYTES = 20
FEW_SEEDS = 3  # with fewer, no value is recommended
MARGIN = 0.5  # points; values that differ by less are equal
_NOT_IN_PRESETS = ("preset", "task", "teacher", "student", "seed")
NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


@dataclass(frozen=True, eq=False)
class Study:
    """One question: a base run, the axes that vary it, and where data and teachers come from.

    All values are normalised (a shape in full, numbers as numbers); defaults are not filled in.
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
    written: dict[str, list[Any]] = field(default_factory=dict)  # values as the file has them


def load_study(path: str | Path) -> Study:
    """Read and validate a study file.

    Raises:
        UserError: in one sentence: the file, the key, what was found, what is allowed.
    """
    path = Path(path)
    try:
        return _study(path, _read(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice instead of keeping the last one silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise UserError(f"line {key_node.start_mark.line + 1}: a key must be a word")
            if key in seen:
                raise UserError(
                    f"line {key_node.start_mark.line + 1}: the key {key!r} is there twice"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the study file cannot be read ({error})") from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (it is a SafeLoader)
    except UserError:
        raise
    except Exception as error:  # PyYAML's constructors leak KeyError, AttributeError and others
        raise UserError(f"not valid YAML: {' '.join(str(error).split())[:300]}") from None


def _study(path: Path, content: Any) -> Study:
    raw = _mapping(content, "the file")
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

    teachers = {}
    for teacher, keys in _mapping(raw.get("teachers"), "teachers").items():
        if not isinstance(teacher, str) or not re.fullmatch(NAME, teacher):
            raise UserError(
                f"teachers: found {shown(teacher)}, allowed: names of a-z, 0-9, - and _"
            )
        teachers[teacher] = _values(keys, f"teachers.{teacher}", TEACHER_FIELDS)
        if "model" not in teachers[teacher]:
            raise UserError(f"teachers.{teacher}.model: missing; a hub id, a folder, or scratch")
    if not teachers:
        raise UserError("teachers: missing; name at least one, such as bert: {model: HUB-ID}")

    study = Study(
        path=path,
        name=name,
        question=" ".join(question.split()),
        data=_data(raw.get("data", {"source": "hub"}), path),
        teachers=teachers,
        base=_values(raw.get("base", {}), "base", RUN_FIELDS),
        axes=_axes(raw["axes"]),
        design=design,
        exclude=[
            {k: v if isinstance(v, list) else [v] for k, v in entry.items()}
            for entry in _entries(raw.get("exclude", []), "exclude", lists=True)
        ],
        include=_entries(raw.get("include", []), "include"),
        store_bytes=_store(raw.get("store", {})),
        figures=_figures(raw["figures"]) if "figures" in raw else None,
        margin=_margin(raw.get("margin", MARGIN)),
        written=_written(raw),
    )
    _check_names(study)
    _check_figures(study)
    return study


def _check_names(study: Study) -> None:
    """Every task and teacher that a cell can name must be there; a preset keeps its knowledge."""
    for where, keys in [
        ("axes", study.axes),
        *((f"include[{i}]", e) for i, e in enumerate(study.include)),
    ]:
        if "preset" in keys and "knowledge" in keys:
            raise UserError(
                f"{where}: preset and knowledge exclude each other: a preset is its knowledge"
            )
    points = [("base", study.base), *((f"include[{i}]", e) for i, e in enumerate(study.include))]
    excluded = [(f"exclude[{i}]", e) for i, e in enumerate(study.exclude)]
    used = [(f"{where}.{k}", k, v) for where, point in points for k, v in point.items()]
    used += [(f"axes.{k}[{i}]", k, v) for k, vs in study.axes.items() for i, v in enumerate(vs)]
    used += [(f"{where}.{k}", k, v) for where, e in excluded for k, vs in e.items() for v in vs]
    synthetic = study.data["source"] == "synthetic"
    for where, key, value in used:
        if key == "teacher" and value not in study.teachers:
            raise unknown(where, value, study.teachers)
        if key == "task" and TASKS[value].synthetic != synthetic:
            allowed = [name for name, task in TASKS.items() if task.synthetic == synthetic]
            raise UserError(
                f"{where}: data.source {study.data['source']} has no task {shown(value)}, "
                f"allowed: {listing(allowed)}"
            )
        if key == "task" and synthetic:
            for split in TASKS[value].splits:
                check_size(value, split, study.data[split])
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


def with_preset(entry: dict[str, Any]) -> dict[str, Any]:
    """A partial run, with the keys of its preset where it does not set them itself."""
    name = entry.get("preset", NONE)
    return {**_preset_run(name), **entry} if name != NONE else entry


@cache
def _preset_run(name: str) -> dict[str, Any]:
    """The checked keys of a preset. It is a method: where it is tried is left to the study."""
    fields = {k: f for k, f in RUN_FIELDS.items() if k not in _NOT_IN_PRESETS}
    return _values(read_preset(name)["run"], f"preset {name}: run", fields)


def _figures(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise UserError(f"figures: found {shown(value)}, allowed: a list of names")
    names: list[str] = []
    for i, item in enumerate(value):
        try:
            more = isinstance(item, str) and item.startswith(MORE)
            name = parse_figure(item[1:] if more else item)
        except UserError as error:
            raise UserError(f"figures[{i}]: {error}") from None
        if name in names:
            raise UserError(f"figures[{i}]: {name} is there twice")
        if more != str(value[0]).startswith(MORE):
            raise UserError(
                f"figures[{i}]: found {item}, allowed: all names with a {MORE} (added to those "
                "that are drawn anyway), or none"
            )
        names.append(name)
    return [str(item) for item in value]


def _check_figures(study: Study) -> None:
    """A figure along an axis that the study does not vary could never be drawn."""
    varied = [*study.axes, *(key for entry in study.include for key in entry)]
    for i, name in enumerate(study.figures or ()):
        for axis in axes_of(name):
            if axis not in varied:
                raise UserError(
                    f"figures[{i}]: {name}: the study does not vary {axis}; "
                    f"it varies {listing(dict.fromkeys(varied))}"
                )


def _margin(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
        raise UserError(
            f"margin: found {shown(value)}, allowed: a number of points above 0, up to 100"
        )
    return float(value)


def _written(raw: dict[str, Any]) -> dict[str, list[Any]]:
    """Every value of a run's keys that a checked study file has, as it is written there."""
    entries = [raw.get("base") or {}, *raw.get("include", [])]
    found = {key: list(v) for key, v in raw["axes"].items() if isinstance(v, list)}
    for entry in entries:
        for key, value in entry.items():
            found.setdefault(key, []).append(value)
    return found


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: found {shown(value)}, allowed: keys with values")
    return value


def _value(value: Any, where: str, key: str, fields: dict[str, Field]) -> Any:
    if key not in fields:
        raise unknown(f"{where}: key", key, fields)
    try:
        return fields[key].parse(value)
    except UserError as error:
        raise UserError(f"{where}.{key}: {error}") from None


def _values(value: Any, where: str, fields: dict[str, Field]) -> dict[str, Any]:
    return {k: _value(v, where, k, fields) for k, v in _mapping(value, where).items()}


def _data(value: Any, study: Path) -> dict[str, Any]:
    data = dict(_mapping(value, "data"))
    source = data.pop("source", "hub")
    if not isinstance(source, str) or source not in DATA_FIELDS:
        raise unknown("data.source", source, DATA_FIELDS)
    given = _values(data, f"data (source {source})", DATA_FIELDS[source])
    for key in DATA_FIELDS[source]:
        if key not in given and key not in DATA_DEFAULTS:
            raise UserError(f"data.{key}: missing; source {source} needs it")
        given.setdefault(key, DATA_DEFAULTS.get(key))
    if "path" in given:
        try:
            given["path"] = located_path(given["path"], study)
        except UserError as error:
            raise UserError(f"data.path: {error}") from None
    return {"source": source, **given}


def _store(value: Any) -> int | None:
    """Bytes of disk for large teacher outputs."""
    if value is False:
        return None
    found = {"gigabytes": STORE_GIGABYTES}
    if isinstance(value, dict):
        for key in value:
            if key not in found:
                raise unknown("store: key", key, found)
        found |= value
    size = found["gigabytes"]
    if not isinstance(value, dict) or isinstance(size, bool) or not isinstance(size, int | float):
        raise UserError(f"store: found {shown(value)}, allowed: false, or {{gigabytes: NUMBER}}")
    if not 0 <= size < 1e9:
        raise UserError(f"store.gigabytes: found {shown(size)}, allowed: a number from 0")
    return int(size * 1e9)


def _axes(value: Any) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for key, values in _mapping(value, "axes").items():
        if key not in RUN_FIELDS:
            raise unknown("axes: axis", key, RUN_FIELDS)
        if key == "student" and isinstance(values, dict):
            values = _students(values)
        if not isinstance(values, list) or not values:
            raise UserError(f"axes.{key}: found {shown(values)}, allowed: a list of values")
        axes[key] = []
        for i, item in enumerate(values):
            try:
                parsed = RUN_FIELDS[key].parse(item)
            except UserError as error:
                raise UserError(f"axes.{key}[{i}]: {error}") from None
            if parsed in axes[key]:
                raise UserError(f"axes.{key}[{i}]: {shown(item)} is there twice")
            axes[key].append(parsed)
    if not axes:
        raise UserError(f"axes: found none; a study varies at least one of {listing(RUN_FIELDS)}")
    return axes


def _students(value: dict[Any, Any]) -> list[str]:
    """Students of equal size, where the axis names a measure instead of a list."""
    try:
        return [str(shape) for shape, _ in parse_iso(value)]
    except UserError as error:
        raise UserError(f"axes.student: {error}") from None


def _entries(value: Any, where: str, lists: bool = False) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise UserError(f"{where}: found {shown(value)}, allowed: a list of partial runs")
    entries = []
    for i, item in enumerate(value):
        here, entry = f"{where}[{i}]", {}
        if not isinstance(item, dict) or not item:
            raise UserError(f"{here}: found {shown(item)}, allowed: keys with values")
        for key, found in item.items():
            several = lists and isinstance(found, list) and not _is_pairs(found)
            options = found if several else [found]
            parsed = [_value(option, here, key, RUN_FIELDS) for option in options]
            entry[key] = parsed if several else parsed[0]
        entries.append(entry)
    return entries


def _is_pairs(value: list[Any]) -> bool:
    """[[4, 1], [8, 2]] is one mapping; a list of anything else is a list of values."""
    return bool(value) and all(
        isinstance(p, list) and p and all(isinstance(n, int) for n in p) for p in value
    )
