"""Facts about data and pretrained encoders that identity and pruning need, read from small files.

Nothing here loads a model or reaches the network: a local folder answers by its config.json, a hub
model by the table HUB_ENCODERS or by the `shape` and `arch` that the study gives.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kd.axes.architectures import ARCHS, SCRATCH_ARCHS, arch_facts, shape_obstacle
from kd.axes.shapes import Shape, parse_shape
from kd.axes.tasks import TASKS, Task
from kd.encoders.folder import (
    check_head,
    check_use,
    check_weights,
    identity_files,
    is_folder,
    label_names,
    model_config,
    readable,
    weight_files,
)
from kd.encoders.hub_cache import only_pickles, pickles_sentence
from kd.encoders.tokenizer_files import check_tokenizer, missing_packages
from kd.runtime.digests import cached_file_digest
from kd.runtime.errors import UserError, listing, shown, unknown

SCRATCH = "scratch"
HUB_DATASET = "nyu-mll/glue"


class HubEncoder(NamedTuple):
    """What the config.json of a hub model says; `positions` is its longest input in tokens."""

    arch: str
    shape: Shape
    vocabulary: int
    positions: int = 512
    sentencepiece: bool = False  # its vocabulary is a SentencePiece model, without tokenizer.json


def _deberta_v3(shape: Shape) -> HubEncoder:
    return HubEncoder("deberta-v2", shape, 128100, sentencepiece=True)


_BERT = 30522
HUB_ENCODERS: dict[str, HubEncoder] = {
    "google-bert/bert-base-uncased": HubEncoder("bert", Shape(12, 768, 12, 3072), _BERT),
    "google-bert/bert-base-cased": HubEncoder("bert", Shape(12, 768, 12, 3072), 28996),
    "google-bert/bert-large-uncased": HubEncoder("bert", Shape(24, 1024, 16, 4096), _BERT),
    "google-bert/bert-large-cased": HubEncoder("bert", Shape(24, 1024, 16, 4096), 28996),
    "FacebookAI/roberta-base": HubEncoder("roberta", Shape(12, 768, 12, 3072), 50265),
    "FacebookAI/roberta-large": HubEncoder("roberta", Shape(24, 1024, 16, 4096), 50265),
    "distilbert/distilbert-base-uncased": HubEncoder("distilbert", Shape(6, 768, 12, 3072), _BERT),
    "distilbert/distilroberta-base": HubEncoder("roberta", Shape(6, 768, 12, 3072), 50265),
    "google/electra-small-discriminator": HubEncoder("electra", Shape(12, 256, 4, 1024), _BERT),
    "google/electra-base-discriminator": HubEncoder("electra", Shape(12, 768, 12, 3072), _BERT),
    "google/electra-large-discriminator": HubEncoder("electra", Shape(24, 1024, 16, 4096), _BERT),
    "FacebookAI/xlm-roberta-base": HubEncoder("xlm-roberta", Shape(12, 768, 12, 3072), 250002),
    "albert/albert-base-v2": HubEncoder("albert", Shape(12, 768, 12, 3072), 30000),
    "albert/albert-large-v2": HubEncoder("albert", Shape(24, 1024, 16, 4096), 30000),
    "answerdotai/ModernBERT-base": HubEncoder(
        "modernbert", Shape(22, 768, 12, 1152), 50368, positions=8192
    ),
    "answerdotai/ModernBERT-large": HubEncoder(
        "modernbert", Shape(28, 1024, 16, 2624), 50368, positions=8192
    ),
    "microsoft/deberta-v3-xsmall": _deberta_v3(Shape(12, 384, 6, 1536)),
    "microsoft/deberta-v3-small": _deberta_v3(Shape(6, 768, 12, 3072)),
    "microsoft/deberta-v3-base": _deberta_v3(Shape(12, 768, 12, 3072)),
    "microsoft/mpnet-base": HubEncoder("mpnet", Shape(12, 768, 12, 3072), 30527),
    "microsoft/MiniLM-L12-H384-uncased": HubEncoder("bert", Shape(12, 384, 12, 1536), _BERT),
    "nreimers/MiniLM-L6-H384-uncased": HubEncoder("bert", Shape(6, 384, 12, 1536), _BERT),
    **{
        f"google/bert_uncased_L-{layers}_H-{hidden}_A-{hidden // 64}": HubEncoder(
            "bert",
            Shape(layers, hidden, hidden // 64, 4 * hidden),
            _BERT,
        )
        for layers in (2, 4, 6, 8, 10, 12)
        for hidden in (128, 256, 512, 768)
    },
}


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


def is_local(model: str) -> bool:
    """True for what is written like a path, or is a folder."""
    return model.startswith(("/", "./", "../", "~")) or is_folder(Path(model))


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path!r}: {error}") from None


@cache
def encoder(model: str, revision: str, shape: str | None, arch: str) -> Encoder:
    """What is known of `model` without loading it.

    Raises:
        UserError: a folder without config, weights or tokenizer; a vocabulary that does not fit; a
            hub model of unknown shape; a `scratch` encoder that there cannot be.
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
        return _local_encoder(_expanded(model))
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
        raise UserError(
            f"the shape of {model} is not known here and it is not a folder; say what its "
            f"config.json says, as shape: LAYERSL-HIDDEN-HEADSh-FFN and arch: MODEL_TYPE"
        )
    if only_pickles(model, revision):
        raise UserError(pickles_sentence(model, revision))
    identity = {"model": model, "revision": revision}
    items, dropout = tuple(identity.items()), arch_facts(arch).dropout
    return Encoder(model, revision, arch, known, vocabulary, positions, items, dropout)


def _local_encoder(folder: Path) -> Encoder:
    checked = checked_folder(folder)
    identity = (("fingerprint", cached_file_digest(*identity_files(folder))),)
    return replace(checked, identity=identity)


def checked_folder(folder: Path) -> Encoder:
    """What is known of a local encoder but its identity.

    Raises:
        UserError: a file is missing or not whole, or files do not belong together.
    """
    config = model_config(folder)
    weight_files(folder)
    check_use(folder, config)
    arch = _config_value(config, folder, "model_type")
    if not isinstance(arch, str):
        raise UserError(f"{folder / 'config.json'}: model_type: found {shown(arch)}, allowed: text")
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
    check_tokenizer(folder, vocabulary, arch)
    if config.get("inner_group_num", 1) != 1:  # ALBERT's, of which no published model makes use
        raise UserError(f"{folder / 'config.json'}: inner_group_num: only 1 is supported")
    positions = _whole(config, folder, "max_position_embeddings") - arch_facts(arch).reserved
    check_weights(folder, config, layers, arch)
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
    """A local, already fine-tuned model must have the task's number of labels, and a head."""
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


@cache
def tsv_files(path: str, task: str) -> dict[str, Path]:
    """{split: TSV file} of a task in a glue_data folder.

    Raises:
        UserError: the folder or a split is missing.
    """
    root = _expanded(path)
    if not is_folder(root):
        raise UserError(f"data.path: found {path!r}, which is no folder")
    row = TASKS[task]
    files = {"train": root / row.folder / "train.tsv"}
    files |= {split: root / row.folder / f"{name}.tsv" for split, name in row.dev}
    for split, file in files.items():
        readable(file, f"{row.title} needs it as its {split} split")
    return files


@cache
def tsv_fingerprint(path: str, task: str) -> str:
    """16 hex digits that identify the contents of a task's TSV files."""
    return cached_file_digest(*tsv_files(path, task).values())


def data_identity(data: dict[str, Any], task: str) -> dict[str, Any]:
    """What identifies a task's data: source with revision, fingerprint or generator settings."""
    if data["source"] == "tsv":
        return {"source": "tsv", "fingerprint": tsv_fingerprint(data["path"], task)}
    return dict(data)
