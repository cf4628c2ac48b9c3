"""The initialisation of a cell: whether it is possible, and what identifies it."""

from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.architectures import arch_facts
from kd.axes.initialisations import (
    EXPLICIT,
    INITIALISATIONS,
    PCA,
    PRETRAINED,
    TRUNCATE,
    copied_layers,
    pairs_text,
)
from kd.axes.mappings import Pairs
from kd.axes.pretrained import HUB_ENCODERS, SCRATCH
from kd.axes.shapes import Shape
from kd.encoders import facts
from kd.encoders.folder import CONFIG, model_config
from kd.encoders.hub_cache import cached_snapshot
from kd.encoders.tokenizer_files import first_difference
from kd.runtime.errors import Pruned, UserError, shown
from kd.study.located import located_model


def check_init(init: str, shape: Shape, encoder: facts.Encoder) -> None:
    """Check that a student of this shape can start from `init` with this teacher.

    Raises:
        Pruned: it cannot; the message says why.
        UserError: a pretrained encoder is missing or damaged.
    """
    teacher = encoder.shape
    if init.startswith(PRETRAINED):
        _check_pretrained(init, shape, encoder)
    elif init == PCA:
        _check_pca(shape, encoder)
    elif obstacle := _plugins_obstacle(init, shape, teacher):
        raise Pruned(f"init {init}: {obstacle}")
    elif layers := copied_layers(init, teacher.layers, shape.layers):
        _check_layers(init, layers, shape, encoder)
        _check_widths(init, shape, encoder)


def _plugins_obstacle(init: str, shape: Shape, teacher: Shape) -> str:
    row = INITIALISATIONS.get(init)
    return row.obstacle(shape, teacher) if row and row.obstacle else ""


def _check_layers(init: str, layers: Pairs, shape: Shape, encoder: facts.Encoder) -> None:
    teacher = encoder.shape
    if init.startswith(EXPLICIT):
        if len(layers) != shape.layers:
            raise Pruned(
                f"init {init} starts {len(layers)} student layers, but the student has "
                f"{shape.layers}"
            )
        if (highest := max(t for t, _ in layers)) > teacher.layers:
            raise Pruned(
                f"init {init} copies teacher layer {highest}, but the teacher has only "
                f"{teacher.layers}"
            )
    elif shape.layers > teacher.layers and not arch_facts(encoder.arch).shared_layers:
        raise Pruned(
            f"init {init} copies {shape.layers} student layers, but the teacher has only "
            f"{teacher.layers}"
        )


def _check_widths(init: str, shape: Shape, encoder: facts.Encoder) -> None:
    teacher = encoder.shape
    if init.endswith(TRUNCATE):
        if arch_facts(encoder.arch).fused and shape.hidden != teacher.hidden:
            raise Pruned(
                f"init {init}: {encoder.arch} has Q, K and V in one matrix, which is not cut by "
                f"heads; only students as wide as the teacher can be copied"
            )
        for part in ("hidden", "heads", "ffn", "head_size"):
            if getattr(shape, part) > getattr(teacher, part):
                raise Pruned(
                    f"init {init} can only cut, but the student's {part.replace('_', ' ')} "
                    f"({getattr(shape, part)}) is above the teacher's ({getattr(teacher, part)})"
                )
    elif (shape.hidden, shape.heads, shape.ffn) != (teacher.hidden, teacher.heads, teacher.ffn):
        raise Pruned(
            f"init {init} copies whole layers, but the student ({shape}) is not as wide as the "
            f"teacher ({teacher}); {init}{TRUNCATE} cuts narrower layers out of it"
        )


def _check_pca(shape: Shape, encoder: facts.Encoder) -> None:
    width, hidden = _embedding_width(encoder), encoder.shape.hidden
    if width != hidden:
        raise Pruned(
            f"init {PCA} has nothing to compress: the embeddings of this encoder have the width "
            f"{width} in teacher and student, whatever the width of the layers ({hidden})"
        )
    if shape.hidden > hidden:
        raise Pruned(
            f"init {PCA} can only compress, but the student's hidden size ({shape.hidden}) is "
            f"above the teacher's ({hidden})"
        )


def _embedding_width(encoder: facts.Encoder) -> int:
    """Width of the embedding tables, which ALBERT and small ELECTRA keep narrower than layers."""
    usual = {"albert": 128, "electra": 128}.get(encoder.arch, encoder.shape.hidden)
    if encoder.location == SCRATCH:
        return usual
    folder = Path(encoder.location) if facts.is_local(encoder.location) else None
    if folder is None and encoder.location not in HUB_ENCODERS:
        folder = cached_snapshot(encoder.location, encoder.revision or "main")
    if folder is not None and (folder / CONFIG).is_file():
        width = model_config(folder).get("embedding_size")
        return width if isinstance(width, int) else usual
    # On the hub, ELECTRA's base and large are as wide as their layers.
    small = encoder.arch == "albert" or encoder.location == "google/electra-small-discriminator"
    return 128 if small else encoder.shape.hidden


def located_init(init: str, shape: Shape, study: Path) -> str:
    """An initialisation with the absolute path of its pretrained folder for a student's shape."""
    if not init.startswith(PRETRAINED):
        return init
    name = _filled(init, shape)
    try:
        model = located_model(name, study)
    except UserError as error:
        raise UserError(f"init {init}: {error}") from None
    return PRETRAINED + model if model != name else init


def _filled(init: str, shape: Shape) -> str:
    """The model that `pretrained:MODEL` names for a student's shape."""
    name = init.removeprefix(PRETRAINED)
    for part in ("layers", "hidden", "heads"):
        name = name.replace(f"{{{part}}}", str(getattr(shape, part)))
    return name


def pretrained(init: str, shape: Shape) -> facts.Encoder:
    """The encoder that `pretrained:MODEL[@REVISION]` names for a student's shape."""
    name = _filled(init, shape)
    model, _, revision = (name, "", "") if facts.is_local(name) else name.partition("@")
    made_up = name != init.removeprefix(PRETRAINED)
    if made_up and not facts.is_local(model) and model not in HUB_ENCODERS:
        raise Pruned(f"init {init} would be {model} for {shape}, which is not known here")
    try:
        return facts.encoder(model, revision or "main", None, "bert")
    except UserError as error:
        raise UserError(f"init {init}: {error}") from None


def _check_pretrained(init: str, shape: Shape, encoder: facts.Encoder) -> None:
    origin = pretrained(init, shape)
    check_same_tokens(f"init {init}", origin, encoder)
    if origin.shape != shape:
        raise Pruned(f"init {init} has the shape {origin.shape}, but the student is {shape}")


def check_same_tokens(name: str, origin: facts.Encoder, encoder: facts.Encoder) -> None:
    """Whether what a student starts from reads the tokens of its teacher, as far as is known here.

    Raises:
        Pruned: it does not; the message begins with `name`.
    """
    if origin.arch != encoder.arch:
        raise Pruned(f"{name} is a {origin.arch}, but student and teacher are {encoder.arch}")
    if None not in (origin.vocabulary, encoder.vocabulary) and (
        origin.vocabulary != encoder.vocabulary
    ):
        raise Pruned(
            f"{name} has a vocabulary of {origin.vocabulary}, but the teacher one of "
            f"{encoder.vocabulary}: student and teacher must read the same tokens"
        )
    if _other_positions(origin, encoder):
        raise Pruned(
            f"{name} has {origin.positions} positions, but student and teacher have "
            f"{encoder.positions}"
        )
    local = all(e.revision is None and e.location != SCRATCH for e in (origin, encoder))
    if local and (differs := _first_difference(origin, encoder)):
        number, its_word, word = differs
        raise Pruned(
            f"{name} has another vocabulary than the teacher: token {number} is "
            f"{shown(its_word)}, but the teacher's {shown(word)}: student and teacher must read "
            f"the same tokens"
        )


def _other_positions(donor: facts.Encoder, encoder: facts.Encoder) -> bool:
    """Whether both have tables of positions, of different sizes."""
    absolute = arch_facts(encoder.arch).position_table and encoder.location != SCRATCH
    known = None not in (donor.positions, encoder.positions)
    return absolute and known and donor.positions != encoder.positions


@cache
def _first_difference(donor: facts.Encoder, encoder: facts.Encoder) -> tuple[int, str, str] | None:
    return first_difference(Path(donor.location), Path(encoder.location))


def init_identity(init: str, shape: Shape, encoder: facts.Encoder) -> Any:
    """What identifies an initialisation: the layers copied, not the name of the rule."""
    if init.startswith(PRETRAINED):
        return {"pretrained": dict(pretrained(init, shape).identity)}
    layers = copied_layers(init, encoder.shape.layers, shape.layers)
    if not layers:
        return init
    if arch_facts(encoder.arch).shared_layers:  # all layers are equal
        layers = tuple((1, s) for _, s in layers)
    return pairs_text(layers)
