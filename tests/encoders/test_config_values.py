"""Values of config.json and tokenizer.json that break only in a job are known at plan."""

import json

import pytest
from helpers import save_encoder
from model_files import edit, write_encoder
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.activations import ACT2FN

from kd.encoders.config_values import ACTIVATIONS
from kd.encoders.facts import checked_folder
from kd.runtime.errors import UserError

BAD = [
    ("hidden_act", "nope", "found 'nope', allowed: gelu, "),
    ("hidden_act", "gelo", r"\(did you mean gelu\?\)"),
    ("hidden_act", 3, "found 3, allowed: gelu, "),
    ("return_dict", False, "found False, allowed: true"),
    ("add_cross_attention", True, "found True; it attends to another model"),
    ("is_encoder_decoder", True, "found True; a decoder has no place"),
    ("chunk_size_feed_forward", 3, "found 3, allowed: 0"),
    ("hidden_dropout_prob", 2, "found 2, allowed: a number from 0 to 1"),
    ("attention_probs_dropout_prob", "a", "found 'a', allowed: a number from 0 to 1"),
    ("classifier_dropout", 3, "found 3, allowed: null, 0 to 1"),
    ("layer_norm_eps", 0, "found 0, allowed: a number above 0"),
    ("initializer_range", -1.0, "found -1.0, allowed: a number from 0"),
    ("pad_token_id", 999999, "found 999999, allowed: below 105, the vocab_size"),
    ("pad_token_id", "x", "found 'x', allowed: the id of a token, or null"),
    ("use_cache", "x", "found 'x', allowed: true, false"),
    ("attn_implementation", "nope", "found 'nope', allowed: sdpa, eager"),
    ("position_embedding_type", "relative_key", "allowed: absolute"),
    ("id2label", ["a", "b"], "allowed: keys with values"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_a_value_that_breaks_in_a_job_is_a_sentence(tmp_path, key, value, message):
    folder = save_encoder(tmp_path / "encoder", "bert")
    edit(folder / "config.json", **{key: value})
    with pytest.raises(UserError, match=rf"config\.json: {key}: .*{message}"):
        checked_folder(folder)


@pytest.mark.parametrize(
    "arch", ["bert", "roberta", "distilbert", "electra", "albert", "modernbert"]
)
def test_what_transformers_writes_is_right(tmp_path, arch):
    """Its defaults too, each of which it writes out where it is not told to leave them out."""
    folder = save_encoder(tmp_path / "encoder", arch)
    config = AutoConfig.from_pretrained(folder)
    config.to_json_file(folder / "config.json", use_diff=False)
    assert checked_folder(folder)
    assert AutoModelForSequenceClassification.from_config(config).num_labels == 2


def test_activations_are_those_of_transformers():
    assert set(ACTIVATIONS) == set(ACT2FN)


PARTS = ["normalizer", "pre_tokenizer", "post_processor", "decoder"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_tokenizer_that_is_not_known(tmp_path, part):
    folder = write_encoder(tmp_path / "encoder")
    edit(folder / "tokenizer.json", **{part: {"type": "Nope"}})
    with pytest.raises(UserError, match=rf"tokenizer\.json: {part}: found .*Nope.* cannot read"):
        checked_folder(folder)


def test_a_model_of_a_tokenizer_that_is_not_known(tmp_path):
    folder = write_encoder(tmp_path / "encoder")
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    edit(folder / "tokenizer.json", model={**model, "type": "WordPeace"})
    with pytest.raises(
        UserError, match=r"found the type 'WordPeace'.*\(did you mean WordPiece\?\)"
    ):
        checked_folder(folder)
