"""The fields of a run and of a teacher's recipe: types, bounds, defaults, meaning. One row each.

RUN_DEFAULTS and TEACHER_DEFAULTS are append-only: a run's identity leaves out what equals its
default, so editing a default would silently give old results another meaning. A new field gets the
value that the code used implicitly before.
"""

from typing import Any

from kd.axes.architectures import ARCHS
from kd.axes.errata import TEMPERATURE_SCHEDULES, parse_errata
from kd.axes.initialisations import parse_init
from kd.axes.labels import NONE
from kd.axes.mappings import parse_mapping
from kd.axes.matchings import MATCHINGS
from kd.axes.presets import check_preset
from kd.axes.projections import PROJECTIONS
from kd.axes.shapes import parse_shape
from kd.axes.tasks import TASKS
from kd.axes.terms import parse_knowledge
from kd.axes.values import Field, boolean, choice, label_names, number, or_auto, text
from kd.axes.weights import ALLOWED, parse_weight
from kd.runtime.errors import UserError


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
_WEIGHT_NUMBER = number(0, 1e6)
_PAIRS = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "minItems": 1}

# Training recipe, shared by runs and teachers.
_RECIPE: dict[str, Field] = {
    "epochs": Field(**number(0, 1000, above=True), meaning="passes over the training split"),
    "batch_size": Field(**number(1, 65536, whole=True), meaning="examples per step"),
    "learning_rate": Field(**number(0, 1, above=True), meaning="peak of AdamW's learning rate"),
    "weight_decay": Field(**number(0, 1), meaning="AdamW's, on matrices only"),
    "warmup": Field(**number(0, 1), meaning="share of the steps with a rising learning rate"),
    "max_grad_norm": Field(**number(0, 1e6, above=True), meaning="gradients are clipped to it"),
    "max_length": Field(**number(8, 8192, whole=True), meaning="tokens; longer inputs are cut"),
    "precision": Field(
        **choice("auto", "fp32", "bf16"),
        meaning="of the model that is trained; auto: bf16 autocast on a GPU that has it, else "
        "fp32; what a teacher says of the examples is computed in its dtype",
    ),
}
_SEED = Field(
    **number(0, 2**32 - 1, whole=True),
    meaning="of weights, projections, data order and dropout: each starts anew from this number, "
    "so that none depends on how much another drew",
)

RECIPE = 1  # what the code computes; an old number cannot be run any more
_VERSION = Field(
    **number(RECIPE, RECIPE, whole=True), meaning="of what the code computes; there is one"
)

_FRACTION: dict[str, Field] = {
    "train_fraction": Field(
        **number(0, 1, above=True),
        meaning="share of the training examples, of each label; a smaller one is part of a larger",
    ),
    "fraction_seed": Field(
        **number(0, 2**32 - 1, whole=True),
        meaning="of the choice of the examples of `train_fraction`, which `seed` has no part in",
    ),
}

# In the order of the columns of runs.csv.
RUN_FIELDS: dict[str, Field] = {
    "task": Field(
        **text(str, examples=[*TASKS]),
        meaning="a name under `tasks`, a GLUE task, or a generated one",
    ),
    "teacher": Field(**text(str), meaning="a name under `teachers`"),
    "student": Field(
        **text(lambda name: str(parse_shape(name))),
        meaning="6L-384, 6L-384-12h-1536, or a name of the literature",
    ),
    "preset": Field(
        **text(check_preset), meaning="a method of kd/axes/presets; stands for the keys it sets"
    ),
    "init": Field(**text(parse_init), meaning="how the student's weights start"),
    "knowledge": Field(
        **text(_knowledge), meaning="what is imitated: type[:matching][@mapping][*weight], by +"
    ),
    "matching": Field(**choice(*_MATCHINGS), meaning="for terms that name none"),
    "mapping": Field(
        parse_mapping,
        {"anyOf": [{"type": "string", "minLength": 1}, _PAIRS]},
        "for terms that name none",
    ),
    "temperature": Field(**number(0, 1000, above=True), meaning="tau of the soft labels"),
    "temperature_schedule": Field(
        **choice(*TEMPERATURE_SCHEDULES), meaning="flsw, cwsm: a temperature for every example"
    ),
    "probability_shift": Field(
        boolean,
        {"type": "boolean"},
        "swap the teacher's largest logit with that of the right class",
    ),
    "hard_weight": Field(
        _hard_weight,
        {"anyOf": [_WEIGHT_NUMBER["schema"], {"type": "string", "minLength": 1}]},
        f"weight of the hard-label loss beside terms: {ALLOWED}, or 0",
    ),
    "weights": Field(
        **choice("fixed", "calibrated", "balanced"),
        meaning="calibrated: a term's weight is its share of the student's gradient at step 0; "
        "balanced: every step brings a term to the size of the logits' loss",
    ),
    "projection": Field(
        **choice(*PROJECTIONS),
        meaning="from the student's width to the teacher's: one for each layer pair, or how else",
    ),
    "relation_heads": Field(
        **or_auto(number(1, 4096, whole=True)),
        meaning="A_r of the Q, K, V relations; auto: the student's heads where they divide the "
        "teacher's width too, else the largest number up to 12 that divides both",
    ),
    "errata": Field(**text(parse_errata), meaning="well-known defects to switch on, joined by +"),
    **_FRACTION,
    "teacher_data": Field(
        **choice("all", "same"),
        meaning="what the teacher is fine-tuned on: all training examples, or the same "
        "`train_fraction` of them as the student",
    ),
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
    "projection": "per-pair",
    "train_fraction": 1,
    "fraction_seed": 0,
    "teacher_data": "all",
}


_LABELS = {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
TEACHER_FIELDS: dict[str, Field] = {
    "model": Field(
        **text(str),
        meaning="hub id, folder (from the study file's own; {task} is filled in), or `scratch`",
    ),
    "revision": Field(**text(str), meaning="hub commit, tag or branch"),
    "shape": Field(
        **text(lambda name: str(parse_shape(name))),
        meaning="for `scratch`, and for hub models that are not in the table",
    ),
    "arch": Field(
        **choice(*ARCHS),
        meaning="kind of encoder, for `scratch` and for hub models that are not in the table",
    ),
    "finetuned": Field(boolean, {"type": "boolean"}, "already fine-tuned on the task"),
    "labels": Field(
        label_names,
        {
            "anyOf": [
                _LABELS,
                {"type": "object", "additionalProperties": _LABELS, "minProperties": 1},
            ]
        },
        "of a fine-tuned model whose config.json does not say it: the labels in the order of its "
        "outputs, or {task: labels}",
    ),
    "dtype": Field(**choice("float32", "bfloat16"), meaning="of the loaded weights"),
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
    # Not keys of a teacher: a run with `teacher_data: same` sets them.
    "train_fraction": 1,
    "fraction_seed": 0,
}

_SIZE = number(16, 10_000_000, whole=True)
DATA_FIELDS: dict[str, dict[str, Field]] = {
    "hub": {
        "revision": Field(**text(str), meaning="commit, tag or branch of nyu-mll/glue"),
    },
    "tsv": {
        "path": Field(
            **text(str),
            meaning="folder in the official glue_data/ layout, from the study file's own",
        )
    },
    "synthetic": {
        "train": Field(**_SIZE, meaning="training examples"),
        "dev": Field(**_SIZE, meaning="dev examples"),
        "seed": Field(**number(0, 2**32 - 1, whole=True), meaning="of the generator"),
    },
}
DATA_DEFAULTS: dict[str, Any] = {"revision": "main", "train": 4000, "dev": 1000, "seed": 0}
