"""A tokenizer that gives the ids of its tokenizer.json.

transformers 5 rebuilds the tokenizers of many encoders (BERT's among them) from the vocabulary in
tokenizer.json and from tokenizer_config.json. Other settings of tokenizer.json, for example that
case counts, are lost if tokenizer_config.json does not repeat them.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from kd.runtime.errors import UserError, shown

# Capitals, accents (one composed, one not), sharp s, Chinese, digits, punctuation, runs of blanks.
PROBES = (
    "Berlin is HOT, isn't it?",
    "Caf\u00e9 na\u00efve e\u0301t\u00e9 Stra\u00dfe",
    "\u5317\u4eac 2020: 3.5 %",
    "a\tb  c\u00a0d \u201cquoted\u201d (text) [x] foo_bar",
)


def exact_tokenizer(tokenizer: Any, file: Path) -> Any:
    """The tokenizer itself if it gives the ids of tokenizer.json, else one made from that file with
    the special tokens and input names of `tokenizer`.

    Raises:
        UserError: neither gives the ids of tokenizer.json.
    """
    stated = Tokenizer.from_file(str(file))
    stated.no_padding()
    stated.no_truncation()
    backend = tokenizer.backend_tokenizer
    if stated.post_processor is None:
        stated.post_processor = backend.post_processor
    if _content(backend) != _content(stated):
        names = tokenizer.special_tokens_map.items()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=stated,
            **{k: v for k, v in names if isinstance(v, str) and stated.token_to_id(v) is not None},
            **{key: getattr(tokenizer, key) for key in _KEPT},
            **_input_names(tokenizer),
        )
    for one, two in zip(PROBES, reversed(PROBES), strict=True):
        for texts in ((one,), (one, two)):
            found, wanted = tokenizer(*texts)["input_ids"], stated.encode(*texts).ids
            if found != wanted:
                raise UserError(
                    f"{file}: transformers reads other tokens than this file says, for example of "
                    f"{shown(one)}: {found[:12]}, not {wanted[:12]}; save the tokenizer again with "
                    f"save_pretrained"
                )
    return tokenizer


def _input_names(tokenizer: Any) -> dict[str, list[str]]:
    """The input names, if the tokenizer's files or its class name the segments. If not, they are
    left open, and `kd.data.tokens` decides."""
    stated = tokenizer.init_kwargs.get("model_input_names")
    names = stated or tokenizer.model_input_names
    return {"model_input_names": names} if stated or "token_type_ids" in names else {}


_KEPT = ("model_max_length", "padding_side", "truncation_side")


def _content(tokenizer: Tokenizer) -> dict[str, Any]:
    """All settings that ids depend on."""
    content = json.loads(tokenizer.to_str())
    parts = ("normalizer", "pre_tokenizer", "model", "post_processor")
    return {part: content[part] for part in parts}
