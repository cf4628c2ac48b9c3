"""Facts about an encoder that identity and pruning need, without loading it.

The facts of a local folder come from its config.json. Those of a hub model come from the table
HUB_ENCODERS, from the `shape` and `arch` that the study gives, or from its config.json in the hub's
cache, which is fetched once (`hub_config`).
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.architectures import ARCHS, SCRATCH_ARCHS, arch_facts, shape_obstacle
from kd.axes.pretrained import HUB_ENCODERS, SCRATCH
from kd.axes.shapes import Shape, parse_shape
from kd.axes.tasks import Task
from kd.encoders.config_values import check_config
from kd.encoders.folder import (
    check_head,
    check_weights,
    identity_files,
    label_names,
    model_config,
    weight_files,
)
from kd.encoders.hub_cache import only_pickles, pickles_sentence
from kd.encoders.hub_config import config_folder
from kd.encoders.tokenizer_files import check_tokenizer, hides_segments, missing_packages
from kd.runtime.digests import cached_file_digest
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.runtime.user_paths import expanded, is_folder

# Ends of the names of transformers' classes that generate text.
_GENERATORS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForSeq2SeqLM")


@dataclass(frozen=True)
class Encoder:
    """A pretrained (or scratch) encoder: where it is, what it is, and what identifies it."""

    location: str  # hub id, folder, or SCRATCH
    revision: str | None
    arch: str
    shape: Shape
    vocabulary: int | None
    positions: int | None  # longest input, in tokens; None where it is not known here
    identity: tuple[tuple[str, Any], ...]  # items of what run ids contain: never a local path
    dropout: bool = True  # whether it has any in training mode, as far as is known here
    hides_segments: bool = False  # whether earlier versions gave it no segment ids of pairs


def is_local(model: str) -> bool:
    """Whether a model is written like a path, or is a folder."""
    return model.startswith(("/", "./", "../", "~")) or is_folder(Path(model))


@cache
def encoder(model: str, revision: str, shape: str | None, arch: str) -> Encoder:
    """What is known of `model` without loading it.

    Raises:
        UserError: a folder without config, weights or tokenizer; a vocabulary that does not fit; a
            hub model whose config.json cannot be had, or is no encoder's; a `scratch` encoder of an
            impossible shape or architecture.
    """
    if model == SCRATCH:
        if shape is None:
            raise UserError("model scratch needs a shape, such as 4L-128-4h-512")
        if arch not in SCRATCH_ARCHS:
            raise unknown("arch of scratch", arch, SCRATCH_ARCHS)
        identity = {"model": SCRATCH, "arch": arch, "shape": shape}
        size = parse_shape(shape)
        if reason := shape_obstacle(arch, size):
            raise UserError(f"shape: {reason}")
        return Encoder(SCRATCH, None, arch, size, None, 510, tuple(identity.items()), False)
    if is_local(model):
        return _local_encoder(expanded(model))
    dropout: bool | None = None
    if model in HUB_ENCODERS:
        arch, known, vocabulary, positions, sentencepiece = HUB_ENCODERS[model]
        if sentencepiece and (missing := missing_packages()):
            raise UserError(
                f"{model} has a SentencePiece vocabulary, and {listing(missing)} is not "
                f"installed: pip install 'kd-grid[sentencepiece]', or run `kd convert {model} "
                f"FOLDER` where it is, and give that folder"
            )
    elif shape is not None:
        known, vocabulary, positions = parse_shape(shape), None, None
    else:
        found = _of_config(config_folder(model, revision))
        arch, known = found.arch, found.shape
        vocabulary, positions, dropout = found.vocabulary, found.positions, found.dropout
    if only_pickles(model, revision):
        raise UserError(pickles_sentence(model, revision))
    identity = {"model": model, "revision": revision}
    items = tuple(identity.items())
    if dropout is None:
        dropout = arch_facts(arch).dropout
    hidden = arch == "albert"
    return Encoder(model, revision, arch, known, vocabulary, positions, items, dropout, hidden)


def _local_encoder(folder: Path) -> Encoder:
    checked = checked_folder(folder)
    identity = (("fingerprint", cached_file_digest(*identity_files(folder))),)
    return replace(checked, identity=identity, hides_segments=hides_segments(folder, checked.arch))


def checked_folder(folder: Path) -> Encoder:
    """The facts of a local encoder, without its identity.

    Raises:
        UserError: a file is missing or not whole, or files do not belong together.
    """
    config = model_config(folder)
    weight_files(folder)
    found = _of_config(folder)
    assert found.vocabulary is not None
    check_tokenizer(folder, found.vocabulary, found.arch)
    check_weights(folder, config, found.shape.layers, found.arch)
    return found


def _of_config(folder: Path) -> Encoder:
    """What config.json says of an encoder, wherever its weights are.

    Raises:
        UserError: it is damaged, or of no encoder that transformers can build.
    """
    config = model_config(folder)
    arch = _config_value(config, folder, "model_type")
    if not isinstance(arch, str):
        raise UserError(f"{folder / 'config.json'}: model_type: found {shown(arch)}, allowed: text")
    names = config.get("architectures") or []
    if arch not in ARCHS and any(str(name).endswith(_GENERATORS) for name in names):
        raise UserError(
            f"{folder / 'config.json'}: architectures: found {listing(names)} (model_type {arch}), "
            f"which generates text; allowed: an encoder, such as those of {listing(ARCHS)}"
        )
    check_config(folder, config, arch)
    layers, hidden, heads, ffn = (
        _whole(config, folder, *names)
        for names in (
            ("num_hidden_layers", "n_layers"),
            ("hidden_size", "dim"),
            ("num_attention_heads", "n_heads"),
            (arch_facts(arch).ffn,),
        )
    )
    try:
        shape = parse_shape(str(Shape(layers, hidden, heads, ffn)))
    except UserError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    vocabulary = _whole(config, folder, "vocab_size")
    if config.get("inner_group_num", 1) != 1:  # a setting of ALBERT that no published model uses
        raise UserError(f"{folder / 'config.json'}: inner_group_num: only 1 is supported")
    positions = _whole(config, folder, "max_position_embeddings") - arch_facts(arch).reserved
    rates = [value for name, value in config.items() if "dropout" in name]
    dropout = any(isinstance(rate, int | float) and rate > 0 for rate in rates) or not rates
    return Encoder(str(folder), None, arch, shape, vocabulary, positions, (), dropout)


def _config_value(config: dict[str, Any], folder: Path, *names: str) -> Any:
    for name in names:
        if name in config:
            return config[name]
    raise UserError(f"{folder / 'config.json'}: {names[0]}: missing; is this an encoder?")


def _whole(config: dict[str, Any], folder: Path, *names: str) -> int:
    value = _config_value(config, folder, *names)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(
            f"{folder / 'config.json'}: {names[0]}: found {shown(value)}, allowed: a whole number"
        )
    return value


def check_outputs(location: str, task: Task) -> None:
    """Check that a local, fine-tuned model has a head with the task's number of labels."""
    folder = Path(location)
    config = model_config(folder)
    count = len(label_names(config))
    if count != task.outputs:
        raise UserError(
            f"{location}/config.json: found {count} labels (id2label), "
            f"but {task.title} needs {task.outputs}"
        )
    if config.get("model_type") in ARCHS:  # others may name their head otherwise
        check_head(folder, task.outputs, task.title)
