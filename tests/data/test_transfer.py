"""Transfer sets: the examples of each format, and what cannot be read."""

import pytest

from kd.data.transfer import TransferSet, transfer_examples
from kd.runtime.errors import UserError


def read(folder, name, content, columns=("text",), header=True):
    (folder / name).write_bytes(content)
    file = str(folder / name), name.partition(".")[2]
    return list(transfer_examples(TransferSet((file,), columns, header)))


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        (
            "a.csv",
            b'id,text\r\n1,"one, two"\r\n\r\n2,"a ""b""\r\nc"\r\n',
            ["one, two", 'a "b"\r\nc'],
        ),
        ("a.csv", b"text\n" + b"long " * 40_000, ["long " * 39_999 + "long"]),
        ("a.tsv", b'id\ttext\n1\tsay "hi\n', ['say "hi']),
        ("a.jsonl", b'{"text": " one "}\n{"text": null}\n', ["one"]),
    ],
)
def test_texts_are_read_whole(tmp_path, name, content, texts):
    assert read(tmp_path, name, content) == [(text,) for text in texts]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,text\n1,one\n2,one, two\n", "record 2: found 3 columns, allowed: 2, as in"),
        ("a.tsv", b"id\ttext\n1\n", "record 1: found 1 columns, allowed: 2, as in the header"),
        ("a.csv", b'text\none\n"two\nthree\n', "record 2: a quotation mark is not closed"),
        ("a.jsonl", rb'{"text": "a \ud83d b"}', r"record 1: found \\ud83d, half of a surrogate"),
    ],
)
def test_what_would_lose_text_is_one_sentence(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, name, content)


def test_columns_without_names_have_positions(tmp_path):
    assert read(tmp_path, "a.csv", b"1,one\n2,two\n", (1,), False) == [("one",), ("two",)]
    with pytest.raises(UserError, match="no column 5: it has 2, counted from 0"):
        read(tmp_path, "a.csv", b"1,one\n", (5,), False)
