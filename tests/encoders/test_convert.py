"""`kd convert`: safetensors and tokenizer.json of what other tools left, and no code of theirs."""

import json
import os
import pickle
import shutil
import socket
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from helpers import SHAPE, in_the_hubs_cache, tiny_config, tiny_model
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers_of_kinds import saved, wordpiece

from kd.cli.main import main
from kd.encoders import convert_child, facts
from kd.encoders.build import build_random, load_weights
from kd.encoders.convert import convert
from kd.encoders.exact_tokenizer import PROBES
from kd.encoders.facts import Encoder, encoder
from kd.encoders.tokenizer import encoder_tokenizer
from kd.runtime.errors import UserError

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
SHARDS = "pytorch_model.bin.index.json"


@pytest.fixture
def given(tmp_path):
    """A cased BERT with pickled weights and vocab.txt, as models were published until 2023."""
    folder = tmp_path / "given"
    made = wordpiece(lowercase=False)
    saved(folder, "bert", made)
    (folder / "tokenizer.json").rename(tmp_path / "wanted.json")
    words = sorted(made.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    model = tiny_model(vocab_size=len(words))
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def converted(folder, out):
    """In this process: the child's own work, without its start."""
    out.mkdir()
    convert_child.main(folder, out)
    return load_file(out / "model.safetensors")


def test_a_folder_is_what_it_was(given, tmp_path, capsys):
    """Through the command and its process; then as any teacher."""
    out = tmp_path / "new/out"
    assert main(["convert", str(given), str(out)]) == 0
    text = capsys.readouterr().out
    assert "model.safetensors of pytorch_model.bin; tokenizer.json of vocab.txt, case kept" in text
    assert not [p for p in out.iterdir() if p.suffix in (".bin", ".py")]
    before = torch.load(given / "pytorch_model.bin", weights_only=True)
    after = load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    found = encoder(str(out), "main", None, "bert")
    model, absent = load_weights(found, tiny_config(vocab_size=found.vocabulary), "float32", True)
    assert not absent
    inputs = {"input_ids": torch.tensor([[2, 5, 6, 7, 3]])}
    plain = build_random(model.config)
    plain.load_state_dict(before)
    with torch.no_grad():
        assert torch.equal(model.eval()(**inputs).logits, plain.eval()(**inputs).logits)
    wanted, tokenizer = Tokenizer.from_file(str(tmp_path / "wanted.json")), encoder_tokenizer(found)
    for text in PROBES:
        assert tokenizer(text)["input_ids"] == wanted.encode(text).ids

    assert main(["convert", str(given), str(out)]) == 2
    assert f"{out}: is there already" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["/proc/out", "/proc/a/out", "/dev/null/out"])
def test_a_place_that_cannot_be_written_is_a_sentence(given, out, capsys):
    assert main(["convert", str(given), out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: /{out.split('/')[1]}")


def test_the_process_has_no_network_and_no_tokens(given, tmp_path, monkeypatch):
    """What it is started with, and what it does to itself."""
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 20)
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\nenv > {tmp_path}/environment\nexit 2\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    with pytest.raises(UserError, match="not converted"):
        convert(str(given), tmp_path / "out")
    lines = (tmp_path / "environment").read_text().splitlines()
    assert {"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"} <= set(lines)
    assert not [line for line in lines if line.startswith("HF_TOKEN")]
    for event in ("socket.connect", "socket.getaddrinfo"):
        with pytest.raises(PermissionError, match="without a network"):
            convert_child._no_network(event, ())
    convert_child._no_network("open", ())
    assert socket.gethostname(), "this process still may"


class Harm:
    """Runs a command where it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", ["pickle", "torch", "inside"])
def test_code_in_a_pickle_is_not_run(given, tmp_path, kind):
    harm, file = Harm(tmp_path / "harm"), given / "pytorch_model.bin"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(harm, protocol=2))
    else:
        content = torch.load(file, weights_only=True)
        torch.save(harm if kind == "torch" else {**content, "bert.x": harm}, file)
    with pytest.raises(UserError, match=r"pytorch_model\.bin: holds more than tensors.*nothing of"):
        converted(given, tmp_path / "out")
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "out/model.safetensors").exists()


def test_a_malicious_folder_leaves_nothing(given, tmp_path, capsys):
    torch.save({"a": Harm(tmp_path / "harm")}, given / "pytorch_model.bin")
    assert main(["convert", str(given), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "it asks for posix.system" in error and error.count("\n") == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"given", "wanted.json"}


def test_shared_and_cut_tensors_are_written_whole(given, tmp_path):
    content = torch.load(given / "pytorch_model.bin", weights_only=True)
    base = torch.arange(12.0).view(3, 4)
    content |= {"tied": content["classifier.weight"], "cut": base[1:, :2], "turned": base.T}
    torch.save(OrderedDict(content), given / "pytorch_model.bin")
    found = converted(given, tmp_path / "out")
    assert found.keys() == content.keys()
    assert all(torch.equal(found[name], content[name]) for name in content)


def test_shards(given, tmp_path):
    content = torch.load(given / "pytorch_model.bin", weights_only=True)
    (given / "pytorch_model.bin").unlink()
    names = list(content)
    where = {n: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, n in enumerate(names)}
    for shard in set(where.values()):
        torch.save({n: content[n] for n in names if where[n] == shard}, given / shard)
    (given / SHARDS).write_text(json.dumps({"weight_map": where}))
    found = converted(given, tmp_path / "out")
    assert all(torch.equal(found[name], content[name]) for name in content)
    (given / where[names[0]]).unlink()
    with pytest.raises(UserError, match=r"of-00002\.bin: missing; .*names it as a shard"):
        converted(given, tmp_path / "again")
    (given / SHARDS).write_text(json.dumps({"weight_map": {"a": "../given/pytorch_model.bin"}}))
    with pytest.raises(UserError, match="not beside it"):
        converted(given, tmp_path / "third")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"PK\x03\x04 cut off", "cut off or damaged"),
        ([1, 2], "found list, allowed: named tensors"),
        ({"a": 1}, "'a': found int, allowed: a dense tensor"),
        ({}, "allowed: named tensors"),
        (None, "missing; found no weights"),
    ],
)
def test_what_is_not_weights(given, tmp_path, content, message):
    file = given / "pytorch_model.bin"
    if content is None:
        file.unlink()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(UserError, match=message) as error:
        converted(given, tmp_path / "out")
    assert "\n" not in str(error.value) and str(given) in str(error.value)


def test_old_names_of_layer_norms_are_loaded(given, tmp_path):
    """As in the miniatures of Turc et al."""
    content = torch.load(given / "pytorch_model.bin", weights_only=True)
    old = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): t
        for n, t in content.items()
    }
    torch.save(old, given / "pytorch_model.bin")
    converted(given, tmp_path / "out")
    found = Encoder(str(tmp_path / "out"), None, "bert", SHAPE, None, None, ())
    config = tiny_config(vocab_size=facts.model_config(given)["vocab_size"])
    model, absent = load_weights(found, config, "float32", True)
    assert not absent
    name = "bert.encoder.layer.1.output.LayerNorm.weight"
    assert torch.equal(model.state_dict()[name], content[name])


# --- tokenizers -------------------------------------------------------------------------------


def test_case_is_what_the_vocabulary_says(given, tmp_path):
    uncased = [
        w for w in (given / "vocab.txt").read_text().split("\n") if w == w.lower() or "[" in w
    ]
    (given / "vocab.txt").write_text("\n".join(uncased))
    (tmp_path / "out").mkdir()
    made = convert_child.main(given, tmp_path / "out")
    assert "tokenizer.json of vocab.txt, lower case" in made
    again = Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    assert again.encode("Berlin").ids == again.encode("berlin").ids
    (given / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    converted(given, tmp_path / "stated")
    stated = Tokenizer.from_file(str(tmp_path / "stated/tokenizer.json"))
    assert stated.encode("Berlin").ids != stated.encode("berlin").ids


def test_a_tokenizer_json_is_copied(given, tmp_path):
    shutil.copy(tmp_path / "wanted.json", given / "tokenizer.json")
    converted(given, tmp_path / "out")
    assert (tmp_path / "out/tokenizer.json").read_text() == (tmp_path / "wanted.json").read_text()


def test_safetensors_are_copied(given, tmp_path):
    converted(given, tmp_path / "once")
    (given / "pytorch_model.bin").unlink()
    shutil.copy(tmp_path / "once/model.safetensors", given)
    found = converted(given, tmp_path / "out")
    assert found.keys() == load_file(given / "model.safetensors").keys()


def test_a_folder_without_any_vocabulary(given, tmp_path):
    (given / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"tokenizer: found none of vocab\.txt"):
        converted(given, tmp_path / "out")
    (given / "vocab.json").write_text("{}")
    with pytest.raises(UserError, match=r"merges\.txt: missing; vocab\.json needs it"):
        converted(given, tmp_path / "again")


def test_a_sentencepiece_model_needs_its_packages(given, tmp_path, monkeypatch):
    (given / "vocab.txt").rename(given / "spm.model")
    monkeypatch.setattr(convert_child, "missing_packages", lambda: ["sentencepiece"])
    with pytest.raises(UserError, match=r"spm\.model: .*pip install 'kd-grid\[sentencepiece\]'"):
        converted(given, tmp_path / "out")


def test_a_plan_says_what_deberta_needs(monkeypatch):
    """Its tokenizer needs packages that the lock leaves out."""
    name = "microsoft/deberta-v3-base"
    encoder.cache_clear()
    monkeypatch.setattr(facts, "missing_packages", lambda: ["sentencepiece", "protobuf"])
    with pytest.raises(UserError, match=r"sentencepiece, protobuf is not installed.*kd convert"):
        encoder(name, "main", None, "bert")
    monkeypatch.setattr(facts, "missing_packages", lambda: [])
    assert encoder(name, "main", None, "bert").arch == "deberta-v2"


def test_deberta_from_its_sentencepiece_model(tmp_path):
    """A model of its kind, trained here."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="the extra `sentencepiece`")
    pytest.importorskip("google.protobuf", reason="the extra `sentencepiece`")
    folder = tmp_path / "given"
    folder.mkdir()
    (tmp_path / "text").write_text("\n".join(PROBES * 9))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(folder / "spm"),
        vocab_size=90,
        hard_vocab_limit=False,
        pad_id=0,
        unk_id=3,
        bos_id=1,
        eos_id=2,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
    )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    model = tiny_model("deberta-v2", vocab_size=processor.get_piece_size() + 10)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    convert(str(folder), tmp_path / "out")
    found = encoder(str(tmp_path / "out"), "main", None, "bert")
    tokenizer = encoder_tokenizer(found)
    for text in ("isn't it text", "caf\u00e9 2020"):
        ids = tokenizer(text)["input_ids"]
        assert ids == [1, *processor.encode(text), 2], text


# --- the hub ----------------------------------------------------------------------------------


def test_a_hub_model_with_pickles_alone_names_the_command(given, tmp_path, monkeypatch):
    """As transformers finds it in the hub's cache."""
    commit = in_the_hubs_cache(given, tmp_path, monkeypatch)
    config = tiny_config(vocab_size=facts.model_config(given)["vocab_size"])
    for revision, words in (("main", "FOLDER`"), (commit, f"FOLDER --revision {commit}`")):
        hub = Encoder("org/name", revision, "bert", SHAPE, None, None, ())
        with pytest.raises(UserError, match=f"org/name: found no safetensors.*org/name {words}"):
            load_weights(hub, config, "float32")


def test_a_plan_without_network_knows_that_the_cache_has_pickles_alone(
    given, tmp_path, monkeypatch
):
    """`kd plan` says it before any job; with a network the hub may have more."""
    commit = in_the_hubs_cache(given, tmp_path, monkeypatch)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    shape = "3L-24-3h-40"
    for revision in ("main", commit):
        encoder.cache_clear()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(UserError, match=r"org/name: found no safetensors.*kd convert org/name"):
            encoder("org/name", revision, shape, "bert")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        assert encoder("org/name", revision, shape, "bert").revision == revision
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "true")
    encoder.cache_clear()
    (tmp_path / f"hub/models--org--name/snapshots/{commit}/model.safetensors").touch()
    assert encoder("org/name", "main", shape, "bert").revision == "main"


def test_a_tokenizer_that_has_no_fast_form(given, tmp_path, monkeypatch):
    class Slow:
        def __len__(self):
            return 10_000

        def save_pretrained(self, folder):
            (folder / "vocab.txt").write_text("a")

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: Slow())
    with pytest.raises(UserError, match=r"no fast tokenizer of its kind \(Slow\)"):
        converted(given, tmp_path / "out")


@pytest.mark.skipif(not MODELS.is_dir(), reason="no pretrained encoder beside the checkout")
def test_a_published_vocabulary_gives_its_published_tokenizer(tmp_path):
    source, folder = MODELS / "minilm-l6-h384-uncased", tmp_path / "given"
    folder.mkdir()
    for name in ("config.json", "vocab.txt"):
        shutil.copy(source / name, folder)
    (tmp_path / "out").mkdir()
    assert convert_child._tokenizer(folder, tmp_path / "out").endswith("lower case")
    found, wanted = (
        Tokenizer.from_file(str(place / "tokenizer.json")) for place in (tmp_path / "out", source)
    )
    wanted.no_padding()
    wanted.no_truncation()
    assert found.get_vocab() == wanted.get_vocab()
    for text in PROBES:
        assert found.encode(text, "b").ids == wanted.encode(text, "b").ids
