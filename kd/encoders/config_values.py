"""Finds values in config.json from which transformers cannot build the encoder, or builds another.

transformers would refuse them too, but only in the job. Loads neither torch nor transformers.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kd.axes.architectures import arch_facts
from kd.encoders.folder import CONFIG
from kd.runtime.errors import UserError, listing, nearest, shown

# The names of transformers.activations.ACT2FN.
ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python"),
    *("gelu_python_tanh", "gelu_pytorch_tanh", "hardswish", "laplace", "leaky_relu", "linear"),
    *("mish", "prelu", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu"),
    *("sqrtsoftplus", "swish", "tanh", "xielu"),
)
_ACTIVATION_KEYS = ("hidden_act", "activation", "hidden_activation", "classifier_activation")
_NO_ENCODER = {
    "quantization_config": "quantised weights cannot be used, allowed: weights in floating point",
    "is_decoder": "a decoder reads from left to right, allowed: an encoder",
    "is_encoder_decoder": "a decoder has no place here, allowed: an encoder",
    "add_cross_attention": "it attends to another model, allowed: an encoder alone",
}


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_positive(value: Any) -> bool:
    return isinstance(value, float) and value > 0


def _is_token(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


# (which keys, which values are right, how these are called). Keys that are not there are right.
_RULES: tuple[tuple[Callable[[str], bool], Callable[[Any], bool], str], ...] = (
    (lambda key: key == "return_dict", lambda value: value is True, "true"),
    (lambda key: key == "chunk_size_feed_forward", lambda value: value == 0, "0"),
    (lambda key: key == "classifier_dropout", lambda v: v is None or _is_share(v), "null, 0 to 1"),
    (
        lambda key: "dropout" in key and key != "classifier_dropout",
        _is_share,
        "a number from 0 to 1",
    ),
    (lambda key: key.endswith("_eps"), _is_positive, "a number above 0, with a point"),
    (
        lambda key: key == "initializer_range",
        lambda value: isinstance(value, float) and value >= 0,
        "a number from 0, with a point",
    ),
    (lambda key: key in ("pad_token_id", "bos_token_id"), _is_token, "the id of a token, or null"),
    (lambda key: key in ("use_cache", "tie_word_embeddings"), _is_boolean, "true, false"),
    (
        lambda key: key in ("attn_implementation", "_attn_implementation"),
        lambda value: value in (None, "eager", "sdpa"),
        "sdpa, eager",
    ),
    (
        lambda key: key in ("id2label", "label2id"),
        lambda value: value is None or isinstance(value, dict),
        "keys with values",
    ),
)


def check_config(folder: Path, config: dict[str, Any], arch: str) -> None:
    """Check that config.json describes an encoder that transformers can build.

    Raises:
        UserError: it names the key, what was found and what is allowed.
    """
    where = folder / CONFIG
    for key, reason in _NO_ENCODER.items():
        if value := config.get(key):
            raise UserError(f"{where}: {key}: found {shown(value)}; {reason}")
    for key in _ACTIVATION_KEYS:
        if key in config and config[key] not in ACTIVATIONS:
            raise UserError(
                f"{where}: {key}: found {shown(config[key])}, allowed: {listing(ACTIVATIONS)}"
                f"{nearest(config[key], ACTIVATIONS)}"
            )
    for key, value in config.items():
        for concerns, is_right, allowed in _RULES:
            if concerns(key) and not is_right(value):
                raise UserError(f"{where}: {key}: found {shown(value)}, allowed: {allowed}")
    pad, words = config.get("pad_token_id"), config.get("vocab_size")
    if isinstance(pad, int) and isinstance(words, int) and pad >= words:
        raise UserError(
            f"{where}: pad_token_id: found {pad}, allowed: below {words}, the vocab_size"
        )
    positions = config.get("position_embedding_type", "absolute")
    if arch_facts(arch).position_table and positions != "absolute":
        raise UserError(
            f"{where}: position_embedding_type: found {shown(positions)}, allowed: absolute, since "
            f"transformers ignores others"
        )
