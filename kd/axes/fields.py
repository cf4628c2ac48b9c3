"""The fields of a run and of a teacher: types, bounds, defaults and meaning. One row each.

RUN_DEFAULTS and TEACHER_DEFAULTS are append-only. The identity of a run leaves out fields that
equal their defaults, so a changed default would silently change the meaning of old results. The
default of a new field is the value that the code used before the field existed.
"""

from typing import Any

from kd.axes.architectures import ARCHS
from kd.axes.errata import TEMPERATURE_SCHEDULES, parse_errata
from kd.axes.extra import EXTRA_DEFAULTS, EXTRA_FIELDS
from kd.axes.initialisations import parse_init
from kd.axes.knowledge import KNOWLEDGE
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
from kd.runtime.errors import UserError, shown


def _hard_weight(value: object) -> int | float | str:
    """Read a number, or a schedule as in `weights`."""
    try:
        return _WEIGHT_NUMBER["parse"](value)
    except UserError:
        if not isinstance(value, str):
            raise
    try:
        weight = parse_weight(value)
    except UserError as error:
        raise UserError(f"{error}; or 0") from None
    return _WEIGHT_NUMBER["parse"](weight.start) if weight.constant else str(weight)


def _matchings() -> tuple[str, ...]:
    return ("default", *sorted({name for table in MATCHINGS.values() for name in table}))


def _matching(value: object) -> str:
    return str(choice(*_matchings())["parse"](value))  # of now: a plugin may have added some


def _knowledge(value: object) -> str:
    terms = parse_knowledge(value)
    for term in terms:
        if KNOWLEDGE[term.knowledge].of_text:
            raise UserError(
                f"found {shown(value)}: {term.knowledge} is of masked tokens, which only a stage "
                f"before the task has (the key `stages`)"
            )
    return "+".join(str(term) for term in terms) or NONE


_WEIGHT_NUMBER = number(0, 1e6)
_PAIRS = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "minItems": 1}

# Training recipe, shared by runs, teachers and stages.
RECIPE_FIELDS: dict[str, Field] = {
    "epochs": Field(**number(0, 1000, above=True), meaning="passes over the training split"),
    "batch_size": Field(**number(1, 65536, whole=True), meaning="examples per step"),
    "learning_rate": Field(**number(0, 1, above=True), meaning="peak of AdamW's learning rate"),
    "weight_decay": Field(**number(0, 1), meaning="weight decay of AdamW, only on matrices"),
    "warmup": Field(
        **number(0, 1), meaning="share of the steps in which the learning rate rises to its peak"
    ),
    "max_grad_norm": Field(
        **number(0, 1e6, above=True), meaning="gradients are clipped to this norm"
    ),
    "max_length": Field(
        **number(8, 8192, whole=True), meaning="largest number of tokens; longer inputs are cut"
    ),
    "precision": Field(
        **choice("auto", "fp32", "bf16"),
        meaning="number format of the training. auto is bf16 autocast on a GPU that has it, and "
        "fp32 otherwise. Outputs of a teacher are computed in the teacher's dtype",
    ),
}
_SEED = Field(
    **number(0, 2**32 - 1, whole=True),
    meaning="seed of weights, projections, data order and dropout. Each has its own generator, so "
    "that none depends on what another has drawn",
)

RECIPE = 1  # version of what the code computes; runs of older versions cannot be made any more
_VERSION = Field(
    **number(RECIPE, RECIPE, whole=True),
    meaning="version of what the code computes; 1 is the only one",
)

_FRACTION: dict[str, Field] = {
    "train_fraction": Field(
        **number(0, 1, above=True),
        meaning="share of the training examples of each label. The examples of a smaller share are "
        "among those of a larger one",
    ),
    "fraction_seed": Field(
        **number(0, 2**32 - 1, whole=True),
        meaning="seed of the choice of examples for `train_fraction`. It does not depend on `seed`",
    ),
}

_HELD_OUT: dict[str, Field] = {
    "held_out": Field(
        **number(0, 0.9),
        meaning="share of the training examples, of each label, that is left out of the training "
        "of students and teachers and scored separately; `select` sets it",
    ),
    "held_out_seed": Field(
        **number(0, 2**32 - 1, whole=True), meaning="seed of the choice of examples for `held_out`"
    ),
}

# In the order of the columns of runs.csv.
RUN_FIELDS: dict[str, Field] = {
    "task": Field(
        **text(str, examples=[*TASKS]),
        meaning="name of a GLUE task, of a generated task, or of a task under `tasks`",
    ),
    "teacher": Field(**text(str), meaning="name of a teacher under `teachers`"),
    "student": Field(
        **text(lambda name: str(parse_shape(name))),
        meaning="shape of the student: 6L-384, 6L-384-12h-1536, or a known name",
    ),
    "preset": Field(
        **text(check_preset),
        meaning="published method of kd/axes/presets, which stands for the keys that it sets",
    ),
    "init": Field(**text(parse_init), meaning="weights with which the student starts"),
    "knowledge": Field(
        **text(_knowledge),
        meaning="what the student imitates: terms type[:matching][@mapping][*weight], joined by +",
    ),
    "matching": Field(
        _matching, choice(*_matchings())["schema"], meaning="matching of terms that name none"
    ),
    "mapping": Field(
        parse_mapping,
        {"anyOf": [{"type": "string", "minLength": 1}, _PAIRS]},
        "layer mapping of terms that name none",
    ),
    "temperature": Field(
        **number(0, 1000, above=True), meaning="temperature tau of the soft labels"
    ),
    "temperature_schedule": Field(
        **choice(*TEMPERATURE_SCHEDULES),
        meaning="flsw and cwsm give every example a temperature of its own",
    ),
    "probability_shift": Field(
        boolean,
        {"type": "boolean"},
        "whether the teacher's largest logit and its logit of the right class are swapped",
    ),
    "hard_weight": Field(
        _hard_weight,
        {"anyOf": [_WEIGHT_NUMBER["schema"], {"type": "string", "minLength": 1}]},
        f"weight of the hard-label loss next to the terms: {ALLOWED}; or 0",
    ),
    "weights": Field(
        **choice("fixed", "calibrated", "balanced"),
        meaning="calibrated: weights are shares of the student's gradient at step 0. balanced: at "
        "every step the losses of the terms are scaled to the size of the logits' loss",
    ),
    "projection": Field(
        **choice(*PROJECTIONS),
        meaning="projections from the width of the student to that of the teacher",
    ),
    "relation_heads": Field(
        **or_auto(number(1, 4096, whole=True)),
        meaning="number A_r of relation heads of Q, K and V relations. auto is the student's "
        "number of heads if that divides the teacher's width, and otherwise the largest number up "
        "to 12 that divides both widths",
    ),
    "errata": Field(
        **text(parse_errata),
        meaning="known defects of published code that are switched on, joined by +",
    ),
    **_FRACTION,
    "teacher_data": Field(
        **choice("all", "same"),
        meaning="training data of the teacher: all examples, or the same `train_fraction` of them "
        "as the student's",
    ),
    **EXTRA_FIELDS,
    **_HELD_OUT,
    **RECIPE_FIELDS,
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
    "held_out": 0,
    "held_out_seed": 0,
    **EXTRA_DEFAULTS,
}


_LABELS = {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 1}
TEACHER_FIELDS: dict[str, Field] = {
    "model": Field(
        **text(str),
        meaning="hub id, folder ({task} is filled in; relative to the study file), or `scratch`",
    ),
    "revision": Field(**text(str), meaning="hub commit, tag or branch"),
    "shape": Field(
        **text(lambda name: str(parse_shape(name))),
        meaning="shape, for `scratch`, and for hub models whose config.json cannot be had",
    ),
    "arch": Field(
        **choice(*ARCHS),
        meaning="architecture, for `scratch`, and for hub models whose config.json cannot be had",
    ),
    "finetuned": Field(
        boolean, {"type": "boolean"}, "whether the model is already fine-tuned on the task"
    ),
    "labels": Field(
        label_names,
        {
            "anyOf": [
                _LABELS,
                {"type": "object", "additionalProperties": _LABELS, "minProperties": 1},
            ]
        },
        "labels in the order of the model's outputs, or {task: labels}, for a fine-tuned model "
        "whose config.json does not name them",
    ),
    "dtype": Field(**choice("float32", "bfloat16"), meaning="number format of the loaded weights"),
    **RECIPE_FIELDS,
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
    # Not keys of a teacher: a run with `teacher_data: same`, or with `held_out`, sets them.
    "train_fraction": 1,
    "fraction_seed": 0,
    "held_out": 0,
    "held_out_seed": 0,
}
# With random weights, the recipe for pretrained encoders leaves a teacher at the constant answer.
SCRATCH_DEFAULTS: dict[str, Any] = {"epochs": 6, "learning_rate": 5e-4}

_SIZE = number(16, 10_000_000, whole=True)
DATA_FIELDS: dict[str, dict[str, Field]] = {
    "hub": {
        "revision": Field(**text(str), meaning="commit, tag or branch of nyu-mll/glue"),
    },
    "tsv": {
        "path": Field(
            **text(str),
            meaning="folder in the official glue_data/ layout, relative to the study file",
        )
    },
    "synthetic": {
        "train": Field(**_SIZE, meaning="training examples"),
        "dev": Field(**_SIZE, meaning="dev examples"),
        "seed": Field(**number(0, 2**32 - 1, whole=True), meaning="seed of the generator"),
    },
}
DATA_DEFAULTS: dict[str, Any] = {"revision": "main", "train": 4000, "dev": 1000, "seed": 0}
