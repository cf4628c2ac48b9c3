"""Projections: what brings a student's vectors to the teacher's width, and how many a term has."""

from dataclasses import dataclass

from kd.axes.knowledge import KNOWLEDGE
from kd.axes.matchings import Matching
from kd.axes.terms import Term


@dataclass(frozen=True)
class Projection:
    """A value of the axis `projection`."""

    meaning: str
    source: str = ""


PROJECTIONS: dict[str, Projection] = {
    "per-pair": Projection(
        "a linear layer with bias for each layer pair (for each student layer, if the mapping "
        "moves)"
    ),
    "shared": Projection(
        "one linear layer with bias for all layer pairs of a term",
        "TinyBERT (arXiv:1909.10351), its released code",
    ),
    "orthogonal": Projection(
        "like per-pair, but without bias and kept orthonormal: lengths and angles stay as they "
        "are, unless the number of dimensions shrinks",
        "VkD (arXiv:2403.06213), without its normalisation of the teacher's features",
    ),
    "none": Projection("vectors stay as they are, so widths must be equal"),
}


def is_projected(
    knowledge: str, matching: Matching, moving: str, student: int, teacher: int
) -> bool:
    """Whether a term of these widths has a projection, unless the value is `none`."""
    needs_equal = (
        matching.same_width or moving == "attention-weighted" or KNOWLEDGE[knowledge].classified
    )
    return matching.both_projected or (needs_equal and student != teacher)


def projection_names(term: Term, projection: str) -> list[str]:
    """Names of the projections of a projected term, one for each that it has."""
    if projection == "none":
        return []
    return list(dict.fromkeys(name_of_pair(term.moving, pair, projection) for pair in term.pairs))


def name_of_pair(moving: str, pair: tuple[int, int], projection: str) -> str:
    """The name of the projection of a (teacher layer, student layer)."""
    if projection == "shared":
        return "all"
    return str(pair[1]) if moving else f"{pair[0]}-{pair[1]}"
