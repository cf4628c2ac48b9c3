"""Checks that the files of a local model folder are whole and agree, without loading the model.

Every function raises a UserError that names the file and what to do. Loads neither torch nor
transformers.
"""

import json
import re
from pathlib import Path
from typing import Any

from kd.axes.architectures import arch_facts
from kd.encoders.safetensors_header import Entry, read_header
from kd.runtime.errors import UserError, listing, shown
from kd.runtime.seals import check_not_emptied
from kd.runtime.user_paths import is_folder, readable

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHARDS = f"{WEIGHTS}.index.json"
# The files that a loaded model or tokenizer depends on, beside the weights. tokenizer.json includes
# the vocabulary; only older tokenizers read vocab.txt, merges.txt and spm.model.
_TEXTS = (
    "added_tokens.json",
    CONFIG,
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_WIDTHS = ("hidden_size", "dim", "embedding_size")  # of embeddings, whatever the encoder calls it
_WORDS = re.compile(r"(?:^|\.)embeddings\.(?:word|tok)_embeddings\.weight$")
_POSITIONS = re.compile(r"(?:^|\.)embeddings\.position_embeddings\.weight$")
_TYPES = re.compile(r"(?:^|\.)embeddings\.token_type_embeddings\.weight$")
_FFN = re.compile(r"\.(?:intermediate\.dense|ffn\.lin1)\.weight$")
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
_MLM_HEAD = re.compile(
    r"(?:^|\.)(?:cls\.predictions|predictions\.dense|generator_predictions|lm_predictions|lm_head"
    r"|vocab_transform|decoder\.bias)"
)


def read_object(path: Path, need: str) -> dict[str, Any]:
    """Read a JSON file that holds keys with values; `need` says what to do if it is missing."""
    try:
        content = json.loads(readable(path, need).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {shown(content)}, allowed: keys with values")
    return content


def optional_object(path: Path) -> dict[str, Any]:
    """A JSON file that a folder may lack."""
    return read_object(path, "remove it") if _is_there(path) else {}


def _is_there(path: Path) -> bool:
    """Whether a folder has an entry of that name, even a broken link."""
    return path.is_symlink() or path.exists()


def model_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder."""
    if not is_folder(folder):
        raise UserError(f"{str(folder)!r}: no such folder")
    check_not_emptied(folder)
    return read_object(folder / CONFIG, "a model folder needs it")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads: one, or the shards that its index names."""
    if _is_there(folder / WEIGHTS):
        return [readable(folder / WEIGHTS)]
    if _is_there(folder / SHARDS):
        index = read_object(folder / SHARDS, "").get("weight_map")
        if not index or not isinstance(index, dict) or not all(map(_is_name, index.values())):
            raise UserError(f"{folder / SHARDS}: weight_map: found no names of files beside it")
        shards = sorted(set(index.values()))
        return [readable(folder / name, f"{SHARDS} names it as a shard") for name in shards]
    pickles = sorted(p.name for p in folder.glob("*.bin"))
    others = sorted(p.name for p in folder.glob("*.safetensors"))
    if pickles and not others:
        raise UserError(
            f"{folder}: weights: found only {listing(pickles)}, which would need pickle; "
            f"`kd convert {folder} NEW_FOLDER` makes safetensors of them without running any code"
        )
    raise UserError(f"{folder}: weights: found {listing(others) or 'none'}, allowed: {WEIGHTS}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value == Path(value).name


def tensors(folder: Path) -> dict[str, Entry]:
    """{name: dtype and shape} of all weights of a folder, every file of which is whole."""
    found: dict[str, Entry] = {}
    for path in weight_files(folder):
        found |= read_header(path)
    if (folder / SHARDS).exists() and not (folder / WEIGHTS).exists():
        for name, shard in read_object(folder / SHARDS, "")["weight_map"].items():
            if name not in found:
                raise UserError(f"{folder / shard}: lacks {name}, which {SHARDS} says is in it")
    return found


def check_weights(folder: Path, config: dict[str, Any], layers: int, arch: str) -> None:
    """Check that weights are floating point, with the widths and layers of config.json."""
    names = tensors(folder)
    for name, entry in names.items():
        if name.endswith(".weight") and entry.dtype[0] in "IU":
            raise UserError(
                f"{folder}: {name} is of dtype {entry.dtype}: its weights are quantised, allowed: "
                f"weights in floating point"
            )
    widths = [config[key] for key in _WIDTHS if key in config]
    for name, entry in names.items():
        if _WORDS.search(name) and entry.shape[1:] and entry.shape[1] not in widths:
            raise UserError(
                f"{folder / CONFIG}: hidden_size: found {listing(widths)}, but "
                f"{name} of the weights has {entry.shape[1]} columns: they do not belong together"
            )
    for key, table in (
        ("vocab_size", _WORDS),
        ("max_position_embeddings", _POSITIONS),
        ("type_vocab_size", _TYPES),
        (arch_facts(arch).ffn, _FFN),
    ):
        for name, entry in names.items():
            if table.search(name) and entry.shape[:1] != (config.get(key, entry.shape[0]),):
                raise UserError(
                    f"{folder / CONFIG}: {key}: found {config.get(key)}, but {name} of the weights "
                    f"has {entry.shape[0] if entry.shape else 'no'} rows: they do not belong "
                    f"together"
                )
    found = {int(match[1]) for name in names if (match := _LAYER.search(name))}
    if found and not arch_facts(arch).shared_layers and len(found) < layers:
        raise UserError(
            f"{folder}: the weights have {len(found)} layers, but config.json says {layers}"
        )


def check_head(folder: Path, outputs: int, title: str) -> None:
    """Check that a fine-tuned model has a classification head with the task's outputs."""
    heads = {n: e for n, e in tensors(folder).items() if n.split(".")[0] == "classifier"}
    if not heads:
        raise UserError(
            f"{folder}: finetuned: its weights have no classification head (classifier...); was it "
            f"fine-tuned on {title}?"
        )
    last = [n for n in ("classifier.out_proj.weight", "classifier.weight") if n in heads]
    if last and heads[last[0]].shape[:1] != (outputs,):
        raise UserError(
            f"{folder}: {last[0]} has {heads[last[0]].shape[0]} rows, but {title} needs {outputs}"
        )


def label_names(config: dict[str, Any]) -> list[str]:
    """Names of a model's outputs in their order; those of transformers if config.json has none."""
    names = config.get("id2label")
    if names is None:
        count = config.get("num_labels", 2)
        return [f"LABEL_{i}" for i in range(count if isinstance(count, int) else 0)]
    if not isinstance(names, dict) or not all(str(key).isdecimal() for key in names):
        return []
    return [str(names[key]) for key in sorted(names, key=int)]


def identity_files(folder: Path) -> list[Path]:
    """The files that a loaded model and tokenizer depend on, in a fixed order: weights, config and
    tokenizer, but no licence, read-me or record of a training."""
    weights = weight_files(folder)
    texts = [*_TEXTS, *([SHARDS] if [p.name for p in weights] != [WEIGHTS] else [])]
    return [readable(folder / n) for n in sorted(texts) if _is_there(folder / n)] + weights


def check_mlm_head(folder: Path) -> None:
    """Check that a model has the head of a masked language model."""
    if not any(_MLM_HEAD.search(name) for name in tensors(folder)):
        raise UserError(
            f"{folder}: its weights have no masked language model head, so it has no mlm-logits to "
            f"teach; take a folder that was saved with it, or leave mlm-logits out"
        )
