"""Knowledge terms: `logits+hidden:mse@uniform*0.5`, parsed and made canonical."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from kd.axes.forms import form_of
from kd.axes.kinds import Kind
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.labels import NONE
from kd.axes.mappings import Pairs, parse_mapping
from kd.axes.matchings import MATCHINGS, Matching
from kd.axes.weights import ONE, Weight, parse_weight
from kd.runtime.errors import UserError, listing, nearest, shown, unknown

HARD = "hard"  # the name of the hard-label loss among the parts of a loss
_TERM = re.compile(r"([^:@*]+)(?::([^:@*]+))?(?:@([^:@*]+))?(?:\*([^:@*]+))?")


@dataclass(frozen=True)
class RawTerm:
    """A term as it is written, with None for parts that it does not name."""

    knowledge: str
    matching: str | None
    mapping: str | None
    weight: Weight

    def __str__(self) -> str:
        matching = f":{self.matching}" if self.matching else ""
        mapping = f"@{self.mapping}" if self.mapping else ""
        return f"{self.knowledge}{matching}{mapping}{weight_text(self.weight)}"


@dataclass(frozen=True)
class Term:
    """A complete term with its (teacher layer, student layer) pairs.

    `moving` is the mapping that weighs the pairs or chooses among them; '' if all always count.
    """

    knowledge: str
    matching: str
    pairs: Pairs
    weight: Weight = ONE
    moving: str = ""

    def __str__(self) -> str:
        layers = self.moving or ",".join(f"{t}-{s}" for t, s in self.pairs)
        at = f"@{layers}" if KNOWLEDGE[self.knowledge].layered else ""
        return f"{self.knowledge}:{self.matching}{at}{weight_text(self.weight)}"


def taught_keys(terms: Iterable[Term]) -> set[tuple[str, int]]:
    """The (feature, layer) keys that the terms read from the teacher."""
    return {
        (feature, teacher_layer)
        for term in terms
        for feature in KNOWLEDGE[term.knowledge].stored
        for teacher_layer, _ in term.pairs
    }


def measure_of(terms: Sequence[Term]) -> Term | None:
    """The term whose loss is the measure of balanced weights: the logits' term, or None for the
    hard-label loss."""
    return next((term for term in terms if term.knowledge == "logits"), None)


def balanced_terms(terms: Sequence[Term]) -> list[Term]:
    """The terms that `weights: balanced` scales to the size of the measure: all others."""
    return [term for term in terms if term is not measure_of(terms)]


def weight_text(weight: Weight) -> str:
    """'*0.5', or '' for the weight 1."""
    return "" if weight == ONE else f"*{weight}"


def matchings_of(knowledge: str, kind: Kind) -> dict[str, Matching]:
    """{name: matching} of a knowledge type for this kind of task, with the default first."""
    row = KNOWLEDGE[knowledge]
    table = MATCHINGS[form_of(row.form, kind).name]
    return {row.usual: table[row.usual], **table} if row.usual else table


def parse_knowledge(text: object) -> tuple[RawTerm, ...]:
    """Read terms joined by `+`: type[:matching][@mapping][*weight]; `none` has no term.

    Raises:
        UserError: the text is no sum of terms, a type, matching or mapping is unknown, a weight is
            never above 0, or a term occurs twice.
    """
    if not isinstance(text, str):
        raise UserError(f"found {shown(text)}, allowed: text such as logits+hidden:mse@uniform*0.5")
    return _parse_terms(text)


@cache
def _parse_terms(text: str) -> tuple[RawTerm, ...]:
    if text.strip() == NONE:
        return ()
    terms = [_parse_term(part.strip(), text) for part in re.split(r"\+(?!\d)", text)]
    seen: set[tuple[str, str | None, str | None]] = set()
    for term in terms:
        key = (term.knowledge, term.matching, term.mapping)
        if key in seen:
            raise UserError(f"found {shown(text)}: the term {term.knowledge} is there twice")
        seen.add(key)
    return tuple(terms)


def forget_terms() -> None:
    """Parse every text again, because the tables have changed."""
    _parse_terms.cache_clear()


def _parse_term(part: str, text: str) -> RawTerm:
    match = _TERM.fullmatch(part)
    if not match:
        raise UserError(
            f"found {shown(text)}, allowed: {NONE}, or terms joined by +, each "
            f"type[:matching][@mapping][*weight], with types {listing(KNOWLEDGE)}"
        )
    knowledge, matching, mapping, weight = (g.strip() if g else g for g in match.groups())
    if knowledge not in KNOWLEDGE:
        raise UserError(
            f"knowledge type {knowledge!r} in {shown(text)}, allowed: {NONE}, {listing(KNOWLEDGE)}"
            f"{nearest(knowledge, KNOWLEDGE)}"
        )
    known = {name for table in MATCHINGS.values() for name in table}
    if matching == "default":
        matching = None
    if matching is not None and matching not in known:
        raise unknown(f"matching in {shown(text)}", matching, sorted(known))
    if mapping is not None and not KNOWLEDGE[knowledge].layered:
        raise UserError(f"found {shown(text)}: {knowledge} has no layers, so it takes no mapping")
    return RawTerm(
        knowledge, matching, parse_mapping(mapping) if mapping else None, _weight(weight, text)
    )


def _weight(text: str | None, whole: str) -> Weight:
    try:
        return parse_weight(text) if text else ONE
    except UserError as error:
        raise UserError(f"weight in {shown(whole)}: {error}") from None
