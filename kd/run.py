"""One cell -> one canonical run, or the reason why there is none.

Every name of a complete cell is resolved (shape, matching, layer pairs), and what cannot affect the
outcome or equals its default is dropped. The run's id is a slug and a hash of what is left: equal
cells are one run, and a new field with a default leaves old ids as they are.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kd import sources
from kd.archs import arch_facts, attention_obstacle, shape_obstacle
from kd.errors import UserError, listing
from kd.fields import RUN_DEFAULTS, RUN_FIELDS, TEACHER_DEFAULTS
from kd.files import short_hash
from kd.initialisation import (
    EXPLICIT,
    PCA,
    PRETRAINED,
    TRUNCATE,
    copied_layers,
    needs_teacher,
    pairs_text,
)
from kd.knowledge import KNOWLEDGE
from kd.mapping import Pairs, moves, resolve_mapping
from kd.matching import Matching
from kd.schedules import as_weight, idle_part
from kd.shapes import Shape, parse_shape
from kd.study import Study
from kd.tasks import TASKS
from kd.terms import NONE, RawTerm, Term, matchings_of, parse_knowledge, weight_text
from kd.variants import ERRATA, errata_of

Cell = dict[str, Any]
_DECIDED = ("preset", "init", "knowledge", "matching", "mapping")  # what became terms and weights
_IN_TERMS = "reversed-last-k"  # the erratum that became layer pairs
INERT = "-"  # label of a field that cannot affect a run


class Pruned(Exception):
    """A cell has no meaning; the message says why."""


@dataclass(frozen=True)
class Teacher:
    """An encoder with its fine-tuning recipe on one task and data set."""

    name: str
    id: str
    task: str
    encoder: sources.Encoder
    finetuned: bool
    dtype: str
    recipe: dict[str, Any] = field(hash=False)
    identity: dict[str, Any] = field(hash=False)  # what its weights depend on
    data: dict[str, Any] = field(hash=False)
    data_id: str
    tokens_id: str


@dataclass(frozen=True)
class Run:
    """One fully specified distillation: `spec` is its canonical form, `labels` what tables say."""

    id: str
    spec: dict[str, Any] = field(hash=False)
    labels: dict[str, str] = field(hash=False)
    values: dict[str, Any] = field(hash=False)
    terms: tuple[Term, ...]
    teacher: Teacher
    needs_teacher: bool
    donor: sources.Encoder | None  # what `init: pretrained:MODEL` starts from
    data_id: str
    tokens_id: str

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.spec["task"])

    @property
    def objective(self) -> str:
        """The canonical terms as text; `none` where only hard labels are learned."""
        return " + ".join(map(str, self.terms)) or NONE


def resolve(study: Study, cell: Cell) -> Run:
    """The run of a complete cell.

    Raises:
        Pruned: the cell has no meaning; the reason says what would have.
    """
    task = TASKS[cell["task"]]
    teacher = _teacher(study, cell["teacher"], cell["task"])
    shape = parse_shape(cell["student"])
    if teacher.encoder.positions is not None and cell["max_length"] > teacher.encoder.positions:
        raise Pruned(
            f"max_length {cell['max_length']} is above the {teacher.encoder.positions} tokens that "
            f"the teacher's encoder can read"
        )
    if reason := shape_obstacle(teacher.encoder.arch, shape):
        raise Pruned(reason)
    _check_init(cell["init"], shape, teacher.encoder)
    written = parse_knowledge(cell["knowledge"])
    decided = [_term(raw, cell, task.regression, shape, teacher.encoder) for raw in written]
    terms = tuple(sorted(decided, key=str))
    init = _init_identity(cell["init"], shape, teacher.encoder)
    _check_weights(cell, terms, init, shape, teacher.encoder)
    inert = _inert(cell, terms, task.regression, shape, teacher.encoder)
    mappings = [raw.mapping or cell["mapping"] for raw in written]
    reversible = any(
        _is_last_k(m) and _reversed(t.pairs) != t.pairs
        for m, t in zip(mappings, decided, strict=True)
    )
    possible = _possible_errata(cell, terms, task.regression, teacher.encoder, reversible)
    if not possible:
        inert.add("errata")
    reads_teacher = bool(terms) or needs_teacher(cell["init"])
    errata = [name for name in possible if name in errata_of(cell["errata"])]
    labels = _labels({**cell, "errata": "+".join(errata) or NONE}, terms, inert, task.regression)
    cell = {**cell, "errata": "+".join(e for e in errata if e != _IN_TERMS) or NONE}

    spec: dict[str, Any] = {
        "task": cell["task"],
        "data": dict(teacher.data),
        "student": str(shape),
        "teacher": dict(teacher.identity if reads_teacher else teacher.encoder.identity),
        "objective": [str(term) for term in terms],
    }
    if init != RUN_DEFAULTS["init"]:
        spec["init"] = init
    settings = [k for k in RUN_DEFAULTS if k not in _DECIDED]
    spec |= {k: cell[k] for k in settings if k not in inert and cell[k] != RUN_DEFAULTS[k]}
    return Run(
        id=f"{_slug(cell['task'], shape, terms)}-{short_hash(spec)}",
        spec=spec,
        labels=labels,
        values={k: cell[k] for k in settings},
        terms=terms,
        teacher=teacher,
        needs_teacher=reads_teacher,
        donor=_pretrained(cell["init"], shape) if cell["init"].startswith(PRETRAINED) else None,
        data_id=teacher.data_id,
        tokens_id=_tokens_id(teacher.encoder, cell["max_length"]),
    )


@cache
def _teacher(study: Study, name: str, task: str) -> Teacher:
    data = sources.data_identity(study.data, task)
    given = study.teachers[name]
    full = {**TEACHER_DEFAULTS, **given}
    model = full["model"].replace("{task}", task)
    where = f"teachers.{name}"
    _check_teacher_keys(where, given, model)
    if model == sources.SCRATCH and study.data["source"] != "synthetic":
        raise UserError(f"{where}.model: scratch has a vocabulary only for data source synthetic")
    try:
        encoder = sources.encoder(model, full["revision"], given.get("shape"), full["arch"])
        if full["finetuned"] and encoder.revision is None and model != sources.SCRATCH:
            sources.check_outputs(encoder.location, TASKS[task])
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if encoder.positions is not None and full["max_length"] > encoder.positions:
        raise UserError(
            f"{where}.max_length: found {full['max_length']}, allowed: at most {encoder.positions}"
        )
    recipe = {k: full[k] for k in TEACHER_DEFAULTS if k in RUN_FIELDS}
    identity = _recipe_identity(encoder, full["finetuned"], full["dtype"], recipe)
    size = f"{encoder.shape.layers}l-{encoder.shape.hidden}"
    return Teacher(
        name=name,
        id=f"{encoder.arch}-{size}-{short_hash({'teacher': identity, 'task': task, 'data': data})}",
        task=task,
        encoder=encoder,
        finetuned=full["finetuned"],
        dtype=full["dtype"],
        recipe=recipe,
        identity=identity,
        data=data,
        data_id=f"{data['source']}-{short_hash(data)}",
        tokens_id=_tokens_id(encoder, full["max_length"]),
    )


def _check_teacher_keys(where: str, given: dict[str, Any], model: str) -> None:
    """A key that would change nothing is an error."""
    scratch, local = model == sources.SCRATCH, sources.is_local(model)
    known = model in sources.HUB_ENCODERS
    recipe = [k for k in given if k in RUN_FIELDS and k != "max_length"]
    for keys, idle, why in (
        (("shape", "arch"), local or known, "the model has its own"),
        (("revision",), local or scratch, "only a hub model has one"),
        (("dtype",), scratch, "scratch is float32"),
        (("finetuned",), scratch and given.get("finetuned"), "scratch is not fine-tuned"),
        (recipe, given.get("finetuned"), "a fine-tuned model is not trained"),
    ):
        for key in keys:
            if key in given and idle:
                raise UserError(f"{where}.{key}: it would change nothing: {why}")


def _recipe_identity(
    encoder: sources.Encoder, finetuned: bool, dtype: str, recipe: dict[str, Any]
) -> dict[str, Any]:
    """What a teacher's numbers depend on: encoder, dtype, and its recipe unless already tuned."""
    identity = dict(encoder.identity)
    if dtype != TEACHER_DEFAULTS["dtype"]:
        identity["dtype"] = dtype
    if finetuned:
        return {**identity, "finetuned": True, "max_length": recipe["max_length"]}
    return identity | {k: v for k, v in recipe.items() if v != TEACHER_DEFAULTS[k]}


@cache
def _tokens_id(encoder: sources.Encoder, max_length: int) -> str:
    """Of the tokens that an encoder's tokenizer makes, cut to a length."""
    return f"tokens-{short_hash({**dict(encoder.identity), 'max_length': max_length})}"


def _check_init(init: str, shape: Shape, encoder: sources.Encoder) -> None:
    teacher = encoder.shape
    if init.startswith(PRETRAINED):
        _check_pretrained(init, shape, encoder)
    elif init == PCA:
        _check_pca(shape, encoder)
    elif layers := copied_layers(init, teacher.layers, shape.layers):
        _check_layers(init, layers, shape, encoder)
        _check_widths(init, shape, teacher)


def _check_layers(init: str, layers: Pairs, shape: Shape, encoder: sources.Encoder) -> None:
    teacher = encoder.shape
    if init.startswith(EXPLICIT):
        if len(layers) != shape.layers:
            raise Pruned(
                f"init {init} starts {len(layers)} student layers, but the student has "
                f"{shape.layers}"
            )
        if (highest := max(t for t, _ in layers)) > teacher.layers:
            raise Pruned(
                f"init {init} copies teacher layer {highest}, but the teacher has only "
                f"{teacher.layers}"
            )
    elif shape.layers > teacher.layers and not arch_facts(encoder.arch).shared_layers:
        raise Pruned(
            f"init {init} copies {shape.layers} student layers, but the teacher has only "
            f"{teacher.layers}"
        )


def _check_widths(init: str, shape: Shape, teacher: Shape) -> None:
    if init.endswith(TRUNCATE):
        for part in ("hidden", "heads", "ffn", "head_size"):
            if getattr(shape, part) > getattr(teacher, part):
                raise Pruned(
                    f"init {init} can only cut, but the student's {part.replace('_', ' ')} "
                    f"({getattr(shape, part)}) is above the teacher's ({getattr(teacher, part)})"
                )
    elif (shape.hidden, shape.heads, shape.ffn) != (teacher.hidden, teacher.heads, teacher.ffn):
        raise Pruned(
            f"init {init} copies whole layers, but the student ({shape}) is not as wide as the "
            f"teacher ({teacher}); {init}{TRUNCATE} cuts a narrower one out of it"
        )


def _check_pca(shape: Shape, encoder: sources.Encoder) -> None:
    width, hidden = _embedding_width(encoder), encoder.shape.hidden
    if width != hidden:
        raise Pruned(
            f"init {PCA} has nothing to compress: the encoder keeps its embeddings {width} wide in "
            f"teacher and student alike, whatever the width of its layers ({hidden})"
        )
    if shape.hidden > hidden:
        raise Pruned(
            f"init {PCA} can only compress, but the student's hidden size ({shape.hidden}) is "
            f"above the teacher's ({hidden})"
        )


def _embedding_width(encoder: sources.Encoder) -> int:
    """Of the embedding tables: ALBERT and small ELECTRA keep them narrower than the layers."""
    usual = {"albert": 128, "electra": 128}.get(encoder.arch, encoder.shape.hidden)
    if encoder.location == sources.SCRATCH:
        return usual
    if sources.is_local(encoder.location):
        width = sources.model_config(Path(encoder.location)).get("embedding_size")
        return width if isinstance(width, int) else usual
    # On the hub, ELECTRA's base and large are as wide as their layers.
    small = encoder.arch == "albert" or encoder.location == "google/electra-small-discriminator"
    return 128 if small else encoder.shape.hidden


def _pretrained(init: str, shape: Shape) -> sources.Encoder:
    """The encoder that `pretrained:MODEL[@REVISION]` names for a student's shape."""
    name = init.removeprefix(PRETRAINED)
    for part in ("layers", "hidden", "heads"):
        name = name.replace(f"{{{part}}}", str(getattr(shape, part)))
    model, _, revision = name.partition("@")
    made_up = name != init.removeprefix(PRETRAINED)
    if made_up and not sources.is_local(model) and model not in sources.HUB_ENCODERS:
        raise Pruned(f"init {init} would be {model} for {shape}, which is not known here")
    try:
        return sources.encoder(model, revision or "main", None, "bert")
    except UserError as error:
        raise UserError(f"init {init}: {error}") from None


def _check_pretrained(init: str, shape: Shape, encoder: sources.Encoder) -> None:
    found = _pretrained(init, shape)
    if found.arch != encoder.arch:
        raise Pruned(
            f"init {init} is a {found.arch}, but the student, as its teacher, {encoder.arch}"
        )
    if found.shape != shape:
        raise Pruned(f"init {init} has the shape {found.shape}, but the student is {shape}")
    if None not in (found.vocabulary, encoder.vocabulary) and (
        found.vocabulary != encoder.vocabulary
    ):
        raise Pruned(
            f"init {init} has a vocabulary of {found.vocabulary}, but the teacher one of "
            f"{encoder.vocabulary}: student and teacher must read the same tokens"
        )


def _init_identity(init: str, shape: Shape, encoder: sources.Encoder) -> Any:
    """What identifies an initialisation: the layers copied, not the name of the rule."""
    if init.startswith(PRETRAINED):
        return {"pretrained": dict(_pretrained(init, shape).identity)}
    layers = copied_layers(init, encoder.shape.layers, shape.layers)
    if not layers:
        return init
    if arch_facts(encoder.arch).shared_layers:  # which of them is copied makes no difference
        layers = tuple((1, s) for _, s in layers)
    return pairs_text(layers)


def _term(
    raw: RawTerm, cell: Cell, regression: bool, student: Shape, encoder: sources.Encoder
) -> Term:
    row, teacher = KNOWLEDGE[raw.knowledge], encoder.shape
    if {"query", "key", "value"} & set(row.features) and (
        reason := attention_obstacle(encoder.arch)
    ):
        raise Pruned(f"{raw.knowledge} needs queries, keys or values of each head, but {reason}")
    defined = matchings_of(raw.knowledge, regression)
    matching = raw.matching or cell["matching"]
    if matching == "default":
        matching = next(iter(defined))
    if matching not in defined:
        kind = f"{raw.knowledge} of a regression" if regression else raw.knowledge
        hint = (
            ""
            if raw.matching
            else f"; name one in the term, as in {raw.knowledge}:{next(iter(defined))}"
        )
        raise Pruned(f"{kind} has no matching {matching} (it has {listing(defined)}){hint}")
    if defined[matching].same_heads and student.heads != teacher.heads:
        raise Pruned(
            f"{raw.knowledge}:{matching} compares head with head, but the student has "
            f"{student.heads} heads and the teacher {teacher.heads}"
            + _head_mean_hint(raw.knowledge, matching, defined)
        )
    if (fewest := defined[matching].fewest_classes) > TASKS[cell["task"]].outputs:
        raise Pruned(
            f"{raw.knowledge}:{matching} teaches nothing with fewer than {fewest} classes: "
            f"the student would get no gradient"
        )
    if not row.layered:
        return Term(raw.knowledge, matching, ((0, 0),), raw.weight)
    mapping = raw.mapping or cell["mapping"]
    pairs = resolve_mapping(mapping, teacher.layers, student.layers, cell["seed"])
    moving = mapping if moves(mapping, pairs) else ""
    if _IN_TERMS in errata_of(cell["errata"]) and _is_last_k(mapping):
        pairs = _reversed(pairs)
    if not pairs:
        raise Pruned(f"mapping {mapping} leaves the last layer out, and the student has no other")
    distinct = min(len({pair[side] for pair in pairs}) for side in (0, 1))
    if row.fewest_pairs > 1 and (moving or distinct < row.fewest_pairs):
        raise Pruned(
            f"{raw.knowledge} relates at least {row.fewest_pairs} different layers that stay "
            f"mapped, but mapping {mapping} has "
            + ("pairs that change" if moving else str(distinct))
        )
    if moving == "attention-weighted" and row.features != ("hidden",):
        raise Pruned(f"mapping {mapping} mixes the outputs of layers, and {raw.knowledge} has none")
    if moving == "attention-weighted" and defined[matching].both_projected:
        raise Pruned(
            f"{raw.knowledge}:{matching} projects both sides, so {mapping} cannot mix them"
        )
    for t, s in pairs:
        if not (
            row.lowest_layer <= t <= teacher.layers and row.lowest_layer <= s <= student.layers
        ):
            raise Pruned(
                f"mapping {mapping} pairs teacher layer {t} with student layer {s}, but "
                f"{raw.knowledge} has layers {row.lowest_layer} to {teacher.layers} in the "
                f"teacher and to {student.layers} in the student"
            )
    # Hidden states of layer 0 are the embeddings.
    name = "embedding" if (raw.knowledge, pairs) == ("hidden", ((0, 0),)) else raw.knowledge
    return Term(name, matching, pairs, raw.weight, moving)


def _is_last_k(mapping: str) -> bool:
    """`last-2` and the like; `last-only` and `last-to-2` are others."""
    return mapping.removeprefix("last-").isdigit()


def _reversed(pairs: Pairs) -> Pairs:
    """The same layers of both sides, the teacher's in reverse order."""
    return tuple((t, s) for (t, _), (_, s) in zip(reversed(pairs), pairs, strict=True))


def _head_mean_hint(knowledge: str, matching: str, defined: dict[str, Matching]) -> str:
    free = f"head-mean-{matching}"
    return f"; {knowledge}:{free} does not need them equal" if free in defined else ""


def relation_heads(student: Shape, teacher: Shape) -> int:
    """Default A_r: the student's heads where they divide the teacher's width too, else the largest
    number up to 12 that divides both widths (MiniLMv2, arXiv:2012.15828)."""
    if teacher.hidden % student.heads == 0:
        return student.heads
    return max(n for n in range(1, 13) if student.hidden % n == teacher.hidden % n == 0)


def _check_weights(
    cell: Cell, terms: tuple[Term, ...], init: Any, student: Shape, encoder: sources.Encoder
) -> None:
    if len({(t.knowledge, t.matching, t.pairs, t.moving) for t in terms}) < len(terms):
        raise Pruned(f"{cell['knowledge']}: two terms are the same once all is filled in")
    weights = [as_weight(cell["hard_weight"]), *(t.weight for t in terms)]
    if terms and (idle := idle_part(weights)):
        raise Pruned(
            f"nothing is learned from {idle[0]:g} to {idle[1]:g} % of the training: every weight "
            f"is 0 there"
        )
    whole = "teacher:" + ",".join(f"{n}-{n}" for n in range(1, encoder.shape.layers + 1))
    if terms and cell["weights"] == "calibrated" and (init, student) == (whole, encoder.shape):
        raise Pruned(
            f"weights calibrated need gradients at step 0, but init {cell['init']} starts this "
            f"student as a copy of the teacher, where every term is 0 (but for dropout)"
        )


def _possible_errata(
    cell: Cell,
    terms: tuple[Term, ...],
    regression: bool,
    encoder: sources.Encoder,
    reversible: bool,
) -> list[str]:
    """The errata that can affect the outcome of a cell, in table order."""
    forms = {KNOWLEDGE[t.knowledge].form for t in terms}
    softened = any(matchings_of(t.knowledge, regression)[t.matching].softened for t in terms)
    scaled = cell["temperature"] != 1 and cell["temperature_schedule"] == "constant"
    pooled = any(t.knowledge == "pooled" for t in terms)
    possible = {
        "double-softmax": "maps" in forms,
        "no-tau-squared": softened and scaled,
        "padding": pooled or bool(forms - {"logits", "vector"}),
        "teacher-in-training": bool(terms) and encoder.location != sources.SCRATCH,
        "reversed-last-k": reversible,
    }
    assert set(possible) == set(ERRATA)
    return [name for name in ERRATA if possible[name]]


def _inert(
    cell: Cell, terms: tuple[Term, ...], regression: bool, student: Shape, encoder: sources.Encoder
) -> set[str]:
    """Fields whose value cannot affect the outcome of this cell."""
    inert = set()
    softened = any(matchings_of(t.knowledge, regression)[t.matching].softened for t in terms)
    if not softened:
        inert |= {"temperature", "temperature_schedule"}
    if regression or not any(t.knowledge == "logits" for t in terms):
        inert.add("probability_shift")
    if not terms:  # the hard-label loss stands alone: its weight has nothing to be relative to
        inert |= {"hard_weight", "matching", "weights"}
    if not any(KNOWLEDGE[t.knowledge].layered for t in terms):
        inert.add("mapping")
    heads = cell["relation_heads"]
    if not any(KNOWLEDGE[t.knowledge].form == "relation" for t in terms):
        inert.add("relation_heads")
    elif heads != "auto":
        if student.hidden % heads or encoder.shape.hidden % heads:
            raise Pruned(
                f"relation_heads {heads} does not divide both widths "
                f"({student.hidden} and {encoder.shape.hidden})"
            )
        if heads == relation_heads(student, encoder.shape):
            inert.add("relation_heads")
    return inert


def _labels(
    cell: Cell, terms: tuple[Term, ...], inert: set[str], regression: bool
) -> dict[str, str]:
    """How tables name this run: axis values in the study's words, '-' where they have no effect."""
    raw = sorted(parse_knowledge(cell["knowledge"]), key=_in_table_order)
    decided = sorted(terms, key=_in_table_order)
    labels = {k: INERT if k in inert else str(cell[k]) for k in RUN_FIELDS}
    names = [t.knowledge + weight_text(t.weight) for t in raw]
    labels["knowledge"] = "+".join(dict.fromkeys(names)) or NONE
    # The logits' own matching is named only where it is not the default, or stands alone.
    default = next(iter(matchings_of("logits", regression)))
    beyond = [t.matching for t in decided if (t.knowledge, t.matching) != ("logits", default)]
    labels["matching"] = _joined(beyond or [t.matching for t in decided])
    labels["mapping"] = _joined(
        [t.mapping or cell["mapping"] for t in raw if KNOWLEDGE[t.knowledge].layered]
    )
    labels["init"] = labels["init"].removeprefix(PRETRAINED)
    if any(KNOWLEDGE[t.knowledge].form == "relation" for t in terms):
        labels["relation_heads"] = str(cell["relation_heads"])
    return labels


def _joined(values: list[str]) -> str:
    """One value where all are the same, else one for each term."""
    return (values[0] if len(set(values)) == 1 else "+".join(values)) if values else INERT


def _in_table_order(term: RawTerm | Term) -> int:
    return list(KNOWLEDGE).index(term.knowledge)


def _slug(task: str, shape: Shape, terms: tuple[Term, ...]) -> str:
    """A readable start of the id: task, student, knowledge types."""
    ordered = sorted(terms, key=_in_table_order)
    types = "-".join(dict.fromkeys(t.knowledge for t in ordered)) or NONE
    return f"{task}-{shape.layers}l-{shape.hidden}-{types}"[:60].rstrip("-")
