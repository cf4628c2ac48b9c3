"""Reads the local cache of the Hugging Face hub, without its library and without a network."""

import os
from contextlib import suppress
from pathlib import Path

from kd.runtime.user_paths import is_folder

_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads its variables


def only_pickles(model: str, revision: str) -> bool:
    """Whether the network is switched off and the cache has a model's weights as pickles only.

    With a network this cannot be known, because the cache has only files that were loaded before.
    """
    if not offline_switch() or (folder := cached_snapshot(model, revision)) is None:
        return False
    names = [path.name for path in folder.iterdir()]
    return "pytorch_model.bin" in names and not any(n.endswith(".safetensors") for n in names)


def offline_switch() -> str:
    """The environment variable that switches the network off; '' where none does."""
    on = (name for name in _SWITCHES if os.environ.get(name, "").upper() in _TRUE)
    return next(on, "")


def cached_snapshot(model: str, revision: str) -> Path | None:
    """The folder in the cache with files of a model at a revision; None where there is none."""
    folder = cache() / f"models--{model.replace('/', '--')}"
    commit = revision
    with suppress(OSError, ValueError):
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    found = folder / "snapshots" / commit
    return found if is_folder(found) else None


def cache() -> Path:
    """The folder of the cache, as huggingface_hub chooses it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(name):
            return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME", f"{base}/huggingface")).expanduser() / "hub"


def pickles_sentence(model: str, revision: str) -> str:
    """What to do about a hub model that has no safetensors."""
    at = "" if revision == "main" else f" --revision {revision}"
    return (
        f"{model}: found no safetensors weights at revision {revision} (.bin weights are pickles, "
        f"which are not loaded); `kd convert {model} FOLDER{at}` converts them safely, then give "
        f"that folder as the model"
    )
