"""tokenizer.json is the file that is demanded, so it is the file that is used."""

import json
import shutil
from pathlib import Path

import pytest
from helpers import SHAPE, in_the_hubs_cache
from tokenizers import Tokenizer
from tokenizers_of_kinds import (
    byte_level,
    saved,
    unigram,
    wordpiece,
)
from transformers import AutoTokenizer

from kd.encoders import exact_tokenizer
from kd.encoders.exact_tokenizer import PROBES
from kd.encoders.facts import Encoder
from kd.encoders.tokenizer import check_same_words, encoder_tokenizer
from kd.runtime.errors import UserError

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


CASES = {
    "cased BERT": ("bert", lambda: wordpiece(lowercase=False)),
    "accents": ("bert", lambda: wordpiece(lowercase=True, strip_accents=False)),
    "uncased BERT": ("distilbert", lambda: wordpiece(lowercase=True)),
    "Chinese": ("electra", lambda: wordpiece(lowercase=True, handle_chinese_chars=False)),
    "RoBERTa": ("roberta", lambda: byte_level(False)),
    "RoBERTa with a blank": ("roberta", lambda: byte_level(True)),
    "ALBERT": ("albert", lambda: unigram("[CLS]", "[SEP]", "<pad>", "<unk>", "[MASK]")),
    "XLM-RoBERTa": ("xlm-roberta", lambda: unigram("<s>", "</s>", "<pad>", "<unk>", "<mask>")),
}


@pytest.mark.parametrize("case", CASES)
def test_ids_are_those_of_tokenizer_json(tmp_path, case):
    """With no other file beside it; and so they stay in the folder that is saved."""
    arch, make = CASES[case]
    encoder = saved(tmp_path / "given", arch, make())
    wanted = Tokenizer.from_file(str(tmp_path / "given/tokenizer.json"))
    tokenizer = encoder_tokenizer(encoder)
    assert tokenizer.pad_token_id is not None
    tokenizer.save_pretrained(tmp_path / "saved")
    shutil.copy(tmp_path / "given/config.json", tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved", trust_remote_code=False)
    for one in ("Berlin", "Caf\u00e9 berlin", *PROBES):
        for texts in ((one,), (one, "Paris")):
            ids = wanted.encode(*texts).ids
            assert tokenizer(*texts)["input_ids"] == ids, f"{case}: {texts}"
            assert again(*texts)["input_ids"] == ids, f"{case}: {texts}, saved and loaded"


def test_capitals_of_a_cased_folder_are_kept(tmp_path):
    encoder = saved(tmp_path / "given", "bert", wordpiece(lowercase=False))
    tokenizer = encoder_tokenizer(encoder)
    assert tokenizer.tokenize("Berlin") == ["Berlin"]
    assert "token_type_ids" in tokenizer("a", "b"), "BERT's inputs are lost"


def test_a_hub_models_tokenizer_json_counts_too(tmp_path, monkeypatch):
    saved(tmp_path / "given", "bert", wordpiece(lowercase=False))
    commit = in_the_hubs_cache(tmp_path / "given", tmp_path, monkeypatch)
    for revision in ("main", commit):
        hub = Encoder("org/name", revision, "bert", SHAPE, None, None, ())
        assert encoder_tokenizer(hub).tokenize("Berlin") == ["Berlin"]
    config = tmp_path / f"hub/models--org--name/snapshots/{commit}/tokenizer_config.json"
    config.write_text('{"do_lower_case": true}')
    with pytest.raises(UserError, match="do_lower_case: found True, but the normalizer"):
        encoder_tokenizer(hub)


def test_padding_and_length_in_tokenizer_json_change_no_ids(tmp_path):
    """As sentence-transformers saves them."""
    made = wordpiece(lowercase=False)
    made.enable_padding(length=64)
    made.enable_truncation(5)
    tokenizer = encoder_tokenizer(saved(tmp_path / "given", "bert", made))
    made.no_padding()
    made.no_truncation()
    assert tokenizer(PROBES[0])["input_ids"] == made.encode(PROBES[0]).ids


def test_a_tokenizer_without_padding_is_refused(tmp_path):
    encoder = saved(tmp_path / "given", "bert", wordpiece(lowercase=True))
    (tmp_path / "given/tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    )
    with pytest.raises(UserError, match="no pad_token"):
        encoder_tokenizer(encoder)


def test_ids_that_are_not_those_of_tokenizer_json_are_refused(tmp_path, monkeypatch):
    encoder = saved(tmp_path / "given", "bert", wordpiece(lowercase=False))
    monkeypatch.setattr(exact_tokenizer, "_content", lambda tokenizer: {})
    with pytest.raises(UserError, match=r"tokenizer\.json: transformers reads other tokens") as e:
        encoder_tokenizer(encoder)
    assert "\n" not in str(e.value)


def test_a_donor_of_other_words_is_refused(tmp_path):
    """Where the plan could not know it: one of the two is on the hub."""
    source = tmp_path / "tokens"
    encoder = saved(source, "bert", wordpiece(lowercase=False))
    check_same_words(encoder, source)
    other = saved(tmp_path / "other", "bert", wordpiece(lowercase=True))
    with pytest.raises(UserError, match=r"other has another vocabulary.*token \d+ is '"):
        check_same_words(other, source)


@pytest.mark.skipif(not MODELS.is_dir(), reason="no pretrained encoder beside the checkout")
def test_a_published_tokenizer_is_left_as_it_is():
    folder = MODELS / "minilm-l6-h384-uncased"
    tokenizer = encoder_tokenizer(Encoder(str(folder), None, "bert", SHAPE, 30522, None, ()))
    assert type(tokenizer) is type(AutoTokenizer.from_pretrained(folder, trust_remote_code=False))
    assert tokenizer("Berlin")["input_ids"] == [101, 4068, 102]
