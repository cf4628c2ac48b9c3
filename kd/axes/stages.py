"""The fields of a stage before the task, general distillation on unlabelled text: one row each.

STAGE_DEFAULTS is append-only, as RUN_DEFAULTS is: the identity of a stage leaves out what equals
its default.
"""

import re
from typing import Any

from kd.axes.fields import RECIPE, RECIPE_FIELDS, RUN_FIELDS
from kd.axes.initialisations import STAGE
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.labels import NONE
from kd.axes.terms import HARD, parse_knowledge
from kd.axes.values import Field, choice, number, or_auto, text
from kd.axes.weights import ALLOWED
from kd.runtime.errors import UserError, listing, shown

MLM = "mlm"  # the name of the masked language model loss, which takes the place of the hard labels
USUAL_MASKED = 0.15  # of the tokens, where something reads what the student says of them (BERT)


def _knowledge(value: str) -> str:
    terms = parse_knowledge(value)
    for term in terms:
        if KNOWLEDGE[term.knowledge].of_task:
            able = [name for name, row in KNOWLEDGE.items() if not row.of_task]
            raise UserError(
                f"found {shown(value)}: {term.knowledge} needs the head of a task, and a stage has "
                f"none; allowed: {NONE}, {listing(able)}"
            )
    return "+".join(str(term) for term in terms) or NONE


def _init(value: str) -> str:
    found = str(RUN_FIELDS["init"].parse(value))
    if found.startswith(STAGE):
        raise UserError(f"found {shown(value)}: a stage does not start from a stage")
    return found


_SHARE = number(0, 0.9, above=True)
_BIG = number(1, 1e13, whole=True)

# Of the corpus of a stage. `files` and `hub` are read by `kd.study.stage_keys`.
CORPUS_FIELDS: dict[str, Field] = {
    "format": Field(
        **choice("text", "jsonl", "parquet"),
        meaning="format of the files. Without it, the ending of their names decides. text: one "
        "sentence or paragraph a line, a blank line between documents",
    ),
    "column": Field(
        **text(str), meaning="column of the text, in JSON lines, Parquet and the hub (text)"
    ),
    "config": Field(**text(str), meaning="configuration of the dataset on the hub"),
    "revision": Field(
        **text(str, pattern="^[0-9a-f]{40}$"), meaning="commit of the dataset, 40 hex digits"
    ),
    "split": Field(**text(str), meaning="split of the dataset on the hub (train)"),
    "held_out": Field(
        **_SHARE, meaning="share of the lines or records that is never trained on (0.01)"
    ),
}
CORPUS_DEFAULTS: dict[str, Any] = {"column": "text", "split": "train", "held_out": 0.01}

STAGE_FIELDS: dict[str, Field] = {
    "teacher": Field(**text(str), meaning="a name under `teachers`; its encoder as pretrained"),
    "init": Field(**text(_init), meaning="how the student starts; not from a stage"),
    "knowledge": Field(
        **text(_knowledge),
        meaning="terms as in a run, of types that need no task; none with mlm alone",
    ),
    **{
        name: RUN_FIELDS[name]
        for name in ("matching", "mapping", "temperature", "projection", "relation_heads")
    },
    MLM: Field(
        RUN_FIELDS["hard_weight"].parse,
        RUN_FIELDS["hard_weight"].schema,
        f"weight of the masked language model loss: {ALLOWED}, or 0",
    ),
    "masked": Field(
        **or_auto(number(0, 0.9)),
        meaning=f"share of the tokens that are masked, for teacher and student alike; auto: "
        f"{USUAL_MASKED} with mlm or mlm-logits, else 0",
    ),
    "weights": Field(
        **choice("fixed", "calibrated"),
        meaning="calibrated: a term's weight is its share of the gradient at step 0",
    ),
    "steps": Field(**_BIG, meaning="optimiser steps. Give steps or tokens"),
    "tokens": Field(
        **_BIG, meaning="tokens read in all, repetitions included. Give steps or tokens"
    ),
    **{name: field for name, field in RECIPE_FIELDS.items() if name != "epochs"},
    "recipe": RUN_FIELDS["recipe"],
    "seed": RUN_FIELDS["seed"],
}
STAGE_DEFAULTS: dict[str, Any] = {
    "init": "random",
    "matching": "default",
    "mapping": "uniform",
    "temperature": 2,
    "projection": "per-pair",
    "relation_heads": "auto",
    MLM: 0,
    "masked": "auto",
    "weights": "fixed",
    "batch_size": 64,
    "learning_rate": 5e-4,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "max_grad_norm": 1,
    "max_length": 128,
    "precision": "auto",
    "recipe": RECIPE,
    "seed": 1,
}


def as_stage_part(name: str) -> str:
    """A part of a stage's loss, as its files name it: `mlm` for what a task calls `hard`."""
    return re.sub(rf"(?<![a-z-]){HARD}(?![a-z-])", MLM, name)
