"""Student initialisations: which teacher layer each student layer is copied from. Facts only.

The copying itself is in `models`. `+truncate` after a teacher-* scheme allows a narrower student:
the leading rows and columns are kept, and in the attention the leading dimensions of each of the
leading heads, so that no student head mixes two teacher heads.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kd.errors import UserError, listing, nearest, shown
from kd.mapping import Pairs, first, last, uniform


@dataclass(frozen=True)
class Initialisation:
    """How the student's weights start; `layers` gives (teacher layer, student layer) pairs."""

    layers: Callable[[int, int, int], Pairs] | None
    meaning: str
    source: str


INITIALISATIONS: dict[str, Initialisation] = {
    "random": Initialisation(None, "the encoder's own random initialisation", "Turc et al. 2019"),
    "teacher-first": Initialisation(first, "the teacher's first S layers", "BERT-PKD"),
    "teacher-last": Initialisation(last, "the teacher's last S layers", "BERT-PKD, ablation"),
    "teacher-uniform": Initialisation(uniform, "teacher layers ceil(s T / S)", "DistilBERT"),
}
TRUNCATE = "+truncate"
PRETRAINED = "pretrained:"


def parse_init(value: object) -> str:
    """A name of the table, `NAME+truncate` for a teacher-* one, or `pretrained:MODEL`.

    Raises:
        UserError: none of these.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.startswith(PRETRAINED) and len(text) > len(PRETRAINED):
            return text
        name = text.removesuffix(TRUNCATE)
        if name in INITIALISATIONS and (name == text or INITIALISATIONS[name].layers):
            return text
    raise UserError(
        f"found {shown(value)}, allowed: {listing(INITIALISATIONS)}, "
        f"teacher-*{TRUNCATE} for narrower students, {PRETRAINED}HUB-ID-OR-FOLDER"
        f"{nearest(value, INITIALISATIONS)}"
    )
