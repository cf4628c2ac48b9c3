"""Checks and normalises each key of a study file by itself.

All functions raise UserErrors that name the key, what was found and what is allowed.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

from kd.axes.equal_size import parse_iso
from kd.axes.fields import DATA_DEFAULTS, DATA_FIELDS, RUN_FIELDS
from kd.axes.figures import MORE, parse_figure
from kd.axes.values import Field
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.located import located_path
from kd.study.mistakes import at, keep, kept, number_kept

EPOCH = "epoch"
STORE_GIGABYTES = 20  # default disk space for large teacher outputs
STUDENTS = ("all", "best", "none")  # that are kept; best: of each task


def figure_names(value: Any) -> list[str]:
    """The key `figures`: names of figures, as they are in the file."""
    if not isinstance(value, list):
        raise UserError(f"figures: found {shown(value)}, allowed: a list of names")
    names, before, mixed = list[str](), number_kept(), False
    for i, item in enumerate(value):
        with kept(), at(f"figures[{i}]"):
            more = isinstance(item, str) and item.startswith(MORE)
            name = parse_figure(item[1:] if more else item)
            if name in names:
                raise UserError(f"{name} is there twice")
            names.append(name)
            if more != str(value[0]).startswith(MORE) and not mixed:
                mixed = True  # told once
                raise UserError(
                    f"found {item}, allowed: all names with a {MORE} (added to those that are "
                    "drawn anyway), or none"
                )
    return names if number_kept() > before else [str(item) for item in value]


def margin_of(value: Any) -> float:
    """The key `margin`, in points of the score."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 100:
        raise UserError(
            f"margin: found {shown(value)}, allowed: a number of points above 0, up to 100"
        )
    return float(value)


def looks_of(value: Any) -> tuple[int, ...]:
    """The key `looks`: the numbers of seeds at which the study is looked at; () if not given."""
    numbers = value if isinstance(value, list) else []
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
    rising = whole and all(a < b for a, b in pairwise([1, *numbers]))
    if not numbers or not rising:
        raise UserError(
            f"looks: found {shown(value)}, allowed: rising numbers of seeds from 2, as [3, 5, 8]"
        )
    return tuple(numbers)


def evaluation_interval(value: Any) -> int | str | None:
    """The key `evaluate_every`: `epoch` or a number of steps; None if it is not given."""
    if value is None or value == EPOCH:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"evaluate_every: found {shown(value)}, allowed: {EPOCH}, or a number of steps from 1"
        )
    return value


def mapping_of(value: Any, where: str) -> dict[str, Any]:
    """Check that a value is keys with values; {} for no value."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: found {shown(value)}, allowed: keys with values")
    return value


def value_of(value: Any, where: str, key: str, fields: dict[str, Field]) -> Any:
    """The parsed value of one key of `fields`. Errors name the place `where`."""
    if key not in fields:
        raise unknown(f"{where}: key", key, fields)
    with at(f"{where}.{key}"):
        return fields[key].parse(value)


def values_of(value: Any, where: str, fields: dict[str, Field]) -> dict[str, Any]:
    """The parsed values of keys of `fields`."""
    parsed = {}
    for key, written in mapping_of(value, where).items():
        with kept():
            parsed[key] = value_of(written, where, key, fields)
    return parsed


def data_source(value: Any, study: Path) -> dict[str, Any]:
    """The key `data` with defaults and an absolute path."""
    data, before = dict(mapping_of(value, "data")), number_kept()
    source = data.pop("source", "hub")
    if not isinstance(source, str) or source not in DATA_FIELDS:
        raise unknown("data.source", source, DATA_FIELDS)
    for key in data:
        if key not in DATA_FIELDS[source]:
            keep(unknown(f"data (source {source}): key", key, DATA_FIELDS[source]))
    known = {key: written for key, written in data.items() if key in DATA_FIELDS[source]}
    settings = values_of(known, "data", DATA_FIELDS[source])
    for key in DATA_FIELDS[source]:
        if key not in settings and key not in DATA_DEFAULTS and number_kept() == before:
            raise UserError(f"data.{key}: missing; source {source} needs it")
        settings.setdefault(key, DATA_DEFAULTS.get(key))
    if settings.get("path") is not None:
        with at("data.path"):
            settings["path"] = located_path(settings["path"], study)
    return {"source": source, **settings}


def store_bytes(value: Any) -> int | None:
    """The key `store`: bytes of disk for large teacher outputs; None if none are stored."""
    if value is False:
        return None
    settings = {"gigabytes": STORE_GIGABYTES}
    if isinstance(value, dict):
        for key in value:
            if key not in settings:
                raise unknown("store: key", key, settings)
        settings |= value
    size = settings["gigabytes"]
    if not isinstance(value, dict) or isinstance(size, bool) or not isinstance(size, int | float):
        raise UserError(f"store: found {shown(value)}, allowed: false, or {{gigabytes: NUMBER}}")
    if not 0 <= size < 1e9:
        raise UserError(f"store.gigabytes: found {shown(size)}, allowed: a number from 0")
    return int(size * 1e9)


def kept_students(value: Any) -> str:
    """The key `keep`: which students stay when their runs are done, one of STUDENTS."""
    settings = mapping_of(value, "keep")
    for key in settings:
        if key != "students":
            raise unknown("keep: key", key, ["students"])
    students = settings.get("students", STUDENTS[0])
    if students not in STUDENTS:
        raise unknown("keep.students", students, STUDENTS)
    return str(students)


def distinct(values: list[Any], where: str, field: Field) -> list[Any]:
    """The parsed values of a list, none of them twice."""
    parsed: list[Any] = []
    for i, item in enumerate(values):
        with kept(), at(f"{where}[{i}]"):
            new = field.parse(item)
            if new in parsed:
                raise UserError(f"{shown(item)} is there twice")
            parsed.append(new)
    return parsed


def axis_values(value: Any) -> dict[str, list[Any]]:
    """The key `axes`: the parsed values of each axis, none of them twice."""
    axes: dict[str, list[Any]] = {}
    axes_written = mapping_of(value, "axes")
    for key, values in axes_written.items():
        if key not in RUN_FIELDS:
            keep(unknown("axes: axis", key, RUN_FIELDS))
            continue
        axes[key], before = [], number_kept()
        with kept():
            if key == "student" and isinstance(values, dict):
                values = _students(values)
            if not isinstance(values, list) or not values:
                raise UserError(f"axes.{key}: found {shown(values)}, allowed: a list of values")
            parsed = distinct(values, f"axes.{key}", RUN_FIELDS[key])
            axes[key] = parsed if number_kept() == before else []  # places count all values
    if not axes_written:
        raise UserError(f"axes: found none; a study varies at least one of {listing(RUN_FIELDS)}")
    return axes


def _students(value: dict[Any, Any]) -> list[str]:
    """The students of equal size that an axis with a measure stands for."""
    with at("axes.student"):
        return [str(shape) for shape, _ in parse_iso(value)]


def partial_runs(value: Any, where: str, lists: bool = False) -> list[dict[str, Any]]:
    """The entries of `include`, or of `exclude`, whose keys may have several values (`lists`)."""
    if not isinstance(value, list):
        raise UserError(f"{where}: found {shown(value)}, allowed: a list of partial runs")
    entries = []
    for i, item in enumerate(value):
        here, entry = f"{where}[{i}]", {}
        if not isinstance(item, dict) or not item:
            keep(UserError(f"{here}: found {shown(item)}, allowed: keys with values"))
            item = {}
        for key, written in item.items():
            several = lists and isinstance(written, list) and not _is_pairs(written)
            options = written if several else [written]
            with kept():
                parsed = [value_of(option, here, key, RUN_FIELDS) for option in options]
                entry[key] = parsed if several else parsed[0]
        entries.append(entry)
    return entries


def _is_pairs(value: list[Any]) -> bool:
    """Whether a list is one mapping, as [[4, 1], [8, 2]], and not a list of values."""
    return bool(value) and all(
        isinstance(p, list) and p and all(isinstance(n, int) for n in p) for p in value
    )
