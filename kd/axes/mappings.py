"""Layer mappings: which teacher layer teaches which student layer.

A mapping is a total function (teacher layers T, student layers S, seed) -> [(teacher layer,
student layer), ...]. Layers are counted from 1, and layer 0 is the embeddings. A mapping is defined
for every T and S, even if S > T or S does not divide T. A *moving* mapping gives all the pairs that
it may use. The training decides which of them count at a step, or how much.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from kd.runtime.errors import UserError, listing, nearest, shown

Pairs = tuple[tuple[int, int], ...]


def first(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns teacher layer s, or the last one if the teacher has fewer layers."""
    return tuple((min(s, teacher), s) for s in range(1, student + 1))


def last(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns teacher layer s + T - S, or layer 1 if that is below 1."""
    return tuple((max(s + teacher - student, 1), s) for s in range(1, student + 1))


def last_only(teacher: int, student: int, seed: int) -> Pairs:
    """The last student layer learns the last teacher layer."""
    return ((teacher, student),)


def uniform(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns teacher layer ceil(s T / S), so the last learns the last."""
    return tuple((-(-s * teacher // student), s) for s in range(1, student + 1))


def pkd_skip(teacher: int, student: int, seed: int) -> Pairs:
    """`uniform` without the last student layer; () for a student of one layer."""
    return uniform(teacher, student, seed)[:-1]


def pkd_last(teacher: int, student: int, seed: int) -> Pairs:
    """`last` without the last student layer; () for a student of one layer."""
    return last(teacher, student, seed)[:-1]


def reverse(teacher: int, student: int, seed: int) -> Pairs:
    """Student layer s learns the layer that `uniform` gives to S + 1 - s (a null baseline)."""
    targets = [t for t, _ in uniform(teacher, student, seed)]
    return tuple((t, s) for s, t in enumerate(reversed(targets), start=1))


def all_to_one(teacher: int, student: int, seed: int) -> Pairs:
    """Every student layer learns the last teacher layer (a null baseline)."""
    return all_to(teacher, student, seed, teacher)


def random_permutation(teacher: int, student: int, seed: int) -> Pairs:
    """The teacher layers of `uniform` in an order drawn with the seed (a null baseline)."""
    targets = [t for t, _ in uniform(teacher, student, seed)]
    random.Random(f"mapping {seed}").shuffle(targets)
    return tuple((t, s) for s, t in enumerate(targets, start=1))


def both_ends(teacher: int, student: int, seed: int) -> Pairs:
    """The first student layer learns the first teacher layer, and the last learns the last."""
    return both_ends_k(teacher, student, seed, 1)


def first_k(teacher: int, student: int, seed: int, k: int) -> Pairs:
    """The first k pairs of `first`, or all pairs if the student has fewer layers."""
    return first(teacher, student, seed)[:k]


def last_k(teacher: int, student: int, seed: int, k: int) -> Pairs:
    """The last k pairs of `last`, or all pairs if the student has fewer layers."""
    return last(teacher, student, seed)[-k:]


def both_ends_k(teacher: int, student: int, seed: int, k: int) -> Pairs:
    """The pairs of `first_k` and of `last_k`."""
    pairs = {*first_k(teacher, student, seed, k), *last_k(teacher, student, seed, k)}
    return tuple(sorted(pairs, key=_order))


def all_to(teacher: int, student: int, seed: int, k: int) -> Pairs:
    """Every student layer learns teacher layer k."""
    return tuple((k, s) for s in range(1, student + 1))


def last_to(teacher: int, student: int, seed: int, k: int) -> Pairs:
    """The last student layer learns teacher layer k."""
    return ((k, student),)


def below_last(teacher: int, student: int, seed: int, k: int) -> Pairs:
    """Student layer S - k learns teacher layer T - k. A layer below 1 becomes layer 1."""
    return ((max(teacher - k, 1), max(student - k, 1)),)


def every_pair(teacher: int, student: int, seed: int) -> Pairs:
    """Every teacher layer with every student layer."""
    return tuple((t, s) for s in range(1, student + 1) for t in range(1, teacher + 1))


def blocks(teacher: int, student: int, seed: int) -> Pairs:
    """Each student layer with the teacher layers of its block, up to the layer of `uniform`.

    If S > T, a block can be empty. Its student layer then has the layer of `uniform`.
    """
    ends = [0, *(t for t, _ in uniform(teacher, student, seed))]
    return tuple(
        (t, s)
        for s in range(1, student + 1)
        for t in range(min(ends[s - 1] + 1, ends[s]), ends[s] + 1)
    )


def increasing(teacher: int, student: int, seed: int) -> Pairs:
    """Each student layer with all teacher layers that an increasing choice can give it."""
    if student > teacher:
        return every_pair(teacher, student, seed)
    spare = teacher - student
    return tuple((t, s) for s in range(1, student + 1) for t in range(s, s + spare + 1))


def by_student(pairs: Pairs) -> dict[int, list[int]]:
    """{student layer: its teacher layers}, in the order of the pairs."""
    found: dict[int, list[int]] = {}
    for t, s in pairs:
        found.setdefault(s, []).append(t)
    return found


@dataclass(frozen=True)
class LayerMapping:
    """A named mapping. `pairs` takes (T, S, seed), and k if the name ends in -K.

    A `choosing` mapping uses some of its pairs at each step. A `weighted` mapping uses all of its
    pairs, with weights that change. Both are moving.
    `choose` is the choice of a plugin's mapping, as `losses.moving.CHOICES` has those of the
    package: (all pairs, moment, share of its time that has passed) -> pairs.
    """

    pairs: Callable[..., Pairs]
    formula: str
    source: str
    seeded: bool = False
    choosing: bool = False
    weighted: bool = False
    choose: Callable[..., Pairs] | None = None

    @property
    def moving(self) -> bool:
        """Whether the pairs or their weights change during the training."""
        return self.choosing or self.weighted


_TINYBERT = "TinyBERT (arXiv:1909.10351)"
_PKD = "BERT-PKD (arXiv:1908.09355)"
_SELECTION = "arXiv:2502.04499"
_OFA = "Lu et al. 2022 (arXiv:2206.14366)"

MAPPINGS: dict[str, LayerMapping] = {
    "uniform": LayerMapping(uniform, "s <- ceil(s T / S)", f"{_TINYBERT}, its uniform strategy"),
    "first": LayerMapping(first, "s <- s", f"{_TINYBERT}, its bottom strategy"),
    "last": LayerMapping(last, "s <- s + T - S", f"{_TINYBERT}, its top strategy"),
    "last-only": LayerMapping(last_only, "S <- T", "MiniLM (arXiv:2002.10957)"),
    "pkd-skip": LayerMapping(pkd_skip, "uniform, for s < S", _PKD),
    "pkd-last": LayerMapping(pkd_last, "last, for s < S", _PKD),
    "both-ends": LayerMapping(both_ends, "1 <- 1 and S <- T", "CKD (arXiv:2109.08359)"),
    "reverse": LayerMapping(reverse, "s <- uniform(S + 1 - s)", f"{_SELECTION}: a null baseline"),
    "all-to-one": LayerMapping(all_to_one, "s <- T", f"{_SELECTION}: a null baseline"),
    "random": LayerMapping(
        random_permutation, "uniform, permuted by the seed", f"{_SELECTION}: null", seeded=True
    ),
    "first-K": LayerMapping(first_k, "first, for s <= K", _OFA),
    "last-K": LayerMapping(last_k, "last, for s > S - K", _OFA),
    "both-ends-K": LayerMapping(both_ends_k, "first-K and last-K", "CKD (arXiv:2109.08359), K = 1"),
    "all-to-K": LayerMapping(all_to, "s <- K", _SELECTION),
    "last-to-K": LayerMapping(last_to, "S <- K", "MiniLMv2 (arXiv:2012.15828): K = 21 of 24"),
    "below-last-K": LayerMapping(
        below_last,
        "S - K <- T - K",
        f"{_OFA}, as cited in arXiv:2407.14679, A.4, where K = 2 is the best",
    ),
    "emd": LayerMapping(
        every_pair,
        "sum F_ts loss(t, s), F the optimal transport; layer weights ~ 1 / cost of the layer",
        "BERT-EMD (arXiv:2010.06133)",
        weighted=True,
    ),
    "attention-weighted": LayerMapping(
        every_pair,
        "s <- sum_t softmax_t(<x_s, x_t> / sqrt(H)) x_t",
        "ALP-KD (arXiv:2012.14022)",
        weighted=True,
    ),
    "random-in-block": LayerMapping(
        blocks,
        "s <- any of uniform(s - 1) + 1 .. uniform(s), drawn at every step",
        "CoFi (arXiv:2204.00408), its released code",
        seeded=True,
        choosing=True,
    ),
    "random-per-epoch": LayerMapping(
        increasing,
        "1..S <- S layers in order, drawn in every epoch",
        "RAIL-KD (arXiv:2109.10164)",
        seeded=True,
        choosing=True,
    ),
    "progressive": LayerMapping(
        uniform,
        "uniform, for s <= 1 + floor(S p), p the share of the term's time that has passed",
        "MobileBERT (arXiv:2004.02984)",
        choosing=True,
    ),
}
PATTERNS = "K a number as in first-2, or explicit pairs TEACHER-STUDENT,... such as 4-1,8-2,12-3"
_EXPLICIT = re.compile(r"\d{1,3}-\d{1,3}(,\d{1,3}-\d{1,3})*")
_NUMBERED = re.compile(r"([a-z-]+-)([1-9]\d{0,2})")


def parse_mapping(value: object) -> str:
    """Read the name of a mapping, or explicit pairs: `4-1,8-2`, or a list [[4, 1], [8, 2]].

    Raises:
        UserError: `value` is neither.
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
        if _row_of(text)[0] is not None:
            return text
        if _EXPLICIT.fullmatch(text):
            pairs = sorted({tuple(map(int, p.split("-"))) for p in text.split(",")}, key=_order)
            return ",".join(f"{t}-{s}" for t, s in pairs)
    raise UserError(
        f"found {shown(value)}, allowed: {listing(MAPPINGS)}, {PATTERNS}{nearest(value, MAPPINGS)}"
    )


def _order(pair: tuple[int, ...]) -> tuple[int, ...]:
    return pair[::-1]


def _row_of(text: str) -> tuple[LayerMapping | None, list[int]]:
    """The row of a mapping, and [k] if its name has a number. Explicit pairs have no row."""
    if text in MAPPINGS and not text.endswith("-K"):
        return MAPPINGS[text], []
    match = _NUMBERED.fullmatch(text)
    return (MAPPINGS.get(f"{match[1]}K"), [int(match[2])]) if match else (None, [])


def mapping_row(mapping: str) -> LayerMapping | None:
    """The row of a (parsed) mapping; None for explicit pairs, and for a name that is not known."""
    return _row_of(mapping)[0]


def mapping_source(mapping: str) -> str:
    """The source of a parsed mapping, or "" for explicit pairs."""
    row = mapping_row(mapping)
    return row.source if row else ""


def resolve_mapping(mapping: str, teacher: int, student: int, seed: int) -> Pairs:
    """The layer pairs of a parsed mapping for T teacher and S student layers.

    For a moving mapping these are all pairs that it may use.
    """
    row, k = _row_of(mapping)
    if row is not None:
        return _checked(mapping, row.pairs(teacher, student, seed, *k))
    return tuple((int(t), int(s)) for t, s in (pair.split("-") for pair in mapping.split(",")))


def _checked(mapping: str, pairs: object) -> Pairs:
    """What a mapping's function gave, which may be a plugin's, as a tuple of pairs."""
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(p, list | tuple) and len(p) == 2 and all(type(n) is int for n in p)
        for p in pairs
    ):
        raise UserError(
            f"mapping {mapping}: its function gave {shown(pairs)}, allowed: pairs of whole numbers "
            f"(teacher layer, student layer)"
        )
    return tuple((t, s) for t, s in pairs)


def moves(mapping: str, pairs: Pairs) -> bool:
    """Whether the pairs that count, or their weights, change. They cannot if there is no choice."""
    row, _ = _row_of(mapping)
    if row is None or not row.moving or len(pairs) < 2:
        return False
    own = mapping in ("emd", "progressive") or row.choose is not None
    return own or len(by_student(pairs)) < len(pairs)
