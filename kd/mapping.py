"""Layer mappings: which teacher layer teaches which student layer.

A mapping is a total function (teacher layers T, student layers S, seed) -> [(teacher layer,
student layer), ...], 1-based; layer 0 is the embeddings. It is defined for every T and S, also
where S > T and where S does not divide T.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from kd.errors import UserError, listing, nearest, shown

Pairs = tuple[tuple[int, int], ...]


def first(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns teacher layer s (the last one, where the teacher has fewer)."""
    return tuple((min(s, teacher), s) for s in range(1, student + 1))


def last(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns teacher layer s + T - S (the first one, where that is below 1)."""
    return tuple((max(s + teacher - student, 1), s) for s in range(1, student + 1))


def last_only(teacher: int, student: int, seed: int) -> Pairs:
    """The last student layer learns the last teacher layer."""
    return ((teacher, student),)


def uniform(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns teacher layer ceil(s T / S); the last learns the last."""
    return tuple((-(-s * teacher // student), s) for s in range(1, student + 1))


def reverse(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns what `uniform` gives to layer S + 1 - s: a null baseline."""
    targets = [t for t, _ in uniform(teacher, student, seed)]
    return tuple((t, s) for s, t in enumerate(reversed(targets), start=1))


def all_to_one(teacher: int, student: int, seed: int) -> Pairs:
    """Every student layer learns the last teacher layer: a null baseline."""
    return tuple((teacher, s) for s in range(1, student + 1))


def random_permutation(teacher: int, student: int, seed: int) -> Pairs:
    """The targets of `uniform` in an order drawn from the run's seed: a null baseline."""
    targets = [t for t, _ in uniform(teacher, student, seed)]
    random.Random(f"mapping {seed}").shuffle(targets)
    return tuple((t, s) for s, t in enumerate(targets, start=1))


@dataclass(frozen=True)
class Mapping:
    """A named mapping and its source."""

    pairs: Callable[[int, int, int], Pairs]
    formula: str
    source: str
    seeded: bool = False


MAPPINGS: dict[str, Mapping] = {
    "uniform": Mapping(uniform, "s <- ceil(s T / S)", "TinyBERT (arXiv:1909.10351), PKD-skip"),
    "first": Mapping(first, "s <- s", "TinyBERT's bottom strategy"),
    "last": Mapping(last, "s <- s + T - S", "TinyBERT's top strategy, PKD-last"),
    "last-only": Mapping(last_only, "S <- T", "MiniLM (arXiv:2002.10957)"),
    "reverse": Mapping(reverse, "s <- uniform(S + 1 - s)", "arXiv:2502.04499"),
    "all-to-one": Mapping(all_to_one, "s <- T", "arXiv:2502.04499"),
    "random": Mapping(random_permutation, "uniform, permuted", "arXiv:2502.04499", seeded=True),
}
PATTERNS = "or explicit pairs TEACHER-STUDENT,... such as 4-1,8-2,12-3"
_EXPLICIT = re.compile(r"\d{1,3}-\d{1,3}(,\d{1,3}-\d{1,3})*")


def parse_mapping(value: object) -> str:
    """A mapping's name, or explicit pairs as text `4-1,8-2` (a YAML list [[4, 1], [8, 2]] too).

    Raises:
        UserError: neither.
    """
    if isinstance(value, list):
        if not value or not all(
            isinstance(p, list) and len(p) == 2 and all(type(n) is int and n >= 0 for n in p)
            for p in value
        ):
            raise UserError(f"found {shown(value)}, allowed: [[teacher layer, student layer], ...]")
        value = ",".join(f"{t}-{s}" for t, s in value)
    if isinstance(value, str):
        text = value.replace(" ", "")
        if text in MAPPINGS:
            return text
        if _EXPLICIT.fullmatch(text):
            pairs = sorted({tuple(map(int, p.split("-"))) for p in text.split(",")}, key=_order)
            return ",".join(f"{t}-{s}" for t, s in pairs)
    raise UserError(
        f"found {shown(value)}, allowed: {listing(MAPPINGS)}, {PATTERNS}{nearest(value, MAPPINGS)}"
    )


def _order(pair: tuple[int, ...]) -> tuple[int, ...]:
    return pair[::-1]


def resolve_mapping(mapping: str, teacher: int, student: int, seed: int) -> Pairs:
    """The layer pairs of a (parsed) mapping for T teacher and S student layers."""
    if mapping in MAPPINGS:
        return MAPPINGS[mapping].pairs(teacher, student, seed)
    return tuple((int(t), int(s)) for t, s in (pair.split("-") for pair in mapping.split(",")))
