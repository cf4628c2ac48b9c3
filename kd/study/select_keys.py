"""The key `select`: axes that are tuned on a held-out slice of the training examples."""

from dataclasses import dataclass, field
from itertools import product
from typing import Any

from kd.axes.fields import RUN_FIELDS, TEACHER_FIELDS
from kd.axes.values import number
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.keys import distinct

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
            raise unknown("select: key", key, KEYS)
    axes, teachers = _axes(value.get("axes", [])), _teachers(value.get("teachers", {}))
    if not axes and not teachers:
        raise UserError(
            "select: found neither axes nor teachers, so nothing would be selected; name axes of "
            "the study, or give values of the teachers' recipe"
        )
    share = _parsed(value.get("share", SHARE), "share", number(0, 0.9, above=True))
    seed = _parsed(value.get("seed", 0), "seed", number(0, 2**32 - 1, whole=True))
    return Select(tuple(axes), teachers, float(share), int(seed))


def _parsed(value: Any, key: str, kind: dict[str, Any]) -> Any:
    try:
        return kind["parse"](value)
    except UserError as error:
        raise UserError(f"select.{key}: {error}") from None


def _axes(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise UserError(f"select.axes: found {shown(value)}, allowed: a list of axes")
    for i, axis in enumerate(value):
        where = f"select.axes[{i}]"
        if axis in FIXED:
            raise UserError(f"{where}: found {axis}, allowed: any axis but {listing(FIXED)}")
        if axis not in RUN_FIELDS:
            raise unknown(where, axis, [key for key in RUN_FIELDS if key not in FIXED])
        if axis in value[:i]:
            raise UserError(f"{where}: {axis} is there twice")
    return value


def _teachers(value: Any) -> dict[str, list[Any]]:
    if not isinstance(value, dict):
        raise UserError(f"select.teachers: found {shown(value)}, allowed: keys with lists")
    recipes: dict[str, list[Any]] = {}
    for key, values in value.items():
        where = f"select.teachers.{key}"
        if key not in TEACHER_KEYS:
            raise unknown("select.teachers: key", key, TEACHER_KEYS)
        if not isinstance(values, list) or len(values) < 2:
            raise UserError(
                f"{where}: found {shown(values)}, allowed: a list of two values or more"
            )
        recipes[key] = distinct(values, where, TEACHER_FIELDS[key])
    return recipes


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
    if all(keys.get("finetuned") for keys in teachers.values()):
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
