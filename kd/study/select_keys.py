"""The key `select`: axes that are tuned on a held-out slice of the training examples."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from kd.axes.fields import RUN_FIELDS, TEACHER_FIELDS
from kd.axes.values import number
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.keys import distinct
from kd.study.mistakes import at, keep, kept

KEYS = ("axes", "teachers", "share", "seed")
SHARE = 0.1
HELD = ("held_out", "held_out_seed")  # fields of a run that the key sets
FIXED = ("task", "seed", *HELD)
# What of a teacher's recipe can be tuned. Another length would make other tokens.
TEACHER_KEYS = tuple(
    key
    for key in TEACHER_FIELDS
    if key in RUN_FIELDS and key not in ("max_length", "seed", "recipe")
)


@dataclass(frozen=True)
class Select:
    """What is tuned on a slice that no training of the study sees.

    `axes` are axes of the study; a cell is shown at the values that are best on the slice.
    `teachers` are values of keys of the teachers' recipe: each teacher is fine-tuned with every
    combination of them, and the best one on the slice teaches.
    """

    axes: tuple[str, ...] = ()
    teachers: dict[str, list[Any]] = field(default_factory=dict)
    share: float = SHARE  # of the training examples of each label
    seed: int = 0  # of the choice of the slice

    @property
    def recipes(self) -> list[dict[str, Any]]:
        """All combinations of the values for teachers, in the order of the study, or []."""
        if not self.teachers:
            return []
        values = product(*self.teachers.values())
        return [dict(zip(self.teachers, combination, strict=True)) for combination in values]


def select_of(value: Any) -> Select:
    """The key `select`, with each part checked by itself."""
    if not isinstance(value, dict) or not value:
        raise UserError(f"select: found {shown(value)}, allowed: keys with values")
    for key in value:
        if key not in KEYS:
            keep(unknown("select: key", key, KEYS))
    parts: dict[str, Any] = {}
    for key, parse in _PARTS.items():
        if key in value:
            with kept():
                parts[key] = parse(value[key])
    if not value.get("axes") and not value.get("teachers") and value.keys() <= set(KEYS):
        raise UserError(
            "select: found neither axes nor teachers, so nothing would be selected; name axes of "
            "the study, or give values of the teachers' recipe"
        )
    return Select(**parts)


def _number(key: str, kind: dict[str, Any], value: Any) -> Any:
    with at(f"select.{key}"):
        return kind["parse"](value)


def _axes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UserError(f"select.axes: found {shown(value)}, allowed: a list of axes")
    for i, axis in enumerate(value):
        where = f"select.axes[{i}]"
        if axis in FIXED:
            keep(UserError(f"{where}: found {axis}, allowed: any axis but {listing(FIXED)}"))
        elif not isinstance(axis, str) or axis not in RUN_FIELDS:
            keep(unknown(where, axis, [key for key in RUN_FIELDS if key not in FIXED]))
        elif axis in value[:i]:
            keep(UserError(f"{where}: {axis} is there twice"))
    return tuple(value)


def _teachers(value: Any) -> dict[str, list[Any]]:
    if not isinstance(value, dict):
        raise UserError(f"select.teachers: found {shown(value)}, allowed: keys with lists")
    recipes: dict[str, list[Any]] = {}
    for key, values in value.items():
        where = f"select.teachers.{key}"
        if key not in TEACHER_KEYS:
            keep(unknown("select.teachers: key", key, TEACHER_KEYS))
        elif not isinstance(values, list) or len(values) < 2:
            keep(
                UserError(f"{where}: found {shown(values)}, allowed: a list of two values or more")
            )
        else:
            recipes[key] = distinct(values, where, TEACHER_FIELDS[key])
    return recipes


_PARTS: dict[str, Callable[[Any], Any]] = {
    "axes": _axes,
    "teachers": _teachers,
    "share": lambda value: float(_number("share", number(0, 0.9, above=True), value)),
    "seed": lambda value: int(_number("seed", number(0, 2**32 - 1, whole=True), value)),
}


def check_select(
    select: Select,
    points: list[tuple[str, dict[str, Any]]],
    axes: dict[str, list[Any]],
    teachers: dict[str, dict[str, Any]],
) -> None:
    """Check the key `select` against the rest of a study.

    Args:
        select: the key.
        points: (place, keys of a run) for all that the study file sets: base, axes, and so on.
        axes: the axes of the study.
        teachers: the teachers of the study, with their keys.

    Raises:
        UserError: the first error.
    """
    for i, axis in enumerate(select.axes):
        where = f"select.axes[{i}]"
        if axis not in axes:
            raise UserError(
                f"{where}: {axis} is no axis of this study, allowed: "
                f"{listing([key for key in axes if key not in FIXED])}"
            )
        if len(axes[axis]) < 2:
            raise UserError(f"{where}: axes.{axis} has one value, so nothing would be selected")
    for where, keys in points:
        for key in HELD:
            if key in keys:
                raise UserError(f"{where}.{key}: select.{_of(key)} sets it in every run")
    if not select.teachers:
        return
    if all(keys.get("finetuned") for keys in teachers.values() if "run" not in keys):
        raise UserError(
            "select.teachers: it would change nothing: every teacher is fine-tuned already"
        )
    for name, keys in teachers.items():
        for key in select.teachers:
            if key in keys:
                raise UserError(
                    f"teachers.{name}.{key}: it would change nothing: select.teachers has values "
                    f"for it"
                )


def _of(key: str) -> str:
    return "share" if key == HELD[0] else "seed"
