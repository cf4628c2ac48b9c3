"""Corpora of stages: formats, identity, packing without padding, the held-out slice, masks."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import torch
from token_files import WORDS, make_tokenizer
from transformers import BertConfig

from kd.data.corpus import Corpus, corpus_id
from kd.data.corpus_text import check_corpus, corpus_texts
from kd.data.corpus_tokens import (
    HELD_OUT,
    TRAIN,
    _batches,
    check_whole,
    is_held_out,
    load_corpus,
    manifest_of,
    pack,
)
from kd.data.masking import PREDICTED, mask_tokens
from kd.runtime.errors import UserError


def lines(count, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(list(WORDS), draw.integers(3, 9))) for _ in range(count)]


def corpus(*files, column="text", held_out=0.1):
    return Corpus(tuple((str(f), kind) for f, kind in files), column, held_out)


def packed(folder, texts, length=8, held_out=0.1, kind="bert", **config):
    tokenizer = make_tokenizer(kind)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    settings = BertConfig(**{"vocab_size": len(tokenizer), **config})
    pack(texts, tokenizer, settings, length, held_out, folder, lambda: None)
    return tokenizer


# --- reading --------------------------------------------------------------------------------------


def test_every_format_gives_the_same_texts(tmp_path):
    texts = ["one two", "three", "vier fünf"]
    (tmp_path / "a.txt").write_text("\n\n".join(texts), encoding="utf-8")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("\r\n\r\n".join(texts).encode()))
    rows = [{"id": i, "body": text} for i, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    found = {
        name: [t for t in corpus_texts(corpus((tmp_path / name, kind), column="body")) if t]
        for name, kind in {
            "a.txt": "text",
            "a.txt.gz": "text",
            "a.jsonl": "jsonl",
            "a.parquet": "parquet",
        }.items()
    }
    assert all(value == texts for value in found.values()), found


def test_a_blank_line_and_a_record_end_a_document(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\nthree\n")
    assert list(corpus_texts(corpus((tmp_path / "a.txt", "text")))) == [
        *("one", "two", None, "three", None)
    ]
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": " "}\n{"text": "two"}\n')
    assert list(corpus_texts(corpus((tmp_path / "a.jsonl", "jsonl")))) == [
        *("one", None, "two", None, None)
    ]


def test_text_is_read_line_by_line(tmp_path):
    """A corpus may be larger than memory: what comes after the first line is not read before it is
    asked for."""
    (tmp_path / "a.txt").write_bytes(b"first\n" + b"x\n" * 100_000 + b"\xff broken\n")
    texts = corpus_texts(corpus((tmp_path / "a.txt", "text")))
    assert next(texts) == "first"
    with pytest.raises(UserError, match=r"a\.txt, line 100002: byte 1 .* 0xff, which is not UTF-8"):
        list(texts)


@pytest.mark.parametrize(
    ("name", "kind", "content", "message"),
    [
        ("a.txt", "text", b"\n \n", "no text in it"),
        ("a.txt", "text", b"", "no text in it"),
        (
            "a.txt.gz",
            "text",
            gzip.compress(b"text " * 2000, mtime=0)[:30],
            "cannot be read, or is cut off",
        ),
        ("a.jsonl", "jsonl", b"{", "line 1: not JSON"),
        ("a.jsonl", "jsonl", b'{"texts": "a"}', "column 'text' is missing; found texts"),
        ("a.jsonl", "jsonl", b'{"text": 3}', "record 1: found 3, allowed: text"),
        ("a.jsonl", "jsonl", rb'{"text": "\ud83d"}', "half of a surrogate pair, allowed: text"),
        ("a.parquet", "parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, name, kind, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        check_corpus(corpus((tmp_path / name, kind)))


def test_a_line_or_record_has_a_bound(tmp_path, monkeypatch):
    """A job keeps one text in memory, and its tokens take much more."""
    monkeypatch.setattr("kd.data.corpus_text.LONGEST", 100)
    rows = [{"text": "x" * length} for length in (80, 101)]
    (tmp_path / "a.txt").write_text(f"{'x' * 80}\n{'x' * 99}\n{'x' * 101}")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for kind, texts, message in (
        ("text", 2, "line 3: found a line of more than 100 bytes"),
        ("jsonl", 1, "line 2: found a line of more than 100 bytes"),
        ("parquet", 1, "record 2: found a text of 101 characters, allowed: up to 100;"),
    ):
        name = "a.txt" if kind == "text" else f"a.{kind}"
        read = (text for text in corpus_texts(corpus((tmp_path / name, kind))) if text)
        assert [len(next(read)) > 79 for _ in range(texts)] == [True] * texts
        with pytest.raises(UserError, match=rf"{name}, {message}"):
            next(read)


# --- identity -------------------------------------------------------------------------------------


def test_identity_is_of_the_content(tmp_path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("first text\n")
    two.write_text("second text\n")
    both = corpus_id(corpus((one, "text"), (two, "text")))
    moved, other = tmp_path / "zzz.txt", tmp_path / "aaa.txt"
    moved.write_text("first text\n")
    other.write_text("second text\n")
    renamed = corpus((moved, "text"), (other, "text"))
    assert corpus_id(renamed) == both
    assert list(corpus_texts(renamed)) == list(corpus_texts(corpus((one, "text"), (two, "text"))))
    assert corpus_id(corpus((one, "text"))) != both
    assert corpus_id(corpus((one, "text"), (two, "text"), held_out=0.2)) != both
    two.write_text("second text!\n")
    corpus_id.__globals__["corpus_identity"].cache_clear()
    corpus_id.__globals__["corpus_files"].cache_clear()
    assert corpus_id(corpus((one, "text"), (two, "text"))) != both


# --- packing --------------------------------------------------------------------------------------


def test_sequences_are_full_and_hold_the_text_in_order(tmp_path):
    texts = [*lines(60), None, *lines(60, 1), None]
    tokenizer = packed(tmp_path, texts)
    train = load_corpus(tmp_path, TRAIN)
    assert set(train.lengths.tolist()) == {8}
    batch = train.batch(torch.arange(len(train)))
    assert batch["attention_mask"].all(), "padding"
    ids = batch["input_ids"]
    assert (ids[:, 0] == tokenizer.cls_token_id).all()
    assert (ids[:, -1] == tokenizer.sep_token_id).all()
    stream = ids[:, 1:-1].flatten().tolist()
    wanted = []
    for text in texts:
        if text is None:
            wanted.append(tokenizer.sep_token_id)
        elif not is_held_out(text, 0.1):
            wanted += tokenizer(text, add_special_tokens=False)["input_ids"]
    manifest = manifest_of(tmp_path)
    left = manifest["dropped_tokens"][TRAIN]
    assert stream == wanted[: len(wanted) - left] and left < 6
    assert manifest["tokens"] == 8 * len(train) and manifest["documents"] == 2
    check_whole(tmp_path)


def test_blank_lines_and_the_ends_of_files_are_no_documents(tmp_path):
    packed(tmp_path, [None, *lines(60), None, None, *lines(60, 1), None, None])
    assert manifest_of(tmp_path)["documents"] == 2


def test_long_texts_are_tokenised_few_at_a_time(tmp_path, monkeypatch):
    """The numbers of a corpus do not depend on how many texts a call of the tokenizer has."""
    texts = [*lines(60), None, *lines(60, 1), None]
    packed(tmp_path / "one", texts)
    monkeypatch.setattr("kd.data.corpus_tokens._LETTERS", 200)
    monkeypatch.setattr("kd.data.corpus_tokens._AT_ONCE", 9)
    sizes = [[len(text or "") for text in batch] for batch in _batches(texts)]
    assert all(sum(size[:-1]) < 200 and len(size) <= 9 for size in sizes)
    assert sum(map(len, sizes)) == len(texts) and {9} < set(map(len, sizes))
    packed(tmp_path / "two", texts)
    one, two = (manifest_of(tmp_path / name) for name in ("one", "two"))
    assert one["fingerprint"] == two["fingerprint"] and one["texts"] == two["texts"]


def test_a_held_out_text_is_never_trained_on(tmp_path):
    texts = lines(200) * 2  # every line twice
    tokenizer = packed(tmp_path, texts, held_out=0.2)
    held = {text for text in texts if is_held_out(text, 0.2)}
    assert 0.1 < len(held) / len(set(texts)) < 0.3
    sides = {
        side: load_corpus(tmp_path, side).flat["input_ids"].tolist() for side in (TRAIN, HELD_OUT)
    }
    inside = {TRAIN: 0, HELD_OUT: 0}
    for text in texts:
        inside[HELD_OUT if text in held else TRAIN] += len(text.split())
    special = set(tokenizer.all_special_ids)
    for side, ids in sides.items():
        words = sum(i not in special for i in ids)
        assert words + manifest_of(tmp_path)["dropped_tokens"][side] == inside[side]
    assert len(load_corpus(tmp_path, TRAIN, 3)) == 3


def test_too_little_text_and_a_wrong_vocabulary_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="fewer than one of max_length 8"):
        packed(tmp_path, ["the cat"])
    with pytest.raises(UserError, match=r"held-out sequences.* raise corpus\.held_out"):
        packed(tmp_path, lines(60), held_out=1e-9)
    with pytest.raises(UserError, match="do not belong together"):
        packed(tmp_path, lines(200), vocab_size=5)
    assert not (tmp_path / "tokens").exists(), "half of it is left"


def test_damaged_tokens_are_found(tmp_path):
    packed(tmp_path, lines(200))
    file = tmp_path / "tokens/train.bin"
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="not as it was written"):
        check_whole(tmp_path)
    file.write_bytes(content[:-4])
    with pytest.raises(UserError, match="missing or damaged"):
        load_corpus(tmp_path, TRAIN)


# --- masks ----------------------------------------------------------------------------------------


def test_masks_are_berts():
    ids = torch.randint(10, 50, (200, 50), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 2, 3
    valid = torch.ones_like(ids)
    valid[:, 40:] = 0
    batch = {"input_ids": ids, "attention_mask": valid}
    found = mask_tokens(batch, 0.15, mask=4, special=[0, 2, 3, 4], vocabulary=50, seed=1)
    chosen = found[PREDICTED]
    able = valid.bool() & (ids > 4)
    assert not (chosen & ~able).any(), "special tokens or padding"
    assert 0.14 < (chosen.sum() / able.sum()).item() < 0.16
    assert torch.equal(found["labels"], ids[chosen])
    assert torch.equal(found["input_ids"][~chosen], ids[~chosen])
    now, before = found["input_ids"][chosen], ids[chosen]
    assert 0.77 < (now == 4).float().mean() < 0.83
    assert 0.07 < ((now != 4) & (now != before)).float().mean() < 0.13
    again = mask_tokens(batch, 0.15, 4, [0, 2, 3, 4], 50, seed=1)
    assert torch.equal(again["input_ids"], found["input_ids"])
    other = mask_tokens(batch, 0.15, 4, [0, 2, 3, 4], 50, seed=2)
    assert not torch.equal(other["input_ids"], found["input_ids"])


def test_at_least_one_token_is_masked():
    batch = {"input_ids": torch.tensor([[2, 9, 3]]), "attention_mask": torch.ones(1, 3).long()}
    for seed in range(20):
        found = mask_tokens(batch, 0.01, 4, [2, 3, 4], 50, seed)
        assert found[PREDICTED].tolist() == [[False, True, False]] and found["labels"].tolist() == [
            9
        ]
