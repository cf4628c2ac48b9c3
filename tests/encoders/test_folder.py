"""Local model folders: what is wrong with one is a sentence of every command, before any job."""

import json

import pytest
from model_files import edit, encoder_shapes, write_encoder, write_tensors
from studies import study_dict, write_study

from kd.axes.architectures import ARCHS, arch_facts
from kd.cli.main import main
from kd.encoders import facts
from kd.encoders.safetensors_header import read_header
from kd.encoders.tokenizer_files import words
from kd.runtime.errors import UserError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 440449768\n"
SHARDS = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path / "encoder")


def study_of(tmp_path, folder, base=(), **teacher):
    return write_study(
        tmp_path,
        study_dict(
            teachers={"t": {"model": str(folder), **teacher}},
            base={"student": "2L-16-2h-32", "task": "rte", "knowledge": "logits", **dict(base)},
            axes={"seed": [1]},
        ),
    )


def refusal(tmp_path, capsys, folder, command="plan", **teacher):
    """The one line that a command prints of a folder; '' where it has nothing against it."""
    facts.encoder.cache_clear()
    results = [] if command == "runs" else ["--results", str(tmp_path / "results")]
    status = main([command, str(study_of(tmp_path, folder, **teacher)), *results])
    error = capsys.readouterr().err
    assert (status, error.count("\n")) in ((0, 0), (2, 1)), error
    return error


def link_to_nothing(path):
    path.unlink()
    path.symlink_to("../../blobs/4d7a21")


def folder_instead(path):
    path.unlink()
    path.mkdir()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_header(path):
    path.write_bytes(path.read_bytes()[:40])


def lengthened(path):
    path.write_bytes(path.read_bytes() + b"\0")


def missing_shard(path):
    shapes = encoder_shapes(4)
    path.unlink()
    shards = dict.fromkeys(shapes, "model-00001-of-00002.safetensors")
    shards["classifier.weight"] = "model-00002-of-00002.safetensors"
    write_tensors(path.with_name("model-00001-of-00002.safetensors"), shapes)
    path.with_name(SHARDS).write_text(json.dumps({"weight_map": shards}))


def shard_without_its_tensor(path):
    missing_shard(path)
    (one, two) = (path.with_name(f"model-0000{i}-of-00002.safetensors") for i in (1, 2))
    shapes = encoder_shapes(4)
    del shapes["classifier.weight"]
    write_tensors(one, shapes)
    write_tensors(two, {})


def with_tensor(name, rows):
    return lambda path: write_tensors(path, {**encoder_shapes(4), name: (rows, 16)})


def index_of_nothing(path):
    path.unlink()
    path.with_name(SHARDS).write_text(json.dumps({"metadata": {}, "weight_map": {}}))


def int8(path):
    shapes = encoder_shapes(4)
    text = json.dumps(
        {
            n: {"dtype": "I8", "shape": [4], "data_offsets": [4 * i, 4 * i + 4]}
            for i, n in enumerate(shapes)
        }
    ).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4 * len(shapes)))


def no_pad(path):
    edit(path, pad_token="<pad>")


FAULTS = {
    **{
        f"{name}: {title}": (name, change, [name, message])
        for name in ("config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json")
        for title, change, message in (
            ("dangling link", link_to_nothing, "a link to ../../blobs/4d7a21, which is missing"),
            ("folder", folder_instead, "found a folder or device, allowed: a file"),
            ("pointer", lambda path: path.write_bytes(LFS), "Git LFS pointer, not the file itself"),
        )
    },
    "truncated": ("model.safetensors", cut, ["cut off or damaged", "its header says"]),
    "truncated header": ("model.safetensors", cut_in_header, ["a header of"]),
    "more than it says": ("model.safetensors", lengthened, ["cut off or damaged"]),
    "a page": (
        "model.safetensors",
        lambda path: path.write_bytes(b"<!doctype html>" * 9),
        ["not a safetensors file"],
    ),
    "empty": ("model.safetensors", lambda path: path.write_bytes(b""), ["not a safetensors file"]),
    "missing shard": ("model.safetensors", missing_shard, ["00002-of-00002.safetensors: missing"]),
    "other shard": (
        "model.safetensors",
        shard_without_its_tensor,
        ["00002-of-00002.safetensors: lacks classifier.weight"],
    ),
    "no pad token": ("tokenizer_config.json", no_pad, ["pad_token: '<pad>' is not in tokenizer"]),
    "other words": (
        "model.safetensors",
        lambda path: write_tensors(path, encoder_shapes(9)),
        ["vocab_size: found 4, but", "has 9 rows"],
    ),
    "fewer layers": (
        "model.safetensors",
        lambda path: write_tensors(path, encoder_shapes(4, layers=1)),
        ["the weights have 1 layers, but config.json says 2"],
    ),
    "other name": (
        "model.safetensors",
        lambda path: path.rename(path.with_name("adapter.safetensors")),
        ["weights: found adapter.safetensors, allowed: model.safetensors"],
    ),
    "pickle": (
        "model.safetensors",
        lambda path: path.rename(path.with_name("pytorch_model.bin")),
        ["found only pytorch_model.bin, which would need pickle", "kd convert"],
    ),
    "index of nothing": (
        "model.safetensors",
        index_of_nothing,
        [f"{SHARDS}: weight_map: found no names of files beside it"],
    ),
    "int8": ("model.safetensors", int8, ["of dtype I8: its weights are quantised"]),
    "quantised": (
        "config.json",
        lambda path: edit(path, quantization_config={"quant_method": "gptq"}),
        ["quantization_config: found {'quant_method': 'gptq'}; quantised weights cannot be used"],
    ),
    "decoder": (
        "config.json",
        lambda path: edit(path, is_decoder=True),
        ["is_decoder: found True; a decoder reads from left to right, allowed: an encoder"],
    ),
    "no kind": (
        "config.json",
        lambda path: edit(path, model_type=3),
        ["model_type: found 3, allowed: text"],
    ),
    "other width": (
        "config.json",
        lambda path: edit(path, hidden_size=32),
        ["hidden_size: found 32, but", "word_embeddings.weight of the weights has 16 columns"],
    ),
    "other feed-forward size": (
        "model.safetensors",
        with_tensor("bert.encoder.layer.1.intermediate.dense.weight", 64),
        ["intermediate_size: found 32, but", "of the weights has 64 rows"],
    ),
    "other segments": (
        "model.safetensors",
        lambda path: (
            edit(path.with_name("config.json"), type_vocab_size=1),
            with_tensor("bert.embeddings.token_type_embeddings.weight", 2)(path),
        ),
        ["type_vocab_size: found 1, but", "of the weights has 2 rows"],
    ),
    **{
        f"{name}: {title}": (name, lambda path, text=text: path.write_text(text), [name, message])
        for name in ("added_tokens.json", "special_tokens_map.json")
        for title, text, message in (
            ("empty", "", "not valid JSON"),
            ("a list", "[]", "found [], allowed: keys with values"),
        )
    },
    "slow tokenizer": (
        "tokenizer.json",
        lambda path: path.rename(path.with_name("vocab.txt")),
        ["tokenizer.json: missing; `kd convert", "makes it of vocab.txt"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_not_whole_is_a_sentence(tmp_path, capsys, folder, fault):
    assert refusal(tmp_path, capsys, folder) == ""
    name, change, messages = FAULTS[fault]
    change(folder / name)
    error = refusal(tmp_path, capsys, folder)
    for message in [*messages, str(folder), "teachers.t"]:
        assert message in error


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json", "vocab.json"])
def test_a_file_that_a_folder_may_lack_is_no_link_to_nothing(tmp_path, capsys, folder, name):
    (folder / name).symlink_to("../blobs/none")
    assert f"{name}: a link to ../blobs/none" in refusal(tmp_path, capsys, folder)


@pytest.mark.parametrize("command", ["runs", "status", "recover", "collect", "tensorboard"])
def test_every_command_says_it(tmp_path, capsys, folder, command):
    link_to_nothing(folder / "model.safetensors")
    assert "which is missing" in refusal(tmp_path, capsys, folder, command)


def test_a_file_that_cannot_be_read(tmp_path, capsys, folder):
    path = folder / "model.safetensors"
    path.unlink()
    path.symlink_to(path)
    assert "model.safetensors: cannot be read (Too many" in refusal(tmp_path, capsys, folder)


def test_whole_shards_are_accepted(tmp_path, capsys, folder):
    missing_shard(folder / "model.safetensors")
    write_tensors(folder / "model-00002-of-00002.safetensors", {"classifier.weight": (2, 16)})
    assert refusal(tmp_path, capsys, folder, finetuned=True) == ""
    (folder / SHARDS).write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    assert "weight_map: found no names of files" in refusal(tmp_path, capsys, folder)


def test_links_to_whole_files_are_accepted(tmp_path, capsys, folder):
    """As the hub's cache has them."""
    blob = tmp_path / "blob"
    (folder / "model.safetensors").rename(blob)
    (folder / "model.safetensors").symlink_to(blob)
    assert refusal(tmp_path, capsys, folder) == ""


def test_the_header_names_the_tensors(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, {"a": (2, 3), "b": ()})
    assert {k: (e.dtype, e.shape) for k, e in read_header(path).items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F32", ()),
    }


@pytest.mark.parametrize(
    "damage", [{"shape": [2, 4]}, {"dtype": "F16"}, {"data_offsets": [4, 28]}, {"shape": None}]
)
def test_tensors_that_are_not_as_large_as_they_say(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **damage}
    text = json.dumps({"a": entry}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(entry["data_offsets"][1]))
    with pytest.raises(UserError, match="not a safetensors file"):
        read_header(path)


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {"dtype": "F32"}}', b"{", b"\xff"])
def test_a_header_of_something_else(tmp_path, header):
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match="not a safetensors file"):
        read_header(path)


# --- what a fine-tuned model brings -----------------------------------------------------------


def test_a_finetuned_model_has_a_head_for_the_task(tmp_path, capsys, folder):
    shapes = encoder_shapes(4)
    write_tensors(folder / "model.safetensors", {**shapes, "classifier.weight": (3, 16)})
    error = refusal(tmp_path, capsys, folder, finetuned=True)
    assert "classifier.weight has 3 rows, but RTE needs 2" in error
    del shapes["classifier.weight"]
    write_tensors(folder / "model.safetensors", shapes)
    assert "no classification head" in refusal(tmp_path, capsys, folder, finetuned=True)
    assert refusal(tmp_path, capsys, folder) == "", "the head of one that is trained is new"
    edit(folder / "config.json", model_type="longformer")
    assert refusal(tmp_path, capsys, folder, finetuned=True) == "", "its head may have another name"


# --- tokenizers -------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHS)
def test_the_pad_token_that_transformers_assumes(arch):
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

    kind = TOKENIZER_MAPPING.get(CONFIG_MAPPING[arch], None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    pad = kind().pad_token if kind is not None and kind.__name__ != "TokenizersBackend" else None
    assert pad == arch_facts(arch).pad


def test_a_generic_tokenizer_has_no_pad_token_of_its_own(tmp_path, capsys, folder):
    path = folder / "tokenizer_config.json"
    path.write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    assert "pad_token: none is named" in refusal(tmp_path, capsys, folder)
    (folder / "special_tokens_map.json").write_text('{"pad_token": {"content": "[PAD]"}}')
    assert refusal(tmp_path, capsys, folder) == ""
    path.unlink()
    (folder / "special_tokens_map.json").unlink()
    assert refusal(tmp_path, capsys, folder) == "", "BERT's is [PAD]"


def test_the_pad_token_of_tokenizer_json_and_of_encoders_without_a_row(tmp_path, capsys, folder):
    path = folder / "tokenizer_config.json"
    path.write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    edit(folder / "tokenizer.json", padding={"pad_token": "[PAD]"})
    assert refusal(tmp_path, capsys, folder) == ""
    path.unlink()
    edit(folder / "tokenizer.json", padding=None, model={"vocab": {"<pad>": 0, "a": 1}})
    assert "'[PAD]' is not in tokenizer.json" in refusal(tmp_path, capsys, folder)
    edit(folder / "config.json", model_type="longformer")
    assert refusal(tmp_path, capsys, folder) == ""


def test_two_files_that_disagree_on_case(tmp_path, capsys, folder):
    normaliser = dict.fromkeys(("clean_text", "handle_chinese_chars", "lowercase"), False)
    normaliser |= {"type": "BertNormalizer", "strip_accents": None}
    edit(folder / "tokenizer.json", normalizer=normaliser)
    assert refusal(tmp_path, capsys, folder) == ""
    edit(folder / "tokenizer_config.json", do_lower_case=True)
    error = refusal(tmp_path, capsys, folder)
    assert "do_lower_case: found True, but the normalizer of tokenizer.json has lowercase" in error
    edit(folder / "tokenizer_config.json", do_lower_case=False)
    assert refusal(tmp_path, capsys, folder) == ""


def test_words_of_each_kind_of_tokenizer(folder):
    assert words(folder) == {0: "[PAD]", 1: "a", 2: "b", 3: "c"}
    unigram = {"model": {"vocab": [["x", 0.0], ["y", -1.5]]}, "added_tokens": None}
    (folder / "tokenizer.json").write_text(json.dumps(unigram))
    edit(folder / "tokenizer_config.json", added_tokens_decoder={"7": {"content": "[NEW]"}})
    assert words(folder) == {0: "x", 1: "y", 7: "[NEW]"}


def test_a_pretrained_student_of_as_many_other_words(tmp_path, capsys, folder):
    other = write_encoder(tmp_path / "other", ["a", "B", "c"])
    start = {"init": f"pretrained:{other}"}
    error = refusal(tmp_path, capsys, folder, base=start)
    assert "token 2 is 'B', but the teacher's 'b'" in error
    same = write_encoder(tmp_path / "same", ["a", "b", "c"])
    assert refusal(tmp_path, capsys, folder, base={"init": f"pretrained:{same}"}) == ""


def test_a_pretrained_student_of_other_positions(tmp_path, capsys, folder):
    shapes = {**encoder_shapes(4), "bert.embeddings.position_embeddings.weight": (64, 16)}
    other = write_encoder(tmp_path / "other", max_position_embeddings=64)
    write_tensors(other / "model.safetensors", shapes)
    error = refusal(tmp_path, capsys, folder, base={"init": f"pretrained:{other}"})
    assert "has 64 positions, but student and teacher have 128" in error


# --- identity ---------------------------------------------------------------------------------


def identity(folder):
    facts.encoder.cache_clear()
    return facts.encoder(str(folder), "main", None, "bert").identity


def test_what_is_written_beside_a_model_is_not_part_of_it(folder):
    """As the Trainer, the hub, kd and people write it."""
    before = identity(folder)
    for name in (
        *("all_results.json", "eval_results.json", "train_results.json", "trainer_state.json"),
        *("metrics.json", "checksums.json", "generation_config.json", "vocab.txt", "README.md"),
        *("adapter.safetensors", "pytorch_model.bin", "training_args.bin"),
    ):
        (folder / name).write_text("{}")
        assert identity(folder) == before, name


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
)
def test_what_the_numbers_depend_on_is_part_of_it(folder, name):
    before = identity(folder)
    if not (folder / name).exists():
        (folder / name).write_text("{}")
    edit(folder / name, remark="other")
    assert identity(folder) != before


def test_the_identity_of_a_plain_folder_is_pinned(folder):
    assert dict(identity(folder)) == {"fingerprint": "a0510e6677cd5e06"}
