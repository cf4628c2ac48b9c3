"""Loads with the Auto classes of transformers, and says what to do where that fails.

No remote code runs.
"""

import errno
from typing import Any

from transformers import PreTrainedModel, logging

from kd.encoders.facts import Encoder
from kd.encoders.hub_cache import pickles_sentence
from kd.runtime.errors import Transient, UserError

_ALIGNMENT = 64  # bytes, of all memory that torch allocates on a CPU

logging.set_verbosity_error()
logging.disable_progress_bar()


def from_pretrained(auto: Any, encoder: Encoder, **kwargs: Any) -> Any:
    """`auto.from_pretrained` for an encoder of the hub or of a folder.

    Raises:
        UserError: it cannot be loaded; the message says what to do where that is known.
        Transient: a hub model cannot be loaded, perhaps because the hub does not answer.
    """
    if encoder.revision is not None:
        kwargs["revision"] = encoder.revision
    try:
        return auto.from_pretrained(encoder.location, trust_remote_code=False, **kwargs)
    except Exception as error:  # safetensors, JSON, network: each has errors of its own
        reason = " ".join(str(error).split())[:300]
        if may_pass(error):
            raise Transient(f"{encoder.location}: could not be loaded: {reason}") from error
        if cure := _cure(encoder, reason):
            raise UserError(cure) from error
        kind = UserError if encoder.revision is None else Transient  # a folder, or the hub
        raise kind(f"{encoder.location}: could not be loaded: {reason}") from error


def may_pass(error: Exception) -> bool:
    """Whether a model could not be loaded for lack of memory, or because the file system failed."""
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return True
    # transformers raises OSError without a number for files that are missing or wrong.
    return isinstance(error, OSError) and error.errno not in (None, errno.ENOENT)


def aligned(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its weights where torch would put them.

    Loaded weights stay in their file's memory map, at any address. Matrix products of some
    processors differ in the last bit with the address.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()
    return model


def _cure(encoder: Encoder, reason: str) -> str:
    """What to do about a hub model that has only pickles, or a tokenizer that needs a package."""
    if encoder.revision is None:
        return ""
    if "does not appear to have a file named model.safetensors" in reason:
        return pickles_sentence(encoder.location, encoder.revision)
    if "sentencepiece" in reason.lower() or "tiktoken" in reason.lower():
        return (
            f"{encoder.location}: its tokenizer needs pip install 'kd-grid[sentencepiece]' "
            f"({reason[:100]})"
        )
    return ""
