"""Columns by name, for every reader of files: one that is there twice is one sentence."""

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from kd.data.corpus import Corpus
from kd.data.corpus_text import check_corpus
from kd.data.own_tasks import own_facts
from kd.data.transfer import TransferSet, check_transfer
from kd.runtime.errors import UserError
from kd.study.task_keys import own_tasks


def corpus(file, kind):
    check_corpus(Corpus(((str(file), kind),), "text", 0.1))


def transfer_set(file, kind):
    check_transfer(TransferSet(((str(file), kind),), ("text",)))


def own_task(file, kind):
    keys = {"train": file.name, "dev": file.name, "text": "text", "label": "label"}
    own_facts(own_tasks({"mine": keys}, file.parent / "study.yaml")["mine"])


def written(file, *names):
    """A file of three rows with columns of these names; every column has the same words."""
    words = ["one", "two", "three"]
    if file.suffix == ".parquet":
        write_table(pa.Table.from_arrays([pa.array(words)] * len(names), names=names), file)
    else:
        rows = [",".join([word] * len(names)) for word in words]
        file.write_text("\n".join([",".join(names), *rows]))
    return file


@pytest.mark.parametrize(
    ("read", "kind"),
    [(r, "parquet") for r in (corpus, transfer_set, own_task)]
    + [(r, "csv") for r in (transfer_set, own_task)],
)
def test_two_columns_of_one_name_are_one_sentence(tmp_path, read, kind):
    file = written(tmp_path / f"a.{kind}", "text", "label", "text")
    sentence = rf"a.{kind}: found 2 columns with the name 'text', allowed: one; rename the others$"
    with pytest.raises(UserError, match=sentence):
        read(file, kind)
    read(written(tmp_path / f"b.{kind}", "text", "label", "more"), kind)
    if (read, kind) != (own_task, "parquet"):  # pandas reads no such file
        read(written(tmp_path / f"c.{kind}", "text", "label", "more", "more"), kind)
