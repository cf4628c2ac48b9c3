"""Kinds of values of the keys of a study, with their checks and JSON schemas.

`number`, `choice`, `text` and `or_auto` give the `parse` and `schema` of a `Field`; `boolean` and
`label_names` are such a `parse`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.runtime.errors import UserError, listing, nearest, shown


@dataclass(frozen=True)
class Field:
    """One key: `parse` normalises a value or raises UserError; `schema` is for editors."""

    parse: Callable[[Any], Any]
    schema: dict[str, Any]
    meaning: str


def number(low: float, high: float, whole: bool = False, above: bool = False) -> dict[str, Any]:
    """A number within bounds. With `above`, `low` itself is not allowed."""

    def parse(value: object) -> int | float:
        number = value
        if isinstance(value, str):  # YAML 1.1 reads 5e-5 as text
            try:
                number = float(value)
            except ValueError:
                number = None
        kind = "a whole number" if whole else "a number"
        bound = f"{'above' if above else 'from'} {_plain(low)}"
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not abs(number) < 1e300  # NaN, infinity, a whole number beyond any float
            or (whole and number != int(number))
            or not (low < number if above else low <= number)
            or not number <= high
        ):
            raise UserError(f"found {shown(value)}, allowed: {kind} {bound} to {_plain(high)}")
        return int(number) if number == int(number) else float(number)

    kind = {"type": "integer" if whole else "number"}
    lower = {"exclusiveMinimum" if above else "minimum": low}
    exponent = {"type": "string", "pattern": r"^[0-9.]+([eE][-+]?[0-9]+)?$"}
    return {"parse": parse, "schema": {"anyOf": [{**kind, **lower, "maximum": high}, exponent]}}


def _plain(bound: float) -> str:
    """A bound as a person writes it: 4294967295, not 4.29497e+09."""
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def choice(*allowed: str) -> dict[str, Any]:
    """One of a few words."""

    def parse(value: object) -> str:
        if value not in allowed:
            raise UserError(
                f"found {shown(value)}, allowed: {listing(allowed)}{nearest(value, allowed)}"
            )
        return str(value)

    return {"parse": parse, "schema": {"enum": list(allowed)}}


def text(parse: Callable[[str], Any], **schema: Any) -> dict[str, Any]:
    """Text on one line, which `parse` may refuse or normalise."""

    def checked(value: object) -> Any:
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"found {shown(value)}, allowed: text")
        if not value.isprintable():
            raise UserError(f"found {shown(value)}, allowed: printable characters")
        return parse(value.strip())

    return {"parse": checked, "schema": {"type": "string", "minLength": 1, **schema}}


def or_auto(field: dict[str, Any]) -> dict[str, Any]:
    """The word `auto`, or a value of another kind."""

    def parse(value: object) -> Any:
        if value == "auto":
            return value
        try:
            return field["parse"](value)
        except UserError as error:
            text = str(error).replace("allowed: ", "allowed: auto, ", 1)
            raise UserError(text + nearest(value, ("auto",))) from None

    return {"parse": parse, "schema": {"anyOf": [{"const": "auto"}, field["schema"]]}}


def label_names(value: object) -> list[str] | dict[str, list[str]]:
    """Names of labels in the order of a model's outputs, one list or one for each task."""
    if isinstance(value, dict) and value:
        return {str(task): _names(names) for task, names in value.items()}
    return _names(value)


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(_is_name(v) for v in value):
        raise UserError(
            f"found {shown(value)}, allowed: the labels in the order of the model's outputs, such "
            f"as [positive, negative], or a list for each task, such as {{sst2: [1, 0]}}"
        )
    return [str(name) for name in value]


def _is_name(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def boolean(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise UserError(f"found {shown(value)}, allowed: true, false")
    return value
