"""Turns a cell into a canonical run, or says why the cell cannot run.

All names of a complete cell are resolved (shape, matching, layer pairs). Fields that cannot affect
the outcome or equal their default are dropped. The id of the run is a slug and a hash of the rest.
So equal cells are one run, and a new field with a default leaves old ids as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kd.axes.architectures import shape_obstacle
from kd.axes.errata import PADDED, errata_of
from kd.axes.extra import OF_AUGMENTATION
from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.axes.initialisations import PRETRAINED, STAGE
from kd.axes.kinds import Kind
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.labels import INERT, NONE
from kd.axes.metrics import METRICS
from kd.axes.plugins import Plugin, hashes, plugins_of
from kd.axes.presets import lacks_stage
from kd.axes.shapes import Shape, parse_shape
from kd.axes.tasks import Task
from kd.axes.terms import RawTerm, Term, matchings_of, parse_knowledge, weight_text
from kd.data.slice_share import check_share, drawn_differently
from kd.encoders import facts
from kd.runtime.errors import Pruned, UserError
from kd.runtime.hashes import short_hash
from kd.study.assistant import as_teacher, assistant_cell, shared_with
from kd.study.assistant_keys import RUN
from kd.study.check import Study
from kd.study.extra import Extra, extras_of, inert_of_extras, is_alone, tokens_with
from kd.study.inert import (
    as_shares,
    inert_fields,
    projected_terms,
    reads_teacher,
    same_projection,
)
from kd.study.initialisation import (
    check_init,
    check_same_tokens,
    init_identity,
    located_init,
    pretrained,
)
from kd.study.stage import Stage, resolve_stage
from kd.study.tasks import task_of
from kd.study.teacher import Teacher, given_segments, resolve_teacher, tokens_id_of
from kd.study.terms import (
    IN_TERMS,
    Cell,
    check_weights,
    is_last_k,
    possible_errata,
    resolve_term,
    reversed_pairs,
    rows_used,
)

# What became terms and weights, or extra examples.
_DECIDED = ("preset", "init", "knowledge", "matching", "mapping", *OF_AUGMENTATION, "transfer")
_SETTINGS = [name for name in RUN_DEFAULTS if name not in _DECIDED]


@dataclass(frozen=True)
class Run:
    """One fully specified distillation of one student.

    Three dictionaries have the fields of a run as keys, each for one use:

    - `spec` identifies the run. It has all that the numbers depend on, without fields that are
      inert or have their default. The id is its hash, and `spec.json` has it.
    - `values` is for the training: every setting of the recipe and the objective as a number or a
      name, with defaults.
    - `labels` is for people: every axis as text, in the words of the study, with the marks of
      `axes.labels`. `runs.csv` has them.
    """

    id: str
    spec: dict[str, Any] = field(hash=False)
    labels: dict[str, str] = field(hash=False)
    values: dict[str, Any] = field(hash=False)
    task_row: Task
    terms: tuple[Term, ...]
    teacher: Teacher
    needs_teacher: bool
    donor: facts.Encoder | None  # what `init: pretrained:MODEL` starts from
    stage: Stage | None  # what `init: stage:NAME` starts from
    data_id: str
    tokens_id: str
    plugins: tuple[Plugin, ...] = ()  # those of which it uses something
    extras: tuple[Extra, ...] = ()  # examples without labels, of which its tokens have some

    @property
    def alone(self) -> bool:
        """Whether it learns from extra examples alone."""
        return is_alone(self.values)

    @property
    def assistants(self) -> tuple["Run", ...]:
        """The runs whose students are its teacher, the teacher of that one, and so on; the first
        that is trained comes first."""
        taught_by = self.teacher.student_of if self.needs_teacher else None
        return (*taught_by.assistants, taught_by) if taught_by else ()

    @property
    def task(self) -> str:
        """Name of the task in ids and folders."""
        return str(self.spec["task"])

    @property
    def objective(self) -> str:
        """The canonical terms as text; `none` where only hard labels are learned."""
        return " + ".join(map(str, self.terms)) or NONE


def resolve(study: Study, cell: Cell) -> Run:
    """The run of a complete cell.

    Raises:
        Pruned: the cell cannot run; the message says why.
    """
    if lacking := lacks_stage(cell["preset"], cell["knowledge"], cell["init"].startswith(STAGE)):
        raise Pruned(lacking)
    task, shape = task_of(study, cell["task"]), parse_shape(cell["student"])
    if cell["held_out"]:
        size = study.data["train"] if task.synthetic else task.examples
        check_share(task, size, cell["held_out"])
    teacher = _teacher(study, cell)
    _check_encoder(cell, shape, teacher.encoder)
    start = located_init(cell["init"], shape, study.path)
    stage = None
    if start.startswith(STAGE):
        stage = resolve_stage(study, start.removeprefix(STAGE), shape)
        check_same_tokens(f"init {start}", stage.encoder, teacher.encoder)
    check_init(start, shape, teacher.encoder)
    written = parse_knowledge(cell["knowledge"])
    decided = [
        resolve_term(raw, cell, task.kind, task.outputs, shape, teacher.encoder) for raw in written
    ]
    as_written = cell
    if is_alone(cell):
        cell = {**cell, "hard_weight": 0}
    if cell["weights"] == "calibrated" and decided:
        decided, cell = as_shares(decided, cell)
    terms = tuple(sorted(decided, key=str))
    init = {"stage": stage.spec} if stage else init_identity(start, shape, teacher.encoder)
    check_weights(cell, terms, init, shape, teacher.encoder)
    extras = extras_of(study, cell, task, terms, teacher.origin)
    inert = inert_fields(cell, terms, task.kind, shape, teacher.encoder)
    inert |= inert_of_extras(cell, extras)
    needs_teacher = reads_teacher(cell)
    mappings = [raw.mapping or cell["mapping"] for raw in written]
    reversible = any(
        is_last_k(m) and reversed_pairs(t.pairs) != t.pairs
        for m, t in zip(mappings, decided, strict=True)
    )
    possible = possible_errata(cell, terms, task.kind, teacher.encoder, reversible)
    if not possible:
        inert.add("errata")
    errata = [name for name in possible if name in errata_of(cell["errata"])]
    shown = {**as_written, "errata": "+".join(errata) or NONE}
    labels = _labels(shown, written, decided, inert, task.kind)
    projected = projected_terms(terms, task.kind, shape, teacher.encoder.shape)
    cell = {
        **cell,
        "errata": "+".join(e for e in errata if e != IN_TERMS) or NONE,
        "projection": same_projection(cell["projection"], projected),
    }

    rows = rows_used(task.kind, terms, zip(written, mappings, strict=True), cell["init"])
    plugins = plugins_of([*rows, *(METRICS[name] for name in (*task.metrics, *task.others))])
    identity = dict(teacher.identity if needs_teacher else teacher.encoder.identity)
    settings = {k: cell[k] for k in _SETTINGS}
    spec = {
        "task": task.name,
        "data": dict(teacher.data),
        "student": str(shape),
        "teacher": identity,
        "objective": [str(term) for term in terms],
        **({"init": init} if init != RUN_DEFAULTS["init"] else {}),
        **({"extra": [dict(extra.spec) for extra in extras]} if extras else {}),
        **({"alone": True} if is_alone(cell) else {}),
        **{k: v for k, v in settings.items() if k not in inert and v != RUN_DEFAULTS[k]},
        **drawn_differently(task.kind, cell),
        **({} if needs_teacher else given_segments(teacher.origin, task)),
        **({"padded": True} if PADDED & errata_of(cell["errata"]) else {}),
        **({"plugins": hashes(plugins)} if plugins else {}),
    }
    return Run(
        id=f"{_slug(task.name, shape, terms)}-{short_hash(spec)}",
        spec=spec,
        labels=labels,
        values=settings | {k: cell[k] for k in (*OF_AUGMENTATION, "transfer")},
        task_row=task,
        terms=terms,
        teacher=teacher,
        needs_teacher=needs_teacher,
        donor=pretrained(start, shape) if start.startswith(PRETRAINED) else None,
        stage=stage,
        data_id=teacher.data_id,
        tokens_id=tokens_with(tokens_id_of(teacher.encoder, cell["max_length"]), extras),
        plugins=plugins,
        extras=extras,
    )


def _check_encoder(cell: Cell, shape: Shape, encoder: facts.Encoder) -> None:
    """Check what the teacher's encoder allows its student.

    Raises:
        Pruned: it reads shorter inputs, or its kind has no encoders of this shape.
    """
    if encoder.positions is not None and cell["max_length"] > encoder.positions:
        raise Pruned(
            f"max_length {cell['max_length']} is above the {encoder.positions} tokens that "
            f"the teacher's encoder can read"
        )
    if reason := shape_obstacle(encoder.arch, shape, encoder.shape):
        raise Pruned(reason)


def _teacher(study: Study, cell: Cell) -> Teacher:
    """The teacher of a cell, fine-tuned on all examples or on those of its student.

    Raises:
        Pruned: it should be fine-tuned on a fraction of the examples, and is fine-tuned already.
    """
    if RUN in study.teachers[cell["teacher"]]:
        return _assistant(study, cell["teacher"], tuple(shared_with(cell).items()))
    held = {"held_out": cell["held_out"]}
    if cell["held_out"]:
        held["held_out_seed"] = cell["held_out_seed"]
    whole = resolve_teacher(study, cell["teacher"], cell["task"], **held)
    if cell["teacher_data"] == "all" or cell["train_fraction"] == 1 or not reads_teacher(cell):
        return whole
    if whole.finetuned:
        raise Pruned(
            f"teacher_data same: teacher {whole.name} is fine-tuned already, on examples that "
            f"nobody can take back; allowed: all"
        )
    fraction = cell["train_fraction"], cell["fraction_seed"]
    return resolve_teacher(study, cell["teacher"], cell["task"], *fraction, **held)


@cache
def _assistant(study: Study, name: str, shared: tuple[tuple[str, Any], ...]) -> Teacher:
    """The teacher assistant of that name, for runs with these fields.

    Raises:
        UserError: its student's shape is impossible.
        Pruned: its own run cannot be made.
    """
    cell = assistant_cell(study, name, dict(shared))
    encoder = _teacher(study, cell).encoder
    if reason := shape_obstacle(encoder.arch, parse_shape(cell["student"]), encoder.shape):
        raise UserError(f"teachers.{name}.{RUN}.student: {reason}")
    try:
        return as_teacher(name, resolve(study, cell))
    except Pruned as reason:
        raise Pruned(f"teacher {name} cannot be trained: {reason}") from None


def _labels(
    cell: Cell,
    written: Sequence[RawTerm],
    decided: Sequence[Term],
    inert: set[str],
    kind: Kind,
) -> dict[str, str]:
    """The labels of a run: axis values in the words of the study, '-' if they have no effect."""
    both = sorted(zip(written, decided, strict=True), key=lambda pair: _in_table_order(pair[0]))
    raw, decided = [pair[0] for pair in both], [pair[1] for pair in both]
    labels = {k: INERT if k in inert else str(cell[k]) for k in RUN_FIELDS}
    names = [t.knowledge + weight_text(t.weight) for t in raw]
    labels["knowledge"] = "+".join(names) or NONE
    # The matching of the logits is named only if it is not the default or the only one.
    default = next(iter(matchings_of("logits", kind)))
    beyond = [t.matching for t in decided if (t.knowledge, t.matching) != ("logits", default)]
    labels["matching"] = _joined(beyond or [t.matching for t in decided])
    labels["mapping"] = _joined(
        [t.mapping or cell["mapping"] for t in raw if KNOWLEDGE[t.knowledge].layered]
    )
    labels["init"] = labels["init"].removeprefix(PRETRAINED)
    if any(KNOWLEDGE[t.knowledge].form.relation_heads for t in decided):
        labels["relation_heads"] = str(cell["relation_heads"])
    return labels


def _joined(values: list[str]) -> str:
    """One value if all are equal, otherwise one for each term."""
    return (values[0] if len(set(values)) == 1 else "+".join(values)) if values else INERT


def _in_table_order(term: RawTerm | Term) -> int:
    return list(KNOWLEDGE).index(term.knowledge)


def _slug(task: str, shape: Shape, terms: tuple[Term, ...]) -> str:
    """The readable start of the id: task, student, knowledge types."""
    ordered = sorted(terms, key=_in_table_order)
    types = "-".join(dict.fromkeys(t.knowledge for t in ordered)) or NONE
    return f"{task}-{shape.layers}l-{shape.hidden}-{types}"[:60].rstrip("-")
