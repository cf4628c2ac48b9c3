"""The knowledge terms of a cell with matching, layer pairs and weight, or why they are pruned."""

from collections.abc import Iterable, Iterator
from typing import Any

from kd.axes.architectures import attention_obstacle
from kd.axes.errata import ERRATA, errata_of
from kd.axes.forms import LOGITS
from kd.axes.initialisations import EXPLICIT, INITIALISATIONS, PCA, TRUNCATE
from kd.axes.kinds import CLASSES, LABELS, Kind
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import Pairs, mapping_row, moves, resolve_mapping
from kd.axes.matchings import MEANINGLESS, Matching
from kd.axes.projections import is_projected
from kd.axes.shapes import Shape
from kd.axes.terms import RawTerm, Term, balanced_terms, matchings_of, measure_of
from kd.axes.weights import Weight, as_weight, idle_part
from kd.encoders import facts
from kd.runtime.errors import Pruned, listing

Cell = dict[str, Any]
IN_TERMS = "reversed-last-k"  # an erratum that only changes layer pairs


def resolve_term(
    raw: RawTerm,
    cell: Cell,
    kind: Kind,
    classes: int,
    student: Shape,
    encoder: facts.Encoder,
) -> Term:
    """A term with its matching, layer pairs and weight. `classes` counts the logits.

    Raises:
        Pruned: the term is not defined for this student and teacher.
    """
    row, teacher = KNOWLEDGE[raw.knowledge], encoder.shape
    _prune(_capture_obstacles(raw.knowledge, encoder.arch))
    name, matching = _matching(raw, cell, kind)
    _prune(
        _matching_obstacles(raw.knowledge, name, matching, cell, kind, classes, student, teacher)
    )
    if row.form.relation_heads:
        _prune(_relation_obstacles(cell["relation_heads"], student, teacher))
    if not row.layered:
        _prune(_projection_obstacles(raw.knowledge, name, matching, "", cell, student, teacher))
        return Term(raw.knowledge, name, ((0, 0),), raw.weight)
    mapping = raw.mapping or cell["mapping"]
    pairs = resolve_mapping(mapping, teacher.layers, student.layers, cell["seed"])
    moving = mapping if moves(mapping, pairs) else ""
    if IN_TERMS in errata_of(cell["errata"]) and is_last_k(mapping):
        pairs = reversed_pairs(pairs)
    _prune(_pair_obstacles(raw.knowledge, mapping, pairs, moving))
    if moving == "attention-weighted":
        _prune(_mixing_obstacles(raw.knowledge, name, matching, mapping))
    _prune(_layer_obstacles(raw.knowledge, mapping, pairs, student, teacher))
    _prune(_projection_obstacles(raw.knowledge, name, matching, moving, cell, student, teacher))
    # Hidden states of layer 0 are the embeddings.
    knowledge = "embedding" if (raw.knowledge, pairs) == ("hidden", ((0, 0),)) else raw.knowledge
    return Term(knowledge, name, pairs, raw.weight, moving)


def _prune(obstacles: Iterator[str]) -> None:
    """Prune the cell if there is an obstacle; the first is the reason."""
    for obstacle in obstacles:
        raise Pruned(obstacle)


def _matching(raw: RawTerm, cell: Cell, kind: Kind) -> tuple[str, Matching]:
    """The matching of a term, or of the cell if the term names none, with its name."""
    defined = matchings_of(raw.knowledge, kind)
    first = next(iter(defined))
    name = raw.matching or cell["matching"]
    name = first if name == "default" else name
    if name not in defined:
        of_kind = defined != matchings_of(raw.knowledge, CLASSES)
        what = f"{raw.knowledge} of {kind.phrase}" if of_kind else raw.knowledge
        why = MEANINGLESS[kind].get(name, "") if of_kind else ""
        hint = "" if raw.matching else f"; name one in the term, as in {raw.knowledge}:{first}"
        raise Pruned(
            f"{what} has no matching {name}{why and ', ' + why} (it has {listing(defined)}){hint}"
        )
    return name, defined[name]


# Each of these yields reasons why a term is not defined, the most important first.


def _capture_obstacles(knowledge: str, arch: str) -> Iterator[str]:
    needs_attention = {"query", "key", "value"} & set(KNOWLEDGE[knowledge].features)
    if needs_attention and (reason := attention_obstacle(arch)):
        yield f"{knowledge} needs queries, keys or values of each head, but {reason}"


def _matching_obstacles(
    knowledge: str,
    name: str,
    matching: Matching,
    cell: Cell,
    kind: Kind,
    classes: int,
    student: Shape,
    teacher: Shape,
) -> Iterator[str]:
    term, free = f"{knowledge}:{name}", f"head-mean-{name}"
    if matching.same_heads and student.heads != teacher.heads:
        known = free in matchings_of(knowledge, kind)
        hint = f"; {knowledge}:{free} does not need them equal" if known else ""
        yield (
            f"{term} compares head with head, but the student has {student.heads} heads and the "
            f"teacher {teacher.heads}{hint}"
        )
    if matching.fewest_classes > classes:
        yield (f"{term} with fewer than {matching.fewest_classes} classes {matching.with_fewer}")
    if kind is LABELS and matching.softened and cell["temperature_schedule"] != "constant":
        yield (
            f"temperature_schedule {cell['temperature_schedule']} reads the classes of an example "
            f"together, and the labels of a multi-label task stand each by itself"
        )
    if matching.fewest_examples > cell["batch_size"]:
        yield (
            f"{term} teaches nothing in batches of fewer than {matching.fewest_examples} "
            f"examples: the student would get no gradient"
        )


def _relation_obstacles(heads: int | str, student: Shape, teacher: Shape) -> Iterator[str]:
    if isinstance(heads, int) and (student.hidden % heads or teacher.hidden % heads):
        yield (
            f"relation_heads {heads} does not divide both widths "
            f"({student.hidden} and {teacher.hidden})"
        )


def _pair_obstacles(knowledge: str, mapping: str, pairs: Pairs, moving: str) -> Iterator[str]:
    if not pairs:
        yield f"mapping {mapping} leaves the last layer out, and the student has no other"
    fewest = KNOWLEDGE[knowledge].fewest_pairs
    distinct = min(len({pair[side] for pair in pairs}) for side in (0, 1))
    if fewest > 1 and (moving or distinct < fewest):
        yield (
            f"{knowledge} relates at least {fewest} different layers that stay mapped, but mapping "
            f"{mapping} has {'pairs that change' if moving else distinct}"
        )


def _mixing_obstacles(knowledge: str, name: str, matching: Matching, mapping: str) -> Iterator[str]:
    if KNOWLEDGE[knowledge].features != ("hidden",):
        yield f"mapping {mapping} mixes the outputs of layers, and {knowledge} has none"
    if matching.both_projected:
        yield f"{knowledge}:{name} projects both sides, so {mapping} cannot mix them"


def _projection_obstacles(
    knowledge: str,
    name: str,
    matching: Matching,
    moving: str,
    cell: Cell,
    student: Shape,
    teacher: Shape,
) -> Iterator[str]:
    widths = student.hidden, teacher.hidden
    projected = is_projected(knowledge, matching, moving, *widths)
    if cell["projection"] == "none" and projected and widths[0] != widths[1]:
        yield (
            f"projection none compares vectors of equal width, but {knowledge}:{name} has a "
            f"student of width {widths[0]} and a teacher of width {widths[1]}"
        )


def _layer_obstacles(
    knowledge: str, mapping: str, pairs: Pairs, student: Shape, teacher: Shape
) -> Iterator[str]:
    lowest = KNOWLEDGE[knowledge].lowest_layer
    for t, s in pairs:
        if not (lowest <= t <= teacher.layers and lowest <= s <= student.layers):
            yield (
                f"mapping {mapping} pairs teacher layer {t} with student layer {s}, but "
                f"{knowledge} has layers {lowest} to {teacher.layers} in the teacher and to "
                f"{student.layers} in the student"
            )


def is_last_k(mapping: str) -> bool:
    """Whether a mapping is last-K, as `last-2`, but not `last-only` or `last-to-2`."""
    return mapping.removeprefix("last-").isdigit()


def reversed_pairs(pairs: Pairs) -> Pairs:
    """The same layers, with those of the teacher in reverse order."""
    return tuple((t, s) for (t, _), (_, s) in zip(reversed(pairs), pairs, strict=True))


def relation_heads(student: Shape, teacher: Shape) -> int:
    """Default A_r: the student's number of heads if it divides the teacher's width too.

    Otherwise it is the largest number up to 12 that divides both widths (MiniLMv2,
    arXiv:2012.15828).
    """
    if teacher.hidden % student.heads == 0:
        return student.heads
    return max(n for n in range(1, 13) if student.hidden % n == teacher.hidden % n == 0)


def check_weights(
    cell: Cell, terms: tuple[Term, ...], init: Any, student: Shape, encoder: facts.Encoder
) -> None:
    """Check that the terms and their weights make an objective.

    Raises:
        Pruned: two terms are equal, or a part of the training would teach nothing.
    """
    if len({(t.knowledge, t.matching, t.pairs, t.moving) for t in terms}) < len(terms):
        raise Pruned(f"{cell['knowledge']}: two terms are the same once all is filled in")
    weights = [as_weight(cell["hard_weight"]), *(t.weight for t in terms)]
    if terms and (idle := idle_part(weights)):
        raise Pruned(
            f"nothing is learned from {idle[0]:g} to {idle[1]:g} % of the training: every weight "
            f"is 0 there"
        )
    if cell["weights"] == "balanced" and balanced_terms(terms):
        _prune(_balance_obstacles(terms, as_weight(cell["hard_weight"])))
    depth = _copied_depth(init, student, encoder.shape) if cell["weights"] == "calibrated" else -1
    for term in terms:
        whole = depth == student.layers == encoder.shape.layers
        equal = all(t == s <= depth for t, s in term.pairs)
        if whole if KNOWLEDGE[term.knowledge].form is LOGITS else equal:
            raise Pruned(
                f"weights calibrated need gradients at step 0, but init {cell['init']} starts this "
                f"student as a copy of what {term.knowledge} compares: the term is 0 there (but "
                f"for dropout)"
            )


def _balance_obstacles(terms: tuple[Term, ...], hard: Weight) -> Iterator[str]:
    of_logits = sum(term.knowledge == "logits" for term in terms)
    if of_logits > 1:
        yield f"weights balanced go by the loss of the logits, but {of_logits} terms compare logits"
    measure = measure_of(terms)
    weight = measure.weight if measure else hard
    if not weight.start > 0 or (weight.since, weight.until) != (0, 100):
        name = "the logits" if measure else "the hard labels"
        yield (
            f"weights balanced go by the loss of {name}, so its weight must be above 0 from the "
            f"first step to the last; it is {weight}"
        )


def _copied_depth(init: Any, student: Shape, teacher: Shape) -> int:
    """The highest layer up to which all start equal to the teacher's; 0 for the embeddings alone,
    -1 if not even they do."""
    widths = [(shape.hidden, shape.heads, shape.ffn) for shape in (student, teacher)]
    if init == PCA and student.hidden == teacher.hidden:
        return 0
    if not isinstance(init, str) or not init.startswith(EXPLICIT) or widths[0] != widths[1]:
        return -1
    pairs = init.removeprefix(EXPLICIT).removesuffix(TRUNCATE).split(",")
    depth = 0
    while depth < len(pairs) and pairs[depth] == f"{depth + 1}-{depth + 1}":
        depth += 1
    return depth


def rows_used(
    kind: Kind, terms: tuple[Term, ...], mapped: Iterable[tuple[RawTerm, str]], init: str
) -> Iterator[object]:
    """The rows of tables that a training uses, of those that a plugin may add to."""
    for term in terms:
        yield KNOWLEDGE[term.knowledge]
        yield matchings_of(term.knowledge, kind)[term.matching]
    yield from (mapping_row(m) for raw, m in mapped if KNOWLEDGE[raw.knowledge].layered)
    yield INITIALISATIONS.get(init.removesuffix(TRUNCATE))


def possible_errata(
    cell: Cell,
    terms: tuple[Term, ...],
    kind: Kind,
    encoder: facts.Encoder,
    reversible: bool,
) -> list[str]:
    """The errata that can affect the outcome of a cell, in table order."""
    taught = [KNOWLEDGE[t.knowledge] for t in terms]
    softened = any(matchings_of(t.knowledge, kind)[t.matching].softened for t in terms)
    scaled = cell["temperature"] != 1 and cell["temperature_schedule"] == "constant"
    possible = {
        "double-softmax": any(row.form.softmax for row in taught),
        "no-tau-squared": softened and scaled,
        "padding": any(row.masked for row in taught),
        "teacher-in-training": bool(terms) and encoder.dropout,
        "reversed-last-k": reversible,
    }
    assert set(possible) == set(ERRATA)
    return [name for name in ERRATA if possible[name]]
