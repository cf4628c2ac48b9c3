"""Fields that cannot affect the outcome of a cell, and what their values are brought to."""

from dataclasses import replace

from kd.axes.fields import RUN_DEFAULTS
from kd.axes.forms import LOGITS
from kd.axes.initialisations import needs_teacher
from kd.axes.kinds import SCORES, Kind
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.projections import is_projected, projection_names
from kd.axes.shapes import Shape
from kd.axes.terms import Term, balanced_terms, matchings_of, parse_knowledge
from kd.axes.weights import as_weight
from kd.encoders import facts
from kd.study.terms import Cell, relation_heads


def reads_teacher(cell: Cell) -> bool:
    """Whether the student learns from the teacher or starts from its weights."""
    return bool(parse_knowledge(cell["knowledge"])) or needs_teacher(cell["init"])


def as_shares(decided: list[Term], cell: Cell) -> tuple[list[Term], Cell]:
    """Calibrated weights as shares, because only their ratios matter."""
    hard = as_weight(cell["hard_weight"])
    whole = hard.peak + sum(term.weight.peak for term in decided)
    terms = [replace(term, weight=term.weight.scaled(1 / whole)) for term in decided]
    share = hard.scaled(1 / whole)
    return terms, {**cell, "hard_weight": share.start if share.constant else str(share)}


def inert_fields(
    cell: Cell, terms: tuple[Term, ...], kind: Kind, student: Shape, encoder: facts.Encoder
) -> set[str]:
    """The fields that cannot affect the outcome of this cell."""
    inert = set()
    softened = any(matchings_of(t.knowledge, kind)[t.matching].softened for t in terms)
    if not softened:
        inert |= {"temperature", "temperature_schedule"}
    if kind is SCORES or not any(KNOWLEDGE[t.knowledge].form is LOGITS for t in terms):
        inert.add("probability_shift")
    if not terms:  # with only the hard-label loss, its weight changes nothing
        inert |= {"hard_weight", "matching", "weights"}
    if cell["weights"] == "balanced" and not balanced_terms(terms):
        inert.add("weights")
    if cell["train_fraction"] == 1:
        inert |= {"fraction_seed", "teacher_data"}
    if not cell["held_out"]:
        inert.add("held_out_seed")
    if not reads_teacher(cell):
        inert.add("teacher_data")
    if not any(KNOWLEDGE[t.knowledge].layered for t in terms):
        inert.add("mapping")
    if not projected_terms(terms, kind, student, encoder.shape):
        inert.add("projection")
    related = any(KNOWLEDGE[t.knowledge].form.relation_heads for t in terms)
    if not related or cell["relation_heads"] == relation_heads(student, encoder.shape):
        inert.add("relation_heads")
    return inert


def projected_terms(
    terms: tuple[Term, ...], kind: Kind, student: Shape, teacher: Shape
) -> list[Term]:
    """The terms that have projections, unless `projection` is none."""
    return [
        term
        for term in terms
        if is_projected(
            term.knowledge,
            matchings_of(term.knowledge, kind)[term.matching],
            term.moving,
            student.hidden,
            teacher.hidden,
        )
    ]


def same_projection(projection: str, projected: list[Term]) -> str:
    """The default instead of `shared`, if no term has more than one projection."""
    default = str(RUN_DEFAULTS["projection"])
    shares = any(len(projection_names(term, default)) > 1 for term in projected)
    return default if projection == "shared" and not shares else projection
