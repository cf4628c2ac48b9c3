"""What the files of a local model folder say, without loading it: is it whole, and do they agree.

Every function raises a UserError that names the file and what to do. No torch, no transformers.
"""

import json
import re
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kd.archs import ARCHS, arch_facts
from kd.errors import UserError, listing, shown
from kd.safetensors_header import Entry, read_header

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
SHARDS = f"{WEIGHTS}.index.json"
# What a loaded model or tokenizer depends on, beside the weights. tokenizer.json has the vocabulary
# in it: vocab.txt, merges.txt and spm.model are what older tokenizers read.
_TEXTS = (
    "added_tokens.json",
    CONFIG,
    "special_tokens_map.json",
    TOKENIZER,
    "tokenizer_config.json",
    "vocab.json",
)
SLOW_VOCABULARIES = (
    *("vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model"),
    "tokenizer.model",
)
_GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer")
_POINTERS = {
    b"version https://git-lfs.github.com/": ("Git LFS", "`git lfs pull`"),
    b"/annex/objects/": ("git-annex", "`git annex get .`"),
}
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")


def readable(path: Path, need: str = "download or copy it again") -> Path:
    """The path, if it is a file that can be read and holds what it is named for.

    Raises:
        UserError: it is missing, a link to nothing, a folder, unreadable, or a pointer to a file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: found a folder or device, allowed: a file; {need}")
        with path.open("rb") as handle:
            start = handle.read(max(map(len, _POINTERS)))
    except FileNotFoundError:
        if path.is_symlink():
            target = path.readlink()
            raise UserError(f"{path}: a link to {target}, which is missing; {need}") from None
        raise UserError(f"{path}: missing; {need}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    for first, (kind, cure) in _POINTERS.items():
        if start.startswith(first):
            raise UserError(
                f"{path}: a {kind} pointer, not the file itself; {cure} in its folder fetches it"
            )
    return path


def missing_packages() -> list[str]:
    """What SentencePiece models need and is not installed: the extra `sentencepiece`."""
    needed = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
    return [package for module, package in needed.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False


def is_folder(path: Path) -> bool:
    """Whether it is a folder; a name that no file can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _json(path: Path, need: str) -> dict[str, Any]:
    try:
        content = json.loads(readable(path, need).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {shown(content)}, allowed: keys with values")
    return content


def _optional(path: Path) -> dict[str, Any]:
    """A JSON file that a folder may lack."""
    return _json(path, "remove it") if _is_there(path) else {}


def _is_there(path: Path) -> bool:
    """Whether a folder has an entry of that name, be it a link to nothing."""
    return path.is_symlink() or path.exists()


def model_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder."""
    if not is_folder(folder):
        raise UserError(f"{shown(str(folder))}: no such folder")
    return _json(folder / CONFIG, "a model folder needs it")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads: one, or the shards that its index names."""
    if _is_there(folder / WEIGHTS):
        return [readable(folder / WEIGHTS)]
    if _is_there(folder / SHARDS):
        index = _json(folder / SHARDS, "").get("weight_map")
        if not isinstance(index, dict) or not all(_is_name(name) for name in index.values()):
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
        for name, shard in _json(folder / SHARDS, "")["weight_map"].items():
            if name not in found:
                raise UserError(f"{folder / shard}: lacks {name}, which {SHARDS} says is in it")
    return found


def check_weights(folder: Path, config: dict[str, Any], layers: int, arch: str) -> None:
    """The tables of words and positions, and the layers, must be those that config.json names."""
    names = tensors(folder)
    for key, table in (
        ("vocab_size", r"(word|tok)_embeddings\.weight$"),
        ("max_position_embeddings", r"position_embeddings\.weight$"),
    ):
        for name, entry in names.items():
            if re.search(rf"(?:^|\.)embeddings\.{table}", name) and entry.shape[:1] != (
                config.get(key),
            ):
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
    """A fine-tuned model must bring a classification head with the task's outputs."""
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


def words(folder: Path) -> dict[int, str]:
    """{token id: word} of a folder's tokenizer, added tokens among them."""
    return _words(folder, _tokenizer(folder))


def _tokenizer(folder: Path) -> dict[str, Any]:
    """tokenizer.json of a folder."""
    slow = [name for name in SLOW_VOCABULARIES if (folder / name).is_file()]
    cure = f"`kd convert {folder} NEW_FOLDER` makes it of {slow[0]}" if slow else ""
    return _json(folder / TOKENIZER, cure or "save the model's fast tokenizer there")


def _words(folder: Path, tokenizer: dict[str, Any]) -> dict[int, str]:
    try:
        vocabulary = tokenizer["model"]["vocab"]
        if isinstance(vocabulary, dict):
            found = {_id(number): str(word) for word, number in vocabulary.items()}
        else:
            found = {i: str(word[0]) for i, word in enumerate(vocabulary)}
        added = tokenizer.get("added_tokens") or []
        found |= {_id(token["id"]): str(token["content"]) for token in added}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"[:120]
        raise UserError(f"{folder / TOKENIZER}: not a tokenizer file ({reason})") from None
    more = _tokenizer_config(folder).get("added_tokens_decoder")
    for number, token in (more if isinstance(more, dict) else {}).items():
        if isinstance(token, dict) and str(number).isdecimal():
            found.setdefault(int(number), str(token.get("content")))
    if not found:
        raise UserError(f"{folder / TOKENIZER}: its vocabulary is empty")
    return found


def _id(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"the id {shown(value)}")
    return value


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    return _optional(folder / "tokenizer_config.json")


def check_tokenizer(folder: Path, vocabulary: int, arch: str) -> None:
    """tokenizer.json must fit the embeddings, tokenizer_config.json and the need for padding."""
    tokenizer = _tokenizer(folder)
    known = _words(folder, tokenizer)
    if (size := 1 + max(known)) > vocabulary:
        raise UserError(
            f"{folder}: tokenizer.json has {size} entries, but the model's embeddings only "
            f"{vocabulary} rows (config.json, vocab_size): they do not belong together"
        )
    given = _tokenizer_config(folder)
    pad = _text(given.get("pad_token")) or _text(
        _optional(folder / "special_tokens_map.json").get("pad_token")
    )
    padding = tokenizer.get("padding")
    if pad is None and isinstance(padding, dict):
        pad = _text(padding.get("pad_token"))
    if pad is None and given.get("tokenizer_class") not in _GENERIC_TOKENIZERS:
        usual = [arch_facts(arch).pad] if arch in ARCHS else ["[PAD]", "<pad>"]
        pad = next((name for name in usual if name in known.values()), usual[0])
    if pad is None or pad not in known.values():
        found = f"{shown(pad)} is not in tokenizer.json" if pad else "none is named"
        raise UserError(
            f"{folder / 'tokenizer_config.json'}: pad_token: {found}; name a token of "
            f"tokenizer.json there, so that examples of different lengths make one batch"
        )
    _compare_normaliser(folder, tokenizer.get("normalizer"), given)


def _text(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def check_normaliser(folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json must agree on case and Chinese characters."""
    _compare_normaliser(folder, _tokenizer(folder).get("normalizer"), _tokenizer_config(folder))


def _compare_normaliser(folder: Path, normaliser: Any, given: dict[str, Any]) -> None:
    """tokenizer.json is what is used; a tokenizer_config.json that says otherwise is a mistake in
    one of the two."""
    if not isinstance(normaliser, dict) or normaliser.get("type") != "BertNormalizer":
        return
    for key, name in (
        ("do_lower_case", "lowercase"),
        ("tokenize_chinese_chars", "handle_chinese_chars"),
    ):
        stated, used = given.get(key), normaliser.get(name)
        if isinstance(stated, bool) and isinstance(used, bool) and stated != used:
            raise UserError(
                f"{folder / 'tokenizer_config.json'}: {key}: found {stated}, but the normalizer of "
                f"tokenizer.json has {name} {used}; correct the one that is wrong"
            )


def first_difference(folder: Path, other: Path) -> tuple[int, str, str] | None:
    """(id, word, other word) of the first token id that two tokenizers read differently."""
    mine, theirs = words(folder), words(other)
    for number in sorted(mine.keys() & theirs.keys()):
        if mine[number] != theirs[number]:
            return number, mine[number], theirs[number]
    return None


def label_names(config: dict[str, Any]) -> list[str]:
    """Names of a model's outputs in their order; transformers names two where config.json names
    none."""
    names = config.get("id2label")
    if names is None:
        count = config.get("num_labels", 2)
        return [f"LABEL_{i}" for i in range(count if isinstance(count, int) else 0)]
    if not isinstance(names, dict) or not all(str(key).isdecimal() for key in names):
        return []
    return [str(names[key]) for key in sorted(names, key=int)]


def identity_files(folder: Path) -> list[Path]:
    """All that a loaded model and tokenizer depend on, in a fixed order: no licence, no read-me, no
    record of a training or an evaluation."""
    weights = weight_files(folder)
    texts = [*_TEXTS, *([SHARDS] if [p.name for p in weights] != [WEIGHTS] else [])]
    return [readable(folder / n) for n in sorted(texts) if _is_there(folder / n)] + weights
