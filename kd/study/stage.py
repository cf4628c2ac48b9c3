"""A stage before the task for one student shape: its terms and settings, and its id."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.architectures import shape_obstacle
from kd.axes.fields import RUN_DEFAULTS
from kd.axes.initialisations import PRETRAINED
from kd.axes.kinds import CLASSES
from kd.axes.plugins import hashes, plugins_of
from kd.axes.shapes import VOCABULARY, Shape
from kd.axes.stages import MLM, STAGE_DEFAULTS, USUAL_MASKED
from kd.axes.terms import Term, parse_knowledge
from kd.data.corpus import Corpus, corpus_id, corpus_identity
from kd.encoders import facts
from kd.encoders.folder import check_mlm_head
from kd.runtime.errors import Pruned, UserError
from kd.runtime.hashes import short_hash
from kd.study.check import Study
from kd.study.inert import as_shares, inert_fields, projected_terms, same_projection
from kd.study.initialisation import check_init, init_identity, located_init, pretrained
from kd.study.stage_keys import StageKeys, reads_words
from kd.study.teacher import pretrained_encoder, tokens_id_of
from kd.study.terms import Cell, check_weights, relation_heads, resolve_term, rows_used

# What became terms and weights, or stands in the identity by itself.
_DECIDED = ("init", "matching", "mapping", "relation_heads", "masked", "projection", MLM)


@dataclass(frozen=True)
class Stage:
    """General distillation of one student shape from one start, on one corpus.

    `spec` identifies it, and the id is its hash: all that its numbers depend on, no name and no
    path. `values` is what the training reads, every setting as a number or name.
    """

    name: str
    id: str
    spec: dict[str, Any] = field(hash=False)
    values: dict[str, Any] = field(hash=False)
    corpus: Corpus
    encoder: facts.Encoder  # the teacher, as pretrained
    dtype: str
    shape: Shape  # of the student
    terms: tuple[Term, ...]
    reads_words: bool  # whether there is a loss of what the student says of the masked tokens
    init: Any = field(hash=False)  # how the student starts, in its canonical form
    donor: facts.Encoder | None
    corpus_id: str
    tokens_id: str

    @property
    def tokens(self) -> int:
        """Tokens that it reads in all, repetition included."""
        return int(
            self.values["steps"] * self.values["batch_size"] * self.values["max_length"],
        )


@cache
def resolve_stage(study: Study, name: str, shape: Shape) -> Stage:
    """The stage of that name for a student of this shape.

    Raises:
        Pruned: it has no meaning for this shape; the message says why.
        UserError: its teacher or corpus is missing or wrong.
    """
    keys = study.stages[name]
    try:
        encoder, dtype = pretrained_encoder(study, keys.values["teacher"])
    except UserError as error:
        raise UserError(f"stages.{name}.teacher: {error}") from None
    try:
        return _resolved(study, keys, shape, encoder, dtype)
    except Pruned as reason:
        raise Pruned(f"stage {name}: {reason}") from None
    except UserError as error:
        raise UserError(f"stages.{name}: {error}") from None


def _resolved(
    study: Study, keys: StageKeys, shape: Shape, encoder: facts.Encoder, dtype: str
) -> Stage:
    values = keys.values
    if encoder.positions is not None and values["max_length"] > encoder.positions:
        raise UserError(
            f"max_length: found {values['max_length']}, allowed: at most {encoder.positions}"
        )
    written = parse_knowledge(values["knowledge"])
    if encoder.revision is None and any(raw.knowledge == "mlm-logits" for raw in written):
        check_mlm_head(Path(encoder.location))
    if reason := shape_obstacle(encoder.arch, shape, encoder.shape):
        raise Pruned(reason)
    start = located_init(values["init"], shape, study.path)
    check_init(start, shape, encoder)
    cell: Cell = {**RUN_DEFAULTS, **values, "hard_weight": values[MLM]}
    words = encoder.vocabulary or VOCABULARY
    terms: Sequence[Term] = [
        resolve_term(raw, cell, CLASSES, words, shape, encoder) for raw in written
    ]
    if cell["weights"] == "calibrated" and terms:
        terms, cell = as_shares(list(terms), cell)
    terms = tuple(sorted(terms, key=str))
    init = init_identity(start, shape, encoder)
    check_weights(cell, terms, init, shape, encoder)
    words_read = reads_words(values)
    usual = USUAL_MASKED if words_read else 0
    masked = usual if values["masked"] == "auto" else values["masked"]
    projected = projected_terms(terms, CLASSES, shape, encoder.shape)
    projection = same_projection(cell["projection"], projected)
    inert = inert_fields(cell, terms, CLASSES, shape, encoder)

    spec: dict[str, Any] = {
        "corpus": dict(corpus_identity(keys.corpus)),
        "teacher": dict(encoder.identity),
        "student": str(shape),
        "objective": [str(term) for term in terms],
        "steps": cell["steps"],
    }
    named = {"dtype": (dtype, "float32"), "init": (init, "random"), "masked": (masked, usual)}
    if "hard_weight" not in inert:
        named[MLM] = (cell["hard_weight"], STAGE_DEFAULTS[MLM])
    for key in ("projection", "relation_heads"):
        if key not in inert:
            decided = projection if key == "projection" else cell[key]
            named[key] = (decided, STAGE_DEFAULTS[key])
    spec |= {key: value for key, (value, default) in named.items() if value != default}
    settings = [k for k in STAGE_DEFAULTS if k not in _DECIDED]
    spec |= {k: cell[k] for k in settings if k not in inert and cell[k] != STAGE_DEFAULTS[k]}
    mapped = [(raw, raw.mapping or values["mapping"]) for raw in written]
    if plugins := plugins_of(rows_used(CLASSES, terms, mapped, values["init"])):
        spec["plugins"] = hashes(plugins)
    heads = cell["relation_heads"]
    return Stage(
        name=keys.name,
        id=f"{encoder.arch}-{shape.layers}l-{shape.hidden}-{short_hash(spec)}",
        spec=spec,
        values={
            **{key: cell[key] for key in (*settings, "steps", "hard_weight")},
            "masked": masked,
            "projection": projection,
            "relation_heads": relation_heads(shape, encoder.shape) if heads == "auto" else heads,
        },
        corpus=keys.corpus,
        encoder=encoder,
        dtype=dtype,
        shape=shape,
        terms=terms,
        reads_words=words_read,
        init=init,
        donor=pretrained(start, shape) if start.startswith(PRETRAINED) else None,
        corpus_id=corpus_id(keys.corpus),
        tokens_id=tokens_id_of(encoder, values["max_length"]),
    )
