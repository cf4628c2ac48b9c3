"""The file of predictions: what is written is read, and joined by example."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from kd.runtime.errors import UserError
from kd.study.paths import PREDICTIONS
from kd.training.predictions import (
    Predictions,
    aligned,
    read_predictions,
    write_predictions,
)


def predictions(ids, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(ids), classes)).astype(np.float32)
    return Predictions(np.array(ids), rng.integers(0, 2, len(ids)), logits)


def test_what_is_written_is_read(tmp_path):
    splits = {"dev": predictions([4, 2, 9]), "dev_mismatched": predictions([1, 2], seed=1)}
    write_predictions(tmp_path / PREDICTIONS, splits)
    found = read_predictions(tmp_path / PREDICTIONS)
    assert list(found) == list(splits)
    for name, split in splits.items():
        for field in ("ids", "labels", "logits"):
            np.testing.assert_array_equal(getattr(found[name], field), getattr(split, field))


def test_pandas_alone_reads_it(tmp_path):
    write_predictions(tmp_path / PREDICTIONS, {"dev": predictions([1, 2], classes=1)})
    frame = pd.read_parquet(tmp_path / PREDICTIONS)
    assert list(frame) == ["split", "id", "label", "logits"] and len(frame["logits"][0]) == 1


def test_reading_loads_no_pandas(tmp_path):
    write_predictions(tmp_path / PREDICTIONS, {"dev": predictions([1, 2])})
    code = (
        "import sys; from pathlib import Path; "
        "from kd.training.predictions import read_predictions; "
        "print(len(read_predictions(Path(sys.argv[1]))['dev'].ids), 'pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tmp_path / PREDICTIONS]
    assert subprocess.check_output(command, text=True).split() == ["2", "False"]


def test_answers_are_joined_by_example_not_by_position():
    student, teacher = predictions([4, 2, 9]), predictions([9, 4, 2], seed=1)
    ours, theirs = aligned(student, teacher)
    np.testing.assert_array_equal(ours, student.logits)
    np.testing.assert_array_equal(theirs, teacher.logits[[1, 2, 0]])


@pytest.mark.parametrize("ids", [[4, 2], [4, 2, 8], [4, 2, 9, 1]])
def test_other_examples_are_an_error(ids):
    with pytest.raises(UserError, match="answered other examples"):
        aligned(predictions([4, 2, 9]), predictions(ids))


@pytest.mark.parametrize("content", [None, b"", b"no parquet", b"PAR1"])
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / PREDICTIONS).write_bytes(content)
    with pytest.raises(UserError, match="missing or damaged"):
        read_predictions(tmp_path / PREDICTIONS)


@pytest.mark.parametrize("logits", [[[1.0], [2.0, 3.0, 4.0]], [[1.0, 2.0, 3.0, 4.0], None]])
def test_lists_of_other_lengths_are_damage(tmp_path, logits):
    frame = pd.DataFrame({"split": "dev", "id": [1, 2], "label": [0, 1], "logits": logits})
    frame.to_parquet(tmp_path / PREDICTIONS)
    with pytest.raises(UserError, match=r"damaged .*not of one length"):
        read_predictions(tmp_path / PREDICTIONS)
