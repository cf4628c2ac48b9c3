"""Extra examples, which only the teacher labels: augmentation and transfer sets, a row each."""

import re
from dataclasses import dataclass
from typing import Any

from kd.axes.labels import NAME, NONE, check_label
from kd.axes.values import Field, choice, number, text
from kd.runtime.errors import UserError, shown


@dataclass(frozen=True)
class Augmentation:
    """A way to make examples from those of the training set."""

    meaning: str
    source: str


WORD_REPLACEMENT = "word-replacement"
AUGMENTATIONS: dict[str, Augmentation] = {
    WORD_REPLACEMENT: Augmentation(
        "each word is replaced with the probability p, by one of K candidates. If the word "
        "is one token, it is masked, and the candidates are the K most probable words of a masked "
        "language model there. If it has several tokens, they are the K whole words whose input "
        "embeddings in the same model are nearest (cosine) to the mean embedding of its tokens",
        "TinyBERT (arXiv:1909.10351), section 3.3 and algorithm 1, where the nearest words are "
        "those of GloVe",
    ),
}
OWN_MODEL = "teacher"  # the masked language model is the run's teacher as pretrained
ALONE = "alone:"  # before the name of a transfer set
EXAMPLES, EPOCHS = "examples", "epochs"


def _transfer(value: str) -> str:
    if not re.fullmatch(NAME, value.removeprefix(ALONE)) or value == ALONE + NONE:
        raise UserError(
            f"found {shown(value)}, allowed: {NONE}, a name under `transfer`, or {ALONE}NAME"
        )
    return value


EXTRA_FIELDS: dict[str, Field] = {
    "augmentation": Field(
        **choice(NONE, *AUGMENTATIONS),
        meaning="more examples, made from those of the training set and labelled by the teacher",
    ),
    "augmentation_factor": Field(
        **number(1, 1000, whole=True),
        meaning="largest number of examples made from each training example",
    ),
    "augmentation_probability": Field(
        **number(0, 1, above=True), meaning="probability p that a word is replaced"
    ),
    "augmentation_candidates": Field(
        **number(1, 1000, whole=True), meaning="number K of candidates for each word"
    ),
    "augmentation_model": Field(
        **text(check_label),
        meaning=f"masked language model of the augmentation: {OWN_MODEL} (the run's teacher as "
        "pretrained), or a hub id or folder[@REVISION]",
    ),
    "augmentation_seed": Field(
        **number(0, 2**32 - 1, whole=True),
        meaning="seed of the augmentation. It does not depend on `seed`",
    ),
    "transfer": Field(
        **text(_transfer),
        meaning="texts without labels, labelled by the teacher. NAME under `transfer` adds them to "
        f"the training set, and {ALONE}NAME replaces the training set by them",
    ),
    "compare_at": Field(
        **choice(EXAMPLES, EPOCHS),
        meaning=f"how `epochs` counts where there are extra examples. {EXAMPLES}: as many steps as "
        f"without them, so that equally many examples are seen. {EPOCHS}: passes over all examples",
    ),
}
EXTRA_DEFAULTS: dict[str, Any] = {
    "augmentation": NONE,
    "augmentation_factor": 20,
    "augmentation_probability": 0.4,
    "augmentation_candidates": 15,
    "augmentation_model": OWN_MODEL,
    "augmentation_seed": 0,
    "transfer": NONE,
    "compare_at": EXAMPLES,
}
OF_AUGMENTATION = tuple(key for key in EXTRA_FIELDS if key.startswith("augmentation"))


# Keys of a set under `transfer`, beside `files`.
TRANSFER_KEYS: dict[str, str] = {
    "files": "files of texts, from the study file's folder; * stands for any names",
    "text": "column of the text, or a list of two for pairs: a name, or a position from 0; not of "
    "text files, which have a text on each line",
    "format": "text, csv, tsv, jsonl or parquet, if the file names do not show it",
    "header": "false: CSV or TSV files have no header, and columns are positions",
}
TRANSFER_ENDINGS = {
    "text": (".txt",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
}
