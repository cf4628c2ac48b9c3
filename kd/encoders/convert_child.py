"""Reads pickled weights and slow tokenizers, and writes safetensors and tokenizer.json.

kd.encoders.convert starts it as a process: `python -m kd.encoders.convert_child FOLDER OUT`. It
prints what it has made as JSON, or one sentence on stderr and exit status 2.
"""

import importlib.util
import json
import pickle
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kd.encoders.folder import CONFIG, SHARDS, WEIGHTS, model_config, readable, weight_files
from kd.encoders.tokenizer_files import SLOW_VOCABULARIES, TOKENIZER, missing_packages
from kd.runtime.errors import UserError, listing, shown

_PICKLE = "pytorch_model.bin"
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json")


def main(folder: Path, out: Path) -> list[str]:
    """Convert a folder; what was made of what."""
    model_config(folder)
    made = [_weights(folder, out), _tokenizer(folder, out)]
    shutil.copyfile(folder / CONFIG, out / CONFIG)
    return made


def _no_network(event: str, _: Any) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise PermissionError("a conversion does without a network")


def _weights(folder: Path, out: Path) -> str:
    if (folder / WEIGHTS).exists() or (folder / SHARDS).exists():
        files = weight_files(folder)
        index = [folder / SHARDS] if (folder / SHARDS).exists() else []
        for file in (*files, *index):
            shutil.copyfile(file, out / file.name)
        return listing(file.name for file in files)
    from safetensors.torch import save_file

    files = _pickles(folder)
    save_file(_tensors(files), out / WEIGHTS, metadata={"format": "pt"})
    return f"{WEIGHTS} of {listing(file.name for file in files)}"


def _pickles(folder: Path) -> list[Path]:
    """pytorch_model.bin, or the shards that its index names."""
    index = folder / f"{_PICKLE}.index.json"
    if not index.exists():
        found = sorted(p.name for p in folder.glob("*.bin"))
        return [readable(folder / _PICKLE, f"found {listing(found) or 'no weights'}")]
    try:
        names = set(json.loads(readable(index).read_text(encoding="utf-8"))["weight_map"].values())
        shards = [folder / name for name in sorted(names)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{index}: not an index of weights; download it again") from None
    if any(shard.parent != folder for shard in shards):
        raise UserError(f"{index}: weight_map: found a file that is not beside it")
    return [readable(shard, f"{index.name} names it as a shard") for shard in shards]


def _tensors(files: Iterable[Path]) -> dict[str, Any]:
    """{name: tensor} of pickled files. No two share memory, which safetensors cannot express."""
    found: dict[str, Any] = {}
    storages: set[int] = set()
    for file in files:
        for name, tensor in _unpickled(file).items():
            storage = tensor.untyped_storage()
            whole = tensor.is_contiguous() and storage.nbytes() == tensor.nbytes
            alone = storage.data_ptr() not in storages
            storages.add(storage.data_ptr())
            found[name] = tensor if whole and alone else tensor.contiguous().clone()
    return found


def _unpickled(file: Path) -> dict[str, Any]:
    """The tensors of a pickled file. `weights_only` builds tensors and plain containers alone."""
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else " ".join(str(error).split())[:120]
        raise UserError(
            f"{file}: holds more than tensors: {reason}; nothing of it was run, and it is not "
            f"converted"
        ) from None
    except Exception as error:  # zip archives, the end of a file: each has errors of its own
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{file}: cut off or damaged ({reason}); download it again") from None
    if not isinstance(content, dict) or not content:
        raise UserError(f"{file}: found {type(content).__name__}, allowed: named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or _is_odd(value):
            raise UserError(
                f"{file}: {shown(name)}: found {type(value).__name__}, allowed: a dense tensor"
            )
    return content


def _is_odd(tensor: Any) -> bool:
    return tensor.is_sparse or tensor.is_quantized or tensor.is_meta or tensor.is_nested


def _tokenizer(folder: Path, out: Path) -> str:
    if (folder / TOKENIZER).exists():
        for name in (TOKENIZER, *_BESIDE):
            if (folder / name).exists():
                shutil.copyfile(readable(folder / name), out / name)
        return TOKENIZER
    from transformers import AutoTokenizer, logging

    logging.set_verbosity_error()
    file, size = _vocabulary(folder)
    more = _case(folder, file)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **more)
    except Exception as error:  # each kind of tokenizer has errors of its own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: not read as a tokenizer ({reason})") from None
    if len(tokenizer) < size:
        raise UserError(
            f"{file}: has {size} words, but transformers makes a tokenizer of {len(tokenizer)} of "
            f"them; is config.json that of another model?"
        )
    tokenizer.save_pretrained(out)
    if not (out / TOKENIZER).is_file():
        raise UserError(
            f"{file}: transformers has no fast tokenizer of its kind ({type(tokenizer).__name__}), "
            f"so it cannot be written as {TOKENIZER}"
        )
    case = {True: ", lower case", False: ", case kept", None: ""}[more.get("do_lower_case")]
    return f"{TOKENIZER} of {file.name}{case}"


def _vocabulary(folder: Path) -> tuple[Path, int]:
    """A slow tokenizer's vocabulary, and how many words are in it."""
    names = [name for name in SLOW_VOCABULARIES if (folder / name).exists()]
    if not names:
        raise UserError(f"{folder}: tokenizer: found none of {listing(SLOW_VOCABULARIES)}")
    file = readable(folder / names[0])
    if file.suffix == ".model":
        if missing := missing_packages():
            raise UserError(
                f"{file}: a SentencePiece model, and {listing(missing)} is not installed: "
                f"pip install 'kd-grid[sentencepiece]'"
            )
        processor = importlib.import_module("sentencepiece").SentencePieceProcessor
        try:
            return file, processor(model_file=str(file)).get_piece_size()
        except Exception:  # an error of its C++ code
            raise UserError(f"{file}: not a SentencePiece model; download it again") from None
    if file.suffix == ".json":
        readable(folder / "merges.txt", "vocab.json needs it beside it")
        return file, len(json.loads(file.read_text(encoding="utf-8")))
    return file, len(set(_lines(file)))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").rstrip("\n").split("\n")


def _case(folder: Path, file: Path) -> dict[str, bool]:
    """Whether a WordPiece vocabulary is in lower case, where tokenizer_config.json does not say it:
    transformers would assume so. One with capitals is not."""
    if file.suffix != ".txt":
        return {}
    config = folder / "tokenizer_config.json"
    if config.exists():
        stated = json.loads(readable(config).read_text(encoding="utf-8"))
        if isinstance(stated, dict) and "do_lower_case" in stated:
            return {}
    words = [w for w in _lines(file) if not (w.startswith(("[", "<")) and w.endswith(("]", ">")))]
    return {"do_lower_case": not any(word != word.lower() for word in words)}


if __name__ == "__main__":
    sys.addaudithook(_no_network)
    try:
        result = main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (UserError, OSError, ValueError) as failure:
        print(" ".join(str(failure).split()), file=sys.stderr)
        sys.exit(2)
    print(json.dumps(result))
