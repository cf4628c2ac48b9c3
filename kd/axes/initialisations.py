"""Initialisations: the weights that a student starts from. `encoders.initialise` copies them.

An init is written as a name of INITIALISATIONS, or in one of the forms of INIT_FORMS.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.axes.labels import check_label
from kd.axes.mappings import Pairs, first, last, uniform
from kd.runtime.errors import UserError, listing, nearest, shown


def distilbert(teacher: int, student: int, seed: int) -> Pairs:
    """Layers evenly spaced from the first to the last. Student layer s is teacher layer
    1 + (s - 1) (T - 1) / (S - 1), where halves are rounded up. A single layer is the first.

    For 12 -> 6 these are DistilBERT's layers 0, 2, 4, 7, 9, 11, counted from 0.
    """
    gaps = max(student - 1, 1)
    return tuple((1 + (2 * s * (teacher - 1) + gaps) // (2 * gaps), s + 1) for s in range(student))


@dataclass(frozen=True)
class Initialisation:
    """One initialisation. `layers` (T, S, seed) gives the (teacher layer, student layer) pairs that
    are copied; embeddings, pooler and head are copied as well.

    An initialisation of a plugin may set the weights itself. `weights` (student, teacher) takes
    both models and returns {student tensor: where it came from}. `obstacle` (student shape, teacher
    shape) says why it cannot, or "".
    """

    layers: Callable[[int, int, int], Pairs] | None
    meaning: str
    source: str
    needs_teacher: bool = True
    weights: Callable[[Any, Any], dict[str, str]] | None = None
    obstacle: Callable[[Any, Any], str] | None = None


PCA = "pca-embeddings"
INITIALISATIONS: dict[str, Initialisation] = {
    "random": Initialisation(
        None,
        "the encoder's own random initialisation",
        "Turc et al. 2019 (arXiv:1908.08962)",
        needs_teacher=False,
    ),
    "teacher-first": Initialisation(
        first, "the teacher's first S layers", "BERT-PKD (arXiv:1908.09355)"
    ),
    "teacher-last": Initialisation(
        last, "the teacher's last S layers", "Wang et al. 2023 (arXiv:2305.15032), an ablation"
    ),
    "teacher-uniform": Initialisation(
        uniform,
        "teacher layers ceil(s T / S)",
        "DistilBERT's one layer out of two (arXiv:1910.01108), arXiv:2502.04499",
    ),
    "teacher-distilbert": Initialisation(
        distilbert,
        "teacher layers 1 + (s - 1) (T - 1) / (S - 1), rounded: from the first layer to the last",
        "DistilBERT (arXiv:1910.01108), as its extraction script does it",
    ),
    PCA: Initialisation(
        None,
        "the teacher's embedding tables, projected on the leading principal directions of its "
        "words; all other weights are random",
        "XtremeDistilTransformers (arXiv:2106.04563)",
    ),
}
EXPLICIT = "teacher:"
TRUNCATE = "+truncate"
PRETRAINED = "pretrained:"
STAGE = "stage:"
# Forms that the user fills in; the first two take the weights from the teacher.
INIT_FORMS: dict[str, tuple[str, str]] = {
    f"{EXPLICIT}T-S,T-S,...": (
        "copies teacher layer T to student layer S, each student layer once: teacher:3-1,7-2,11-3",
        "Wang et al. 2023 (arXiv:2305.15032)",
    ),
    f"teacher...{TRUNCATE}": (
        "any teacher... start, cut to a narrower student: the leading rows and columns of every "
        "tensor. In attention, the leading dimensions of the leading heads, so that no head of the "
        "student mixes two heads of the teacher",
        "Xu et al. 2024 (arXiv:2311.18823), with whole heads",
    ),
    f"{PRETRAINED}MODEL[@REVISION]": (
        "a pretrained encoder of the student's shape, from the hub or a folder, with a random "
        "head. {layers}, {hidden} and {heads} in the name are filled in from the student",
        "Turc et al. 2019 (arXiv:1908.08962)",
    ),
    f"{STAGE}NAME": (
        "the student of a stage before the task, general distillation on unlabelled text "
        "(docs/stages.md), with a random head",
        "TinyBERT (arXiv:1909.10351), MiniLM (arXiv:2002.10957)",
    ),
}
_EXPLICIT = re.compile(rf"{EXPLICIT}(\d{{1,3}}-\d{{1,3}}(?:,\d{{1,3}}-\d{{1,3}})*)")


def parse_init(value: object) -> str:
    """A name of INITIALISATIONS or a form of INIT_FORMS; explicit pairs in student order.

    Raises:
        UserError: neither, pairs that do not name each student layer once, or a model whose name
            cannot be a label.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(PRETRAINED) and len(text) > len(PRETRAINED):
            return PRETRAINED + check_label(text.removeprefix(PRETRAINED))
        if text.startswith(STAGE) and len(text) > len(STAGE):
            return STAGE + check_label(text.removeprefix(STAGE).strip())
        name = text.removesuffix(TRUNCATE)
        cut = text[len(name) :]
        if match := _EXPLICIT.fullmatch(name.replace(" ", "")):
            return pairs_text(_pairs(match[1], text)) + cut
        if name in INITIALISATIONS and (not cut or INITIALISATIONS[name].layers):
            return text
    raise UserError(
        f"found {shown(value)}, allowed: {listing(INITIALISATIONS)}, {listing(INIT_FORMS)}"
        f"{nearest(value, INITIALISATIONS)}"
    )


def _pairs(text: str, init: str) -> Pairs:
    found = [(int(t), int(s)) for t, s in (pair.split("-") for pair in text.split(","))]
    pairs = tuple(sorted(found, key=lambda pair: pair[1]))
    if [s for _, s in pairs] != list(range(1, len(pairs) + 1)) or any(t < 1 for t, _ in pairs):
        raise UserError(
            f"found {shown(init)}, allowed: pairs of a teacher layer (from 1) and a student layer, "
            f"with each student layer from 1 to the last once"
        )
    return pairs


def pairs_text(pairs: Pairs) -> str:
    """The explicit form of (teacher layer, student layer) pairs."""
    return EXPLICIT + ",".join(f"{t}-{s}" for t, s in pairs)


def copied_layers(init: str, teacher: int, student: int) -> Pairs:
    """(teacher layer, student layer) pairs that a parsed init copies; () where it copies none."""
    name = init.removesuffix(TRUNCATE)
    if match := _EXPLICIT.fullmatch(name):
        return _pairs(match[1], init)
    row = INITIALISATIONS.get(name)
    return row.layers(teacher, student, 0) if row and row.layers else ()


def needs_teacher(init: str) -> bool:
    """Whether a parsed init reads the fine-tuned teacher's weights."""
    name = init.removesuffix(TRUNCATE)
    return name.startswith(EXPLICIT) or (
        name in INITIALISATIONS and INITIALISATIONS[name].needs_teacher
    )
