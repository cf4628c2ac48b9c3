"""What was loaded, as opposed to what the study names: commits, tokenizers, dtypes.

The branch `main` may be another commit tomorrow. Tokenizer and dtype depend on the library too.
"""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.runtime.hashes import file_digest, short_hash

if TYPE_CHECKING:
    from torch import nn

_COMMIT = re.compile(r"[0-9a-f]{40}")


def dataset_commit(dataset: Any, name: str) -> str | None:
    """The commit of the hub repository `name` that a `datasets.Dataset` came from, where known.

    It is in the addresses of the files that were read (`hf://datasets/NAME@COMMIT/...`), and in the
    name of the cache folder that holds a copy.
    """
    for address in dataset.info.download_checksums or ():
        if found := re.search(f"{re.escape(name)}@({_COMMIT.pattern})/", address):
            return found[1]
    folders = {Path(file["filename"]).parent.name for file in dataset.cache_files}
    return next((folder for folder in sorted(folders) if _COMMIT.fullmatch(folder)), None)


def model_commit(name: str, revision: str | None) -> str | None:
    """The commit of the hub model `name` that is loaded for `revision`; None for a folder, or where
    the hub's cache does not say. To be called after the model was loaded."""
    from huggingface_hub import try_to_load_from_cache

    if revision is None:
        return None
    file = try_to_load_from_cache(name, "config.json", revision=revision)
    commit = Path(file).parent.name if isinstance(file, str) else ""
    return commit if _COMMIT.fullmatch(commit) else None


def tokenizer_fingerprint(folder: Path) -> str:
    """16 hex digits of the tokenizer in a folder to which it was saved after it was used.

    It leaves out length limits and padding, which a call of the tokenizer changes.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():  # a tokenizer of several files
        apart = ("config.json", "manifest.json")
        files = (f for f in folder.iterdir() if f.name not in apart and f.suffix != ".safetensors")
        return file_digest(*sorted(files))
    content = json.loads(file.read_text(encoding="utf-8"))
    return short_hash({**content, "truncation": None, "padding": None}, 16)


def weights_dtype(model: "nn.Module") -> str:
    """The dtype of a model's parameters: `float32`; several joined by +."""
    return "+".join(sorted({str(p.dtype).removeprefix("torch.") for p in model.parameters()}))
