"""Variants of the soft-label term, and errata: known defects of published code, as switches.

A defect is off unless a run asks for it. As an axis it shows how much it changes the score.
"""

from dataclasses import dataclass

from kd.axes.labels import NONE
from kd.runtime.errors import UserError, shown, unknown


@dataclass(frozen=True)
class Erratum:
    """A defect: what it does here, and whose code has it."""

    meaning: str
    source: str


ERRATA: dict[str, Erratum] = {
    "double-softmax": Erratum(
        "attention maps go through a second softmax, as if they were scores, so that padded keys "
        "get a probability above 0 (batches are padded to max_length, as in that code)",
        "TextBrewer's `attention_ce` on the maps that transformers returns; OFA-Compress",
    ),
    "no-tau-squared": Erratum(
        "soft-label terms lack the factor tau^2, so the temperature also scales their gradient",
        "TextBrewer, TinyBERT, CKD; torchdistill's GLUE scripts",
    ),
    "padding": Erratum(
        "padding counts as tokens wherever tokens are compared (batches are padded to max_length, "
        "as in that code)",
        "TinyBERT, CKD, CR-ILD, TED, CoFi",
    ),
    "teacher-in-training": Erratum(
        "the teacher stays in training mode, so dropout disturbs its outputs",
        "TinyBERT, BERT-EMD, CoDIR",
    ),
    "reversed-last-k": Erratum(
        "the mapping last-K pairs its teacher layers in reverse order", "OFA-Compress"
    ),
}

# What these change depends on how much padding there is. Batches of equal lengths have hardly any.
PADDED = frozenset({"double-softmax", "padding"})

PROBABILITY_SHIFT_SOURCE = _WEN = "arXiv:1911.07471"
TEMPERATURE_SCHEDULES: dict[str, str] = {
    "constant": "tau for every example",
    "flsw": f"max(0.1 tau, tau + mean(w) - w), w = 1 - cos(S, T) of the logits ({_WEN})",
    "cwsm": f"max(0.1 tau, tau + mean(w) - w), w = 1 / max softmax(S) ({_WEN})",
}


def parse_errata(text: str) -> str:
    """Names of ERRATA joined by +, in table order; `none`.

    Raises:
        UserError: an unknown name.
    """
    if text == NONE:
        return NONE
    names = [name.strip() for name in text.split("+")]
    for name in names:
        if name not in ERRATA:
            raise unknown(f"erratum in {shown(text)}", name, [NONE, *ERRATA])
    if len(set(names)) < len(names):
        raise UserError(f"found {shown(text)}: an erratum is there twice")
    return "+".join(name for name in ERRATA if name in names)


def errata_of(text: str) -> frozenset[str]:
    """The names in a parsed value."""
    return frozenset() if text == NONE else frozenset(text.split("+"))
