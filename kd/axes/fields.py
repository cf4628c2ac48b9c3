"""The fields of a run and of a teacher's recipe: types, bounds, defaults, meaning. One row each.

RUN_DEFAULTS and TEACHER_DEFAULTS are append-only: a run's identity leaves out what equals its
default, so editing a default would silently give old results another meaning. A new field gets the
value that the code used implicitly before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.axes.architectures import ARCHS
from kd.axes.errata import TEMPERATURE_SCHEDULES, parse_errata
from kd.axes.initialisations import parse_init
from kd.axes.mappings import parse_mapping
from kd.axes.matchings import MATCHINGS
from kd.axes.presets import check_preset
from kd.axes.shapes import parse_shape
from kd.axes.tasks import TASKS
from kd.axes.terms import NONE, parse_knowledge
from kd.axes.weights import ALLOWED, parse_weight
from kd.runtime.errors import UserError, shown, unknown


@dataclass(frozen=True)
class Field:
    """One key: `parse` normalises a value or raises UserError; `schema` is for editors."""

    parse: Callable[[Any], Any]
    schema: dict[str, Any]
    meaning: str


def _number(low: float, high: float, whole: bool = False, above: bool = False) -> dict[str, Any]:
    """Bounds of a number; `above` leaves `low` itself out."""

    def parse(value: object) -> int | float:
        number = value
        if isinstance(value, str):  # YAML 1.1 reads 5e-5 as text
            try:
                number = float(value)
            except ValueError:
                number = None
        kind = "a whole number" if whole else "a number"
        bound = f"above {low:g}" if above else f"from {low:g}"
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not abs(number) < 1e300  # NaN, infinity, a whole number beyond any float
            or (whole and number != int(number))
            or not (low < number if above else low <= number)
            or not number <= high
        ):
            raise UserError(f"found {shown(value)}, allowed: {kind} {bound} to {high:g}")
        return int(number) if number == int(number) else float(number)

    kind = {"type": "integer" if whole else "number"}
    lower = {"exclusiveMinimum" if above else "minimum": low}
    text = {"type": "string", "pattern": r"^[0-9.]+([eE][-+]?[0-9]+)?$"}
    return {"parse": parse, "schema": {"anyOf": [{**kind, **lower, "maximum": high}, text]}}


def _choice(*allowed: str) -> dict[str, Any]:
    def parse(value: object) -> str:
        if value not in allowed:
            raise unknown("value", value, allowed)
        return str(value)

    return {"parse": parse, "schema": {"enum": list(allowed)}}


def _text(parse: Callable[[str], Any], **schema: Any) -> dict[str, Any]:
    def checked(value: object) -> Any:
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"found {shown(value)}, allowed: text")
        if not value.isprintable():
            raise UserError(f"found {shown(value)}, allowed: printable characters")
        return parse(value.strip())

    return {"parse": checked, "schema": {"type": "string", "minLength": 1, **schema}}


def _or_auto(field: dict[str, Any]) -> dict[str, Any]:
    def parse(value: object) -> Any:
        return value if value == "auto" else field["parse"](value)

    return {"parse": parse, "schema": {"anyOf": [{"const": "auto"}, field["schema"]]}}


def _labels(value: object) -> list[str] | dict[str, list[str]]:
    """Names of labels in the order of a model's outputs, one list or one for each task."""
    if isinstance(value, dict) and value:
        for task in value:
            if task not in TASKS:
                raise unknown("task", task, TASKS)
        return {task: _names(names) for task, names in value.items()}
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


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"found {shown(value)}, allowed: true, false")
    return value


def _hard_weight(value: object) -> int | float | str:
    """A number, or a schedule as `schedules` writes them."""
    try:
        return _WEIGHT_NUMBER["parse"](value)
    except UserError:
        if not isinstance(value, str):
            raise
    weight = parse_weight(value)
    return _WEIGHT_NUMBER["parse"](weight.start) if weight.constant else str(weight)


def _knowledge(value: object) -> str:
    return "+".join(str(term) for term in parse_knowledge(value)) or NONE


_MATCHINGS = ("default", *sorted({name for table in MATCHINGS.values() for name in table}))
_WEIGHT_NUMBER = _number(0, 1e6)
_PAIRS = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "minItems": 1}

# Training recipe, shared by runs and teachers.
_RECIPE: dict[str, Field] = {
    "epochs": Field(**_number(0, 1000, above=True), meaning="passes over the training split"),
    "batch_size": Field(**_number(1, 65536, whole=True), meaning="examples per step"),
    "learning_rate": Field(**_number(0, 1, above=True), meaning="peak of AdamW's learning rate"),
    "weight_decay": Field(**_number(0, 1), meaning="AdamW's, on matrices only"),
    "warmup": Field(**_number(0, 1), meaning="share of the steps with a rising learning rate"),
    "max_grad_norm": Field(**_number(0, 1e6, above=True), meaning="gradients are clipped to it"),
    "max_length": Field(**_number(8, 8192, whole=True), meaning="tokens; longer inputs are cut"),
    "precision": Field(
        **_choice("auto", "fp32", "bf16"),
        meaning="of the model that is trained; auto: bf16 autocast on a GPU that has it, else "
        "fp32; what a teacher says of the examples is computed in its dtype",
    ),
}
_SEED = Field(
    **_number(0, 2**32 - 1, whole=True),
    meaning="of weights, projections, data order and dropout: each starts anew from this number, "
    "so that none depends on how much another drew",
)

RECIPE = 1  # what the code computes; an old number cannot be run any more
_VERSION = Field(
    **_number(RECIPE, RECIPE, whole=True), meaning="of what the code computes; there is one"
)

# In the order of the columns of runs.csv.
RUN_FIELDS: dict[str, Field] = {
    "task": Field(**_choice(*TASKS), meaning="a GLUE task, or a synthetic one"),
    "teacher": Field(**_text(str), meaning="a name under `teachers`"),
    "student": Field(
        **_text(lambda text: str(parse_shape(text))),
        meaning="6L-384, 6L-384-12h-1536, or a name of the literature",
    ),
    "preset": Field(
        **_text(check_preset), meaning="a method of kd/axes/presets; stands for the keys it sets"
    ),
    "init": Field(**_text(parse_init), meaning="how the student's weights start"),
    "knowledge": Field(
        **_text(_knowledge), meaning="what is imitated: type[:matching][@mapping][*weight], by +"
    ),
    "matching": Field(**_choice(*_MATCHINGS), meaning="for terms that name none"),
    "mapping": Field(
        parse_mapping,
        {"anyOf": [{"type": "string", "minLength": 1}, _PAIRS]},
        "for terms that name none",
    ),
    "temperature": Field(**_number(0, 1000, above=True), meaning="tau of the soft labels"),
    "temperature_schedule": Field(
        **_choice(*TEMPERATURE_SCHEDULES), meaning="flsw, cwsm: a temperature for every example"
    ),
    "probability_shift": Field(
        _boolean,
        {"type": "boolean"},
        "swap the teacher's largest logit with that of the right class",
    ),
    "hard_weight": Field(
        _hard_weight,
        {"anyOf": [_WEIGHT_NUMBER["schema"], {"type": "string", "minLength": 1}]},
        f"weight of the hard-label loss beside terms: {ALLOWED}, or 0",
    ),
    "weights": Field(
        **_choice("fixed", "calibrated"),
        meaning="calibrated: a term's weight is its share of the student's gradient at step 0",
    ),
    "relation_heads": Field(
        **_or_auto(_number(1, 4096, whole=True)),
        meaning="A_r of the Q, K, V relations; auto: the student's heads where they divide the "
        "teacher's width too, else the largest number up to 12 that divides both",
    ),
    "errata": Field(**_text(parse_errata), meaning="well-known defects to switch on, joined by +"),
    **_RECIPE,
    "recipe": _VERSION,
    "seed": _SEED,
}
RUN_DEFAULTS: dict[str, Any] = {
    "init": "random",
    "knowledge": "logits",
    "matching": "default",
    "mapping": "uniform",
    "temperature": 2,
    "hard_weight": 1,
    "relation_heads": "auto",
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 5e-5,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "max_grad_norm": 1,
    "max_length": 128,
    "precision": "auto",
    "recipe": 1,
    "seed": 1,
    "preset": NONE,
    "temperature_schedule": "constant",
    "probability_shift": False,
    "weights": "fixed",
    "errata": NONE,
}


_LABELS = {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
TEACHER_FIELDS: dict[str, Field] = {
    "model": Field(
        **_text(str),
        meaning="hub id, folder (from the study file's own; {task} is filled in), or `scratch`",
    ),
    "revision": Field(**_text(str), meaning="hub commit, tag or branch"),
    "shape": Field(
        **_text(lambda text: str(parse_shape(text))),
        meaning="for `scratch`, and for hub models that are not in the table",
    ),
    "arch": Field(
        **_choice(*ARCHS),
        meaning="kind of encoder, for `scratch` and for hub models that are not in the table",
    ),
    "finetuned": Field(_boolean, {"type": "boolean"}, "already fine-tuned on the task"),
    "labels": Field(
        _labels,
        {
            "anyOf": [
                _LABELS,
                {"type": "object", "additionalProperties": _LABELS, "minProperties": 1},
            ]
        },
        "of a fine-tuned model whose config.json does not say it: the labels in the order of its "
        "outputs, or {task: labels}",
    ),
    "dtype": Field(**_choice("float32", "bfloat16"), meaning="of the loaded weights"),
    **_RECIPE,
    "seed": _SEED,
    "recipe": _VERSION,
}
TEACHER_DEFAULTS: dict[str, Any] = {
    "revision": "main",
    "arch": "bert",
    "finetuned": False,
    "dtype": "float32",
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 3e-5,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "max_grad_norm": 1,
    "max_length": 128,
    "precision": "auto",
    "seed": 1,
    "recipe": 1,
}

_SIZE = _number(16, 10_000_000, whole=True)
DATA_FIELDS: dict[str, dict[str, Field]] = {
    "hub": {
        "revision": Field(**_text(str), meaning="commit, tag or branch of nyu-mll/glue"),
    },
    "tsv": {
        "path": Field(
            **_text(str),
            meaning="folder in the official glue_data/ layout, from the study file's own",
        )
    },
    "synthetic": {
        "train": Field(**_SIZE, meaning="training examples"),
        "dev": Field(**_SIZE, meaning="dev examples"),
        "seed": Field(**_number(0, 2**32 - 1, whole=True), meaning="of the generator"),
    },
}
DATA_DEFAULTS: dict[str, Any] = {"revision": "main", "train": 4000, "dev": 1000, "seed": 0}
