"""The teacher of a cell: its encoder, recipe and data, and ids made from them."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.axes.fields import RECIPE, RUN_FIELDS, SCRATCH_DEFAULTS, TEACHER_DEFAULTS
from kd.axes.kinds import SCORES
from kd.axes.pretrained import HUB_ENCODERS, SCRATCH
from kd.axes.tasks import Task
from kd.data.identity import data_identity
from kd.data.slice_share import drawn_differently
from kd.encoders import facts
from kd.encoders.folder import CONFIG, label_names, model_config
from kd.encoders.label_order import (
    contradiction,
    label_order,
    other_kind,
    stated_order,
    unknown_names,
)
from kd.runtime.errors import UserError
from kd.runtime.hashes import short_hash
from kd.study.assistant_keys import RUN
from kd.study.check import Study
from kd.study.located import located_model
from kd.study.tasks import task_of

if TYPE_CHECKING:
    from kd.study.run import Run


@dataclass(frozen=True)
class Teacher:
    """An encoder with its fine-tuning recipe on one task and data set."""

    name: str
    id: str
    task_row: Task
    encoder: facts.Encoder
    finetuned: bool
    order: tuple[int, ...] | None  # its output for each official label; None: by label names
    dtype: str
    recipe: dict[str, Any] = field(hash=False)
    identity: dict[str, Any] = field(hash=False)  # what its weights depend on
    data: dict[str, Any] = field(hash=False)
    data_id: str
    tokens_id: str
    candidates: tuple["Teacher", ...] = ()  # of which the best on the slice is this teacher
    student_of: "Run | None" = None  # the run whose student a teacher assistant is

    @property
    def is_linked(self) -> bool:
        """Whether its files are links to those of another job, which has trained it."""
        return bool(self.candidates or self.student_of)

    @property
    def origin(self) -> facts.Encoder:
        """The encoder whose tokenizer and config it has. That of an assistant is the first of its
        chain."""
        return self.student_of.teacher.origin if self.student_of else self.encoder

    @property
    def task(self) -> str:
        """Name of the task in ids and folders."""
        return self.task_row.name


@cache
def resolve_teacher(
    study: Study,
    name: str,
    task: str,
    train_fraction: float = 1,
    fraction_seed: int = 0,
    held_out: float = 0,
    held_out_seed: int = 0,
) -> Teacher:
    """The teacher with this name for a task, fine-tuned on a fraction of the training examples.

    Where the study selects among recipes of teachers, it has a candidate for each of them.

    Raises:
        UserError: its model is missing or damaged, or one of its keys would change nothing.
    """
    if study.teachers[name].get("finetuned"):  # on examples that nobody can take back
        held_out = held_out_seed = 0
    examples = {
        "train_fraction": train_fraction,
        "fraction_seed": fraction_seed,
        "held_out": held_out,
        "held_out_seed": held_out_seed,
    }
    recipes = study.select.recipes if study.select else []
    if not recipes or study.teachers[name].get("finetuned"):
        return _resolved(study, name, task, examples)
    candidates = tuple(_resolved(study, name, task, {**examples, **more}) for more in recipes)
    first, ids = candidates[0], [candidate.id for candidate in candidates]
    return replace(
        first,
        id=f"{first.id.rpartition('-')[0]}-{short_hash({'selected': ids})}",
        identity={**dict(first.encoder.identity), "selected": [c.identity for c in candidates]},
        candidates=candidates,
    )


def _resolved(study: Study, name: str, task: str, changes: dict[str, Any]) -> Teacher:
    """The teacher of that name on a task, with these changes of its recipe."""
    row = task_of(study, task)
    data = data_identity(study.data, row)
    keys = study.teachers[name]
    own = SCRATCH_DEFAULTS if keys["model"] == SCRATCH else {}
    full = {**TEACHER_DEFAULTS, **own, "recipe": RECIPE, **keys, **changes}
    where = f"teachers.{name}"
    model = full["model"].replace("{task}", task)
    if model != SCRATCH:
        try:
            model = located_model(model, study.path)
        except UserError as error:
            raise UserError(f"{where}.model: {error}") from None
    _check_teacher_keys(where, keys, model)
    if model == SCRATCH and not row.synthetic:
        raise UserError(f"{where}.model: scratch has a vocabulary only for generated tasks")
    try:
        encoder = facts.encoder(model, full["revision"], keys.get("shape"), full["arch"])
        if full["finetuned"] and encoder.revision is None and model != SCRATCH:
            facts.check_outputs(encoder.location, row)
        order, named = _label_order(encoder, full, task, row)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if encoder.positions is not None and full["max_length"] > encoder.positions:
        raise UserError(
            f"{where}.max_length: found {full['max_length']}, allowed: at most {encoder.positions}"
        )
    recipe = {k: full[k] for k in TEACHER_DEFAULTS if k in RUN_FIELDS}
    identity = _recipe_identity(encoder, full["finetuned"], full["dtype"], recipe)
    identity |= drawn_differently(row.kind, recipe) | given_segments(encoder, row)
    if order is not None and order != named:
        identity["labels"] = list(order)
    size = f"{encoder.shape.layers}l-{encoder.shape.hidden}"
    whole = {"teacher": identity, "task": row.name, "data": data}
    return Teacher(
        name=name,
        id=f"{encoder.arch}-{size}-{short_hash(whole)}",
        task_row=row,
        encoder=encoder,
        finetuned=full["finetuned"],
        order=order,
        dtype=full["dtype"],
        recipe=recipe,
        identity=identity,
        data=data,
        data_id=f"{data['source']}-{short_hash(data)}",
        tokens_id=tokens_id_of(encoder, full["max_length"]),
    )


@cache
def pretrained_encoder(study: Study, name: str) -> tuple[facts.Encoder, str]:
    """The encoder of the teacher of that name as it is before any fine-tuning, and its dtype.

    Raises:
        UserError: it is missing or damaged, or has no pretrained form.
    """
    given = study.teachers[name]
    if RUN in given:
        raise UserError(
            f"found {name}, allowed: a teacher whose model is pretrained on text; {name} is the "
            f"student of a run"
        )
    full = {**TEACHER_DEFAULTS, **given}
    model = full["model"]
    for wrong, why in (
        (model == SCRATCH, "scratch has random weights"),
        (full["finetuned"], "it is fine-tuned on a task"),
        ("{task}" in model, f"{model} is of a task"),
    ):
        if wrong:
            raise UserError(
                f"found {name}, allowed: a teacher whose model is pretrained on text; {why}"
            )
    try:
        model = located_model(model, study.path)
        _check_teacher_keys(f"teachers.{name}", given, model)
        encoder = facts.encoder(model, full["revision"], given.get("shape"), full["arch"])
    except UserError as error:
        raise UserError(f"teachers.{name}: {error}") from None
    return encoder, full["dtype"]


def _check_teacher_keys(where: str, keys: dict[str, Any], model: str) -> None:
    """Refuse keys that would change nothing."""
    scratch, local = model == SCRATCH, facts.is_local(model)
    known = model in HUB_ENCODERS
    recipe = [k for k in keys if k in RUN_FIELDS and k != "max_length"]
    for names, idle, why in (
        (("shape", "arch"), local or known, "the model has its own"),
        (("revision",), local or scratch, "only a hub model has one"),
        (("dtype",), scratch, "scratch is float32"),
        (("labels",), not keys.get("finetuned"), "only a fine-tuned model has an order"),
        (("finetuned",), scratch and keys.get("finetuned"), "scratch is not fine-tuned"),
        (recipe, keys.get("finetuned"), "a fine-tuned model is not trained"),
    ):
        for key in names:
            if key in keys and idle:
                raise UserError(f"{where}.{key}: it would change nothing: {why}")


def _label_order(
    encoder: facts.Encoder, keys: dict[str, Any], task: str, row: Task
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The order of a fine-tuned teacher's labels: the one that is used, and the one in its files.

    None stands for an order that is unknown until the model is loaded from the hub.
    """
    stated = keys.get("labels")
    if isinstance(stated, dict):
        stated = stated.get(task)
    if not keys["finetuned"] or (row.kind is SCORES and stated is None):
        return None, None
    named = None
    if encoder.revision is None:
        folder = Path(encoder.location)
        config = model_config(folder)
        names = label_names(config)
        if reason := other_kind(config.get("problem_type"), row):
            raise UserError(f"{folder / CONFIG}: {reason}")
        if stated is None and (reason := contradiction(names, config.get("label2id"), row)):
            raise UserError(
                f"{folder / CONFIG}: {reason}; correct the one that is wrong, or give the teacher "
                f"the key labels"
            )
        named = label_order(names, row) if row.kind is not SCORES else None
        if named is None and stated is None:
            raise unknown_names(str(folder / CONFIG), names, row)
    if stated is None:
        return named, named
    try:
        return stated_order(stated, row), named
    except UserError as error:
        raise UserError(f"labels: {error}") from None


def _recipe_identity(
    encoder: facts.Encoder, finetuned: bool, dtype: str, recipe: dict[str, Any]
) -> dict[str, Any]:
    """All that a teacher's weights depend on: encoder, dtype, and the recipe if it is trained."""
    identity = dict(encoder.identity)
    if dtype != TEACHER_DEFAULTS["dtype"]:
        identity["dtype"] = dtype
    if finetuned:
        return {**identity, "finetuned": True, "max_length": recipe["max_length"]}
    return identity | {k: v for k, v in recipe.items() if v != TEACHER_DEFAULTS[k]}


@cache
def tokens_id_of(encoder: facts.Encoder, max_length: int) -> str:
    """The id of tokens made by an encoder's tokenizer and cut to a length."""
    told = {"segments": 2} if encoder.hides_segments else {}
    return f"tokens-{short_hash({**dict(encoder.identity), 'max_length': max_length, **told})}"


def given_segments(encoder: facts.Encoder, task: Task) -> dict[str, int]:
    """A mark for the identity of runs and teachers that read pairs with an encoder to which earlier
    versions gave no segment ids."""
    return {"segments": 2} if encoder.hides_segments and len(task.columns) > 1 else {}
