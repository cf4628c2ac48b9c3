"""Data and model folders that cannot be used: known from the files, before anything runs."""

import json
from pathlib import Path

import pytest
from helpers import save_encoder
from model_files import write_tensors
from studies import study_dict, write_study

from kd.axes.architectures import ARCHS, arch_facts
from kd.axes.shapes import Shape
from kd.cli.main import main
from kd.data import identity
from kd.encoders import facts

HEADER = "index\tsentence1\tsentence2\tlabel\n"
ROWS = "0\ta b\tc\tentailment\n1\td\te f\tnot_entailment\n"


@pytest.fixture
def glue(tmp_path):
    """A glue_data folder with a good RTE."""
    folder = tmp_path / "glue" / "RTE"
    folder.mkdir(parents=True)
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text(HEADER + ROWS)
    return tmp_path / "glue"


@pytest.fixture
def encoder_folder(tmp_path):
    """What is read of a model folder without loading it; the weights are not opened."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    config = {
        "model_type": "bert",
        "num_hidden_layers": 6,
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "vocab_size": 100,
        "max_position_embeddings": 512,
    }
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {"[PAD]": 0, **{f"w{i}": i for i in range(1, 100)}}
    tokenizer = {"model": {"vocab": vocabulary}, "added_tokens": [{"id": 3, "content": "w3"}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    write_tensors(folder / "model.safetensors", {"classifier.weight": (2, 384)})
    return folder


def edit(path: Path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def plan(tmp_path, capsys, teacher, data=None, **base):
    """(exit status, error text) of `kd plan`."""
    study = study_dict(
        teachers={"t": teacher},
        base={"student": "3L-384", "task": "rte", **base},
        axes={"seed": [1]},
    )
    if data is not None:
        study["data"] = data
    status = main(["plan", str(write_study(tmp_path, study)), "--results", str(tmp_path / "r")])
    assert not (tmp_path / "r").exists(), "nothing may be written"
    return status, capsys.readouterr().err


def test_good_folders_plan(tmp_path, capsys, glue, encoder_folder):
    data = {"source": "tsv", "path": str(glue)}
    status, error = plan(tmp_path, capsys, {"model": str(encoder_folder)}, data)
    assert (status, error) == (0, "")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train.tsv", "", "RTE/train.tsv: empty"),
        ("dev.tsv", HEADER, "RTE/dev.tsv: empty"),
        (
            "train.tsv",
            "index\tsentence1\tlabel\n0\ta\tentailment\n",
            "column 'sentence2' is missing",
        ),
        ("train.tsv", HEADER + "0\ta\tb\tmaybe\n", "train.tsv, line 2: label 'maybe'"),
        ("train.tsv", HEADER + ROWS + "2\ta\tb\n", "train.tsv, line 4: found 3 columns"),
        ("dev.tsv", None, "RTE/dev.tsv: missing; RTE needs it as its dev split"),
    ],
)
def test_bad_tsv(tmp_path, capsys, glue, file, content, message):
    path = glue / "RTE" / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    teacher = {"model": "google-bert/bert-base-uncased"}
    data = {"source": "tsv", "path": str(glue)}
    status, error = plan(tmp_path, capsys, teacher, data)
    assert status == 2
    assert message in error
    assert error.count("\n") == 1


def test_no_glue_folder(tmp_path, capsys):
    teacher = {"model": "google-bert/bert-base-uncased"}
    status, error = plan(tmp_path, capsys, teacher, {"source": "tsv", "path": "/nowhere"})
    assert status == 2
    assert "'/nowhere', which is no folder" in error


def test_bad_teacher_folders(tmp_path, capsys, encoder_folder):
    teacher = {"model": str(encoder_folder)}

    def error_after(change, message, **more):
        facts.encoder.cache_clear()
        change()
        status, error = plan(tmp_path, capsys, teacher | more)
        assert status == 2
        assert message in error
        assert "teachers.t" in error

    config = encoder_folder / "config.json"
    error_after(lambda: edit(config, vocab_size=50), "tokenizer.json has 100 entries")
    edit(config, vocab_size=100, id2label={"0": "a", "1": "b", "2": "c"})
    error_after(lambda: None, "found 3 labels (id2label), but RTE needs 2", finetuned=True)
    (encoder_folder / "model.safetensors").rename(encoder_folder / "pytorch_model.bin")
    error_after(lambda: None, "only pytorch_model.bin, which would need pickle")
    (encoder_folder / "pytorch_model.bin").unlink()
    error_after(lambda: None, "weights: found none, allowed: model.safetensors")
    (encoder_folder / "tokenizer.json").unlink()
    write_tensors(encoder_folder / "model.safetensors", {})
    error_after(lambda: None, "tokenizer.json: missing")
    config.write_text("{")
    error_after(lambda: None, "config.json: not valid JSON")
    config.unlink()
    error_after(lambda: None, "config.json: missing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": "abc"}, "num_hidden_layers: found 'abc'"),
        ({"hidden_size": -384}, "hidden_size: found -384"),
        ({"num_attention_heads": 5}, "5 heads do not divide"),
        ({"vocab_size": [1]}, "vocab_size: found [1]"),
        ({"hidden_size": None}, "hidden_size: found None"),
    ],
)
def test_odd_configs(tmp_path, capsys, encoder_folder, changes, message):
    edit(encoder_folder / "config.json", **changes)
    facts.encoder.cache_clear()
    status, error = plan(tmp_path, capsys, {"model": str(encoder_folder)})
    assert status == 2
    assert message in error
    assert error.count("\n") == 1


def test_wider_student_than_truncate_can_cut(tmp_path, capsys, encoder_folder):
    teacher = {"model": str(encoder_folder)}
    init = "teacher-uniform+truncate"
    status, error = plan(tmp_path, capsys, teacher, student="3L-768", init=init)
    assert status == 2
    assert "can only cut, but the student's hidden (768) is above the teacher's (384)" in error


def test_a_pretrained_student_of_another_vocabulary(tmp_path, capsys, encoder_folder):
    init = "pretrained:google/bert_uncased_L-4_H-256_A-4"
    teacher = {"model": str(encoder_folder)}
    status, error = plan(tmp_path, capsys, teacher, student="bert-mini", init=init)
    assert status == 2
    assert "a vocabulary of 30522, but the teacher one of 100" in error


def test_identity_is_content_not_place(tmp_path, encoder_folder):
    before = facts.encoder(str(encoder_folder), "main", None, "bert").identity
    moved = encoder_folder.rename(tmp_path / "elsewhere")
    assert facts.encoder(str(moved), "main", None, "bert").identity == before
    (moved / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    facts.encoder.cache_clear()
    with_case = facts.encoder(str(moved), "main", None, "bert").identity
    assert with_case != before
    before = with_case
    write_tensors(moved / "model.safetensors", {"classifier.weight": (2, 384)}, fill=b"\1")
    facts.encoder.cache_clear()
    assert facts.encoder(str(moved), "main", None, "bert").identity != before


def test_data_identity_is_content(glue):
    before = identity.tsv_fingerprint(str(glue), "rte")
    identity.tsv_fingerprint.cache_clear()
    (glue / "RTE" / "train.tsv").write_text(HEADER + ROWS * 2)
    assert identity.tsv_fingerprint(str(glue), "rte") != before


def test_longer_inputs_than_the_encoder_reads(tmp_path, capsys, encoder_folder):
    edit(encoder_folder / "config.json", max_position_embeddings=64)
    facts.encoder.cache_clear()
    teacher = {"model": str(encoder_folder), "max_length": 64}
    status, error = plan(tmp_path, capsys, teacher | {"max_length": 65})
    assert status == 2
    assert "teachers.t.max_length: found 65, allowed: at most 64" in error
    status, error = plan(tmp_path, capsys, teacher, max_length=128)
    assert status == 2
    assert "max_length 128 is above the 64 tokens" in error


def test_a_pretrained_student_of_another_architecture(tmp_path, capsys, encoder_folder):
    init = f"pretrained:{encoder_folder}"
    teacher = {"model": "FacebookAI/roberta-base"}
    status, error = plan(tmp_path, capsys, teacher, student="6L-384", init=init)
    assert status == 2
    assert "is a bert, but student and teacher are roberta" in error


# --- encoders whose attention cannot be captured ----------------------------------------------


def test_kinds_that_nobody_has_checked_are_pruned_too(tmp_path, capsys, encoder_folder):
    edit(encoder_folder / "config.json", model_type="squeezebert")
    teacher = {"model": str(encoder_folder)}
    assert plan(tmp_path, capsys, teacher, knowledge="hidden") == (0, "")
    status, error = plan(tmp_path, capsys, teacher, knowledge="attention")
    assert status == 2
    assert "squeezebert is not among the encoders whose attention" in error


def test_a_hub_model_outside_the_table_says_its_kind(tmp_path, capsys):
    teacher = {"model": "microsoft/deberta-v3-large", "shape": "24L-1024-16h-4096"}
    base = {"student": "3L-1024", "knowledge": "attention:head-mean-kl"}
    assert plan(tmp_path, capsys, teacher, **base)[0] == 0, "not taken for a BERT"
    status, error = plan(tmp_path, capsys, teacher | {"arch": "deberta-v2"}, **base)
    assert status == 2
    assert "deberta-v2 adds terms of position" in error
    known = {"model": "microsoft/deberta-v3-base", "arch": "deberta-v2"}
    status, error = plan(tmp_path, capsys, known)
    assert (status, "the model has its own" in error) == (2, True)


def test_a_scratch_encoder_is_one_that_can_be_captured(tmp_path, capsys):
    teacher = {"model": "scratch", "shape": "3L-32-2h-64", "arch": "mpnet"}
    status, error = plan(tmp_path, capsys, teacher, {"source": "synthetic"}, task="toy-pair")
    assert status == 2
    assert "arch of scratch: found 'mpnet', allowed: bert, roberta" in error


# --- shapes and configs of each kind ----------------------------------------------------------


def test_heads_that_modernbert_cannot_rotate(tmp_path, capsys):
    teacher = {"model": "answerdotai/ModernBERT-base"}
    status, error = plan(tmp_path, capsys, teacher, student="4L-36-4h-64", knowledge="logits")
    assert status == 2
    assert "modernbert rotates pairs of dimensions, but a head of 4L-36-4h-64 has 9" in error
    teacher = {"model": "scratch", "shape": "3L-30-2h-64", "arch": "modernbert"}
    status, error = plan(tmp_path, capsys, teacher, {"source": "synthetic"}, task="toy-pair")
    assert status == 2
    assert "teachers.t: shape: modernbert rotates pairs" in error


def test_long_inputs_for_modernbert_alone(tmp_path, capsys):
    length = {"max_length": 1024}
    for model, allowed in (
        ("answerdotai/ModernBERT-base", True),
        ("microsoft/deberta-v3-base", False),
    ):
        status, _ = plan(tmp_path, capsys, {"model": model, **length}, knowledge="logits", **length)
        assert (status == 0) == allowed


@pytest.mark.parametrize("arch", ARCHS)
def test_a_saved_encoder_is_read_without_loading_it(tmp_path, arch):
    """config.json as transformers writes it, under the names that each kind uses."""
    found = facts.encoder(str(save_encoder(tmp_path / arch, arch)), "main", None, "bert")
    reserved = arch_facts(arch).reserved
    assert (found.arch, found.shape) == (arch, Shape(3, 32, 2, 64))
    assert found.positions == 130 - reserved


def test_albert_layers_within_layers_are_refused(tmp_path, capsys, encoder_folder):
    edit(encoder_folder / "config.json", model_type="albert", inner_group_num=2)
    (encoder_folder / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    status, error = plan(tmp_path, capsys, {"model": str(encoder_folder)})
    assert (status, "inner_group_num: only 1 is supported" in error) == (2, True)
