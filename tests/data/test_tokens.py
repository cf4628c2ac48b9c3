"""Packing, batching and reading back of tokenised splits."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from token_files import MAX_LENGTH, make_tokenizer, write_text
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from kd.axes.architectures import ARCHS
from kd.axes.tasks import TASKS
from kd.data.tokens import (
    Split,
    epoch_batches,
    load_split,
    ordered_batches,
    prepared_config,
    tokenise,
)
from kd.encoders.build import build_random
from kd.runtime.device import model_inputs
from kd.runtime.errors import UserError
from kd.runtime.files import read_json
from kd.runtime.seals import check_seal

few = settings(max_examples=25, deadline=None, derandomize=True)


def make(tmp_path: Path, task: str, kind: str = "bert") -> tuple[Path, dict[str, pd.DataFrame]]:
    frames = write_text(tmp_path / "text", task)
    out = tmp_path / "tokens"
    tokenise(
        tmp_path / "text", TASKS[task], make_tokenizer(kind), tiny_config(kind), MAX_LENGTH, out
    )
    return out, frames


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("task", ["sst2", "rte", "mnli", "stsb"])
def test_a_batch_is_what_the_tokenizer_pads_itself(tmp_path, task, kind):
    out, frames = make(tmp_path, task, kind)
    tokenizer = make_tokenizer(kind)
    for name, frame in frames.items():
        split = load_split(out, name)
        assert len(split) == len(frame)
        for rows in ([0], [8, 3, 5], list(range(9))):
            chosen = frame.iloc[rows]
            pair = [chosen["sentence2"].tolist()] if len(TASKS[task].columns) > 1 else []
            wanted = tokenizer(
                chosen["sentence1"].tolist(),
                *pair,
                truncation="longest_first",
                max_length=MAX_LENGTH,
                padding=True,
                return_tensors="pt",
            )
            batch = split.batch(torch.tensor(rows))
            assert set(batch) == {*wanted, "labels", "ids"}, f"{kind}: other inputs"
            for key, tensor in wanted.items():
                assert batch[key].dtype == torch.int64
                assert torch.equal(batch[key], tensor), f"{task}, {kind}, {name}: {key} differs"
            assert batch["ids"].tolist() == chosen["id"].tolist()
            assert batch["labels"].tolist() == chosen["label"].tolist()
        kind_of_label = torch.float32 if task == "stsb" else torch.int64
        assert split.labels.dtype == kind_of_label


@pytest.mark.parametrize("arch", ARCHS)
def test_segments_are_given_to_the_encoders_that_know_them(tmp_path, arch):
    """The tokenizer here knows them always; what is packed, the encoder takes."""
    write_text(tmp_path / "text", "rte")
    config, out = tiny_config(arch), tmp_path / "tokens"
    if arch in ("roberta", "xlm-roberta", "camembert"):
        config.type_vocab_size = 1  # as in the published models of RoBERTa's family
    tokenise(tmp_path / "text", TASKS["rte"], make_tokenizer("bert"), config, MAX_LENGTH, out)
    batch = load_split(out, "train").batch(torch.arange(3))
    typed = arch in ("bert", "electra", "albert")
    assert ("token_type_ids" in batch) == typed
    logits = build_random(config)(**model_inputs(batch)).logits
    assert logits.shape == (3, 2)


@pytest.mark.parametrize("named", [None, True, False])
@pytest.mark.parametrize(
    ("arch", "known"), [("albert", True), ("bert", True), ("distilbert", False)]
)
def test_segments_are_given_where_the_class_of_a_tokenizer_does_not_name_them(
    tmp_path, arch, known, named
):
    """As in transformers 5: the classes of ALBERT and of generic folders. What files say counts."""
    tokenizer = make_tokenizer("bert" if named else "roberta")
    backend = make_tokenizer("bert").backend_tokenizer
    names = {} if named is None else {"model_input_names": tokenizer.model_input_names}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", **names)
    assert ("token_type_ids" in tokenizer.model_input_names) == (named is True)
    write_text(tmp_path / "text", "rte")
    config, out = tiny_config(arch), tmp_path / "tokens"
    tokenise(tmp_path / "text", TASKS["rte"], tokenizer, config, MAX_LENGTH, out)
    batch, typed = (
        load_split(out, "train").batch(torch.arange(3)),
        arch != "distilbert" and named is not False,
    )
    assert ("token_type_ids" in batch) == typed
    if typed:
        assert batch["token_type_ids"].max() == 1
        saved = AutoTokenizer.from_pretrained(out)
        assert max(saved("alpha", "beta")["token_type_ids"]) == 1, "the student's own"


def test_lengths_and_manifest(tmp_path):
    out, _ = make(tmp_path, "rte")
    manifest = read_json(out / "manifest.json")
    lengths = torch.cat([load_split(out, name).lengths for name in ("train", "dev")])
    assert manifest["longest"] == int(lengths.max()) == MAX_LENGTH, "no example was cut"
    assert (manifest["padding"], manifest["max_length"]) == (0, MAX_LENGTH)
    assert manifest["text_fingerprint"] == "text" != manifest["fingerprint"]


@pytest.mark.parametrize("split", ["train", "dev"])
def test_every_split_counts_in_the_manifest(tmp_path, split):
    """One sentence of 5 words, two special tokens more, among sentences of one word."""

    def manifest(longer):
        folder = tmp_path / str(longer)
        folder.mkdir()
        for name, frame in write_text(folder / "text", "sst2").items():
            words = [5 if (name, row) == longer else 1 for row in range(len(frame))]
            frame["sentence1"] = ["alpha " * n for n in words]
            frame.to_parquet(folder / "text" / f"{name}.parquet", index=False)
        place = (folder / "text", TASKS["sst2"], make_tokenizer("bert"), tiny_config(), 12)
        tokenise(*place, folder / "tokens")
        return read_json(folder / "tokens" / "manifest.json")

    none, one, other = manifest(None), manifest((split, 0)), manifest((split, 1))
    assert (none["longest"], one["longest"], other["longest"]) == (3, 7, 7)
    assert len({found["fingerprint"] for found in (none, one, other)}) == 3


@pytest.mark.parametrize("split", ["train", "dev"])
def test_ids_beyond_the_embeddings_are_found_in_every_split(tmp_path, split):
    for name, frame in write_text(tmp_path / "text", "sst2").items():
        frame["sentence1"] = "delta" if name == split else "alpha"  # ids 7 and 4
        frame.to_parquet(tmp_path / "text" / f"{name}.parquet", index=False)
    place = (
        tmp_path / "text",
        TASKS["sst2"],
        make_tokenizer("bert"),
        tiny_config(vocab_size=7),
        12,
    )
    with pytest.raises(UserError, match="id 7, but the teacher's vocabulary has 7 entries"):
        tokenise(*place, tmp_path / "out")


def test_folder_is_all_that_a_student_needs(tmp_path):
    out, _ = make(tmp_path, "mnli")
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "tokenizer.json", "manifest.json", "train.safetensors"} <= names
    config = read_json(out / "config.json")
    assert config["id2label"] == {"0": "entailment", "1": "neutral", "2": "contradiction"}


def test_a_folder_of_tokens_that_was_changed_is_found_out(tmp_path):
    out, _ = make(tmp_path, "sst2")
    assert check_seal(out) == out
    (out / "config.json").write_text("{}")
    with pytest.raises(UserError):
        check_seal(out)


def test_tokenising_twice_gives_the_same_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, "sst2")
    manifests = [read_json(tmp_path / name / "tokens" / "manifest.json") for name in ("a", "b")]
    assert manifests[0] == manifests[1]


def test_tokenising_in_parts_gives_the_same_files(tmp_path, monkeypatch):
    manifests = []
    for rows in (10_000, 2):
        monkeypatch.setattr("kd.data.tokens._AT_ONCE", rows)
        (tmp_path / str(rows)).mkdir()
        make(tmp_path / str(rows), "rte")
        manifests.append(read_json(tmp_path / str(rows) / "tokens" / "manifest.json"))
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("entries", [6, 7])
def test_ids_beyond_the_embeddings_are_a_sentence(tmp_path, entries):
    write_text(tmp_path / "text", "sst2")
    config = tiny_config(vocab_size=entries)
    with pytest.raises(
        UserError, match=f"id 7, but the teacher's vocabulary has {entries} entries"
    ):
        tokenise(
            tmp_path / "text", TASKS["sst2"], make_tokenizer("bert"), config, 12, tmp_path / "out"
        )
    assert not (tmp_path / "out").exists(), "half a folder is left"


def test_the_last_row_of_the_embeddings_may_be_used(tmp_path):
    write_text(tmp_path / "text", "sst2")
    config = tiny_config(vocab_size=8)
    tokenise(tmp_path / "text", TASKS["sst2"], make_tokenizer("bert"), config, 12, tmp_path / "out")
    assert int(load_split(tmp_path / "out", "train").flat["input_ids"].max()) == 7


def test_examples_as_long_as_the_limit_are_counted_and_shorter_ones_are_not(tmp_path):
    """Two special tokens: 9 words are one token below the limit, 10 fill it, 15 are cut."""
    write_text(tmp_path / "text", "sst2")
    for split, words in (("train", [9, 9, 9, 10, 15]), ("dev", [9, 10, 3])):
        frame = pd.DataFrame({"id": range(len(words)), "sentence2": None, "label": 0})
        frame["sentence1"] = ["alpha " * n for n in words]
        frame.to_parquet(tmp_path / "text" / f"{split}.parquet", index=False)
    out = tmp_path / "out"
    tokenise(
        tmp_path / "text", TASKS["sst2"], make_tokenizer("bert"), tiny_config(), MAX_LENGTH, out
    )
    assert load_split(out, "train").lengths.tolist() == [11, 11, 11, 12, 12]
    assert read_json(out / "manifest.json")["of_max_length"] == 3


@pytest.mark.parametrize(
    ("task", "labels", "kind"),
    [("stsb", 1, "regression"), ("rte", 2, "single_label_classification")],
)
def test_prepared_config(task, labels, kind):
    config = prepared_config(tiny_config(labels=5), TASKS[task])
    assert (config.num_labels, config.problem_type) == (labels, kind)
    if task == "rte":
        assert config.label2id == {"entailment": 0, "not_entailment": 1}


# --- damage -----------------------------------------------------------------------------------


def damaged(content: bytes) -> list[bytes]:
    return [content[: len(content) // 2], b"", b"\xff" * 100, content[:-1]]


@pytest.mark.parametrize("case", range(4), ids=["half", "empty", "garbage", "one byte short"])
def test_a_damaged_file_is_a_sentence(tmp_path, case):
    out, _ = make(tmp_path, "sst2")
    file = out / "train.safetensors"
    file.write_bytes(damaged(file.read_bytes())[case])
    with pytest.raises(UserError, match=r"train\.safetensors: missing or damaged") as caught:
        load_split(out, "train")
    assert f"delete {out}" in str(caught.value), "what is to be done?"


def test_a_missing_file_or_tensor_is_a_sentence(tmp_path):
    out, _ = make(tmp_path, "sst2")
    tensors = {k: v.clone() for k, v in load_file(out / "train.safetensors").items()}
    del tensors["offsets"]
    save_file(tensors, out / "train.safetensors")
    for split in ("train", "dev_mismatched"):
        with pytest.raises(UserError, match="missing or damaged"):
            load_split(out, split)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_damaged_manifest_is_a_sentence(tmp_path, content):
    out, _ = make(tmp_path, "sst2")
    (out / "manifest.json").unlink()
    if content is not None:
        (out / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        load_split(out, "train")


# --- batches ----------------------------------------------------------------------------------


def batches(lengths: list[int], size: int, seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [b.tolist() for b in epoch_batches(torch.tensor(lengths), size, generator)]


@few
@given(lengths=st.lists(st.integers(1, 128), min_size=1, max_size=300), size=st.integers(1, 40))
def test_an_epoch_is_every_row_once_in_batches_of_the_size(lengths, size):
    made = batches(lengths, size)
    rows = [row for batch in made for row in batch]
    assert sorted(rows) == list(range(len(lengths))), "a row is missing or comes twice"
    sizes = sorted(map(len, made))
    full, rest = divmod(len(lengths), size)
    assert sizes == sorted([size] * full + [rest] * bool(rest)), f"batches of {sizes}"


@few
@given(seed=st.integers(0, 2**31))
def test_one_seed_one_order(seed):
    lengths = torch.randint(1, 100, (200,), generator=torch.Generator().manual_seed(1)).tolist()
    assert batches(lengths, 8, seed) == batches(lengths, 8, seed)
    assert batches(lengths, 8, seed) != batches(lengths, 8, seed + 1), "the seed is inert"


def test_the_second_epoch_is_another_one():
    generator, lengths = torch.Generator().manual_seed(0), torch.arange(1, 101)
    first, second = (epoch_batches(lengths, 8, generator) for _ in range(2))
    assert [b.tolist() for b in first] != [b.tolist() for b in second]


def test_batches_do_not_touch_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches([1, 2, 3, 4], 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_has_examples_of_like_length():
    lengths = torch.randint(1, 129, (4096,), generator=torch.Generator().manual_seed(1))
    made = batches(lengths.tolist(), 32)
    spans = torch.tensor([float(lengths[b].max() - lengths[b].min()) for b in made])
    assert spans.mean() < 6, f"lengths in a batch differ by {spans.mean():.1f} of 127"
    padded = sum(len(b) * int(lengths[b].max()) for b in made)
    assert padded < 1.05 * int(lengths.sum()), "more than 5 % of the work is padding"


def test_batches_do_not_come_sorted_by_length():
    lengths = torch.randint(1, 129, (4096,), generator=torch.Generator().manual_seed(1))
    longest = torch.tensor([float(lengths[b].max()) for b in batches(lengths.tolist(), 32)])
    correlation = torch.corrcoef(torch.stack([longest, torch.arange(len(longest)).float()]))[0, 1]
    assert abs(correlation) < 0.4, f"length and step correlate with {correlation:.2f}"


def test_a_batch_has_other_examples_in_every_epoch():
    """Lengths that all differ: sorted at once, they would give the same batches each time."""
    generator, lengths = torch.Generator().manual_seed(0), torch.arange(1, 1001)
    first, second = (epoch_batches(lengths, 4, generator) for _ in range(2))
    groups = [{frozenset(rows.tolist()) for rows in made} for made in (first, second)]
    assert len(groups[0] & groups[1]) < 25, "a tenth of the batches came again"


def test_padding_of_segments_is_segment_0():
    """Whatever the padding of the tokens is."""
    flat = {"input_ids": torch.tensor([7, 8, 9, 6]), "token_type_ids": torch.tensor([1, 1, 1, 1])}
    split = Split(flat, torch.tensor([0, 3, 4]), torch.tensor([0, 1]), torch.tensor([0, 1]), 5)
    batch = split.batch(torch.tensor([0, 1]))
    assert batch["input_ids"].tolist() == [[7, 8, 9], [6, 5, 5]]
    assert batch["token_type_ids"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_equal_lengths_are_shuffled_too():
    assert len({tuple(batches([7] * 20, 4, seed)[0]) for seed in range(5)}) == 5


@few
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=60), size=st.integers(1, 20))
def test_batches_for_evaluation_are_every_row_by_length(lengths, size):
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.tensor(lengths).cumsum(0)])
    nothing = torch.zeros(len(lengths), dtype=torch.int64)
    ids = torch.zeros(int(offsets[-1]), dtype=torch.int32)
    split = Split({"input_ids": ids}, offsets, nothing, nothing, 0)
    rows = torch.cat(list(ordered_batches(split, size))).tolist()
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths)
