"""Checks the tokenizer files of a local model folder: words, padding, case.

Errors are UserErrors that name the file and what to do. Loads neither torch nor transformers.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kd.axes.architectures import ARCHS, arch_facts
from kd.encoders.folder import optional_object, read_object
from kd.runtime.errors import UserError, listing, nearest, shown

TOKENIZER = "tokenizer.json"
SLOW_VOCABULARIES = (
    *("vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model"),
    "tokenizer.model",
)
_MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")
_GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer")


def words(folder: Path) -> dict[int, str]:
    """{token id: word} of a folder's tokenizer, added tokens among them."""
    return _words(folder, _tokenizer(folder))


def hides_segments(folder: Path, arch: str) -> bool:
    """Whether transformers 5 does not name the segment ids that this encoder reads of a pair."""
    config = _tokenizer_config(folder)
    generic = config.get("tokenizer_class") in _GENERIC_TOKENIZERS
    unnamed = arch == "albert" or (arch in ("bert", "electra") and generic)
    return unnamed and not config.get("model_input_names")


def _tokenizer(folder: Path) -> dict[str, Any]:
    """tokenizer.json of a folder."""
    slow = [name for name in SLOW_VOCABULARIES if (folder / name).is_file()]
    cure = f"`kd convert {folder} NEW_FOLDER` makes it of {slow[0]}" if slow else ""
    return read_object(folder / TOKENIZER, cure or "save the model's fast tokenizer there")


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
    return optional_object(folder / "tokenizer_config.json")


def check_tokenizer(folder: Path, vocabulary: int, arch: str) -> None:
    """Check that tokenizer.json fits the embeddings and tokenizer_config.json, and has padding."""
    tokenizer = _tokenizer(folder)
    _check_parts(folder, tokenizer)
    known = _words(folder, tokenizer)
    if (size := 1 + max(known)) > vocabulary:
        raise UserError(
            f"{folder}: tokenizer.json has {size} entries, but the model's embeddings only "
            f"{vocabulary} rows (config.json, vocab_size): they do not belong together"
        )
    given = _tokenizer_config(folder)
    # Older tokenizers leave these two; transformers reads them where they are.
    special = optional_object(folder / "special_tokens_map.json")
    optional_object(folder / "added_tokens.json")
    pad = _text(given.get("pad_token")) or _text(special.get("pad_token"))
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


def _check_parts(folder: Path, tokenizer: dict[str, Any]) -> None:
    """Check that the installed `tokenizers` knows every part. It parses no words."""
    from tokenizers import Tokenizer, __version__

    model = tokenizer.get("model")
    kind = model.get("type", _MODELS[0]) if isinstance(model, dict) else None
    if kind not in _MODELS:
        raise UserError(
            f"{folder / TOKENIZER}: model: found the type {shown(kind)}, allowed: "
            f"{listing(_MODELS)}{nearest(kind, _MODELS)}"
        )
    empty = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        found = tokenizer.get(part)
        try:
            Tokenizer.from_str(json.dumps({"version": "1.0", "model": empty, part: found}))
        except Exception:  # the library has no narrower one
            raise UserError(
                f"{folder / TOKENIZER}: {part}: found {shown(found)}, which the installed "
                f"tokenizers {__version__} cannot read"
            ) from None


def _text(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def check_normaliser(folder: Path) -> None:
    """Check that tokenizer.json and tokenizer_config.json agree on case and Chinese characters."""
    _compare_normaliser(folder, _tokenizer(folder).get("normalizer"), _tokenizer_config(folder))


def _compare_normaliser(folder: Path, normaliser: Any, given: dict[str, Any]) -> None:
    """Compare one setting. tokenizer.json counts, and a tokenizer_config.json that contradicts it
    means a mistake in one of the two."""
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


def missing_packages() -> list[str]:
    """The packages of the extra `sentencepiece` that are not installed."""
    needed = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
    return [package for module, package in needed.items() if not _is_installed(module)]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it would be in
        return False
