"""Scores of a task with two dev splits, and the time of one example."""

import itertools
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import tiny_config, tiny_model
from token_files import MAX_LENGTH, make_tokenizer, write_text
from trainings import make_split

from kd.axes.tasks import TASKS
from kd.data.tokens import Split, load_split, tokenise
from kd.runtime.errors import Transient
from kd.runtime.progress import Progress
from kd.training import evaluation
from kd.training.evaluation import evaluate, explained, latency, predict

CPU = torch.device("cpu")
MATCHED = [0, 1, 2, 0, 1, 2, 0, 1, 2]  # the best constant answer is right for 3 of 9
MISMATCHED = [1, 1, 1, 1, 1, 1, 1, 2, 0, 0]  # 7 of 10


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """MNLI with splits of other sizes and labels."""
    text = tmp_path / "text"
    write_text(text, "mnli")
    for seed, (split, labels) in enumerate({"dev": MATCHED, "dev_mismatched": MISMATCHED}.items()):
        words = ("alpha", "beta", "gamma", "delta")
        sentences = [f"{words[(i + seed) % 4]} {words[i * 3 % 4]}" for i in range(len(labels))]
        rows = {"id": range(len(labels)), "sentence1": sentences, "sentence2": sentences[::-1]}
        pd.DataFrame({**rows, "label": labels}).to_parquet(text / f"{split}.parquet", index=False)
    out = tmp_path / "tokens"
    tokenise(text, TASKS["mnli"], make_tokenizer("bert"), tiny_config(), MAX_LENGTH, out)
    return out


def test_both_dev_splits_of_mnli_count(tokens, tmp_path):
    model, progress = tiny_model(labels=3, seed=5), Progress(tmp_path, "test")
    right = []
    for name, labels in (("dev", MATCHED), ("dev_mismatched", MISMATCHED)):
        answers = predict(model, load_split(tokens, name), CPU, progress).argmax(-1).tolist()
        right.append(sum(a == b for a, b in zip(answers, labels, strict=True)) / len(labels))
    assert right[0] != right[1], "the test cannot tell the splits apart"
    record, _ = evaluate(model, tokens, TASKS["mnli"], CPU, progress)
    assert (record["accuracy"], record["accuracy_mm"]) == pytest.approx(right)
    assert record["score"] == pytest.approx(sum(right) / 2)
    assert record["majority_score"] == pytest.approx((3 / 9 + 7 / 10) / 2)
    assert record["examples_eval"] == 19
    assert record["split"] == "dev"


def test_the_time_is_that_of_both_splits(tokens, tmp_path, monkeypatch):
    now = [0.0]

    def slow(*args):
        now[0] += 5
        return predict(*args)

    monkeypatch.setattr(evaluation, "predict", slow)
    monkeypatch.setattr(evaluation.time, "perf_counter", lambda: now[0])
    record, _ = evaluate(
        tiny_model(labels=3), tokens, TASKS["mnli"], CPU, Progress(tmp_path, "test")
    )
    assert record["evaluate_seconds"] == 10


def test_the_warm_up_is_no_part_of_the_latency(monkeypatch):
    """A clock that a forward pass moves: by 100 s in the warm-up, by 1, 6 and 2 s after it."""
    times = iter([100.0] * evaluation._WARM_UP + [1.0, 6.0, 2.0])
    now = [0.0]
    model = tiny_model()
    forward = model.forward

    def slow(**inputs):
        now[0] += next(times)
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", slow)
    monkeypatch.setattr(evaluation.time, "perf_counter", lambda: now[0])
    assert latency(model, make_split(3), CPU) == 2
    assert next(times, None) is None, "an example was left out"


def test_the_latency_is_of_examples_spread_over_the_split():
    """Splits are in the order of the task, which may be by label or by length."""
    seen = []

    class Watched(Split):
        def batch(self, rows):
            seen.append(rows.tolist())
            return super().batch(rows)

    model = tiny_model().train()
    latency(model, make_split(100, Watched), CPU)
    assert not model.training, "timed with dropout"
    timed = [row for (row,) in seen[evaluation._WARM_UP :]]
    assert len(timed) == len(set(timed)) == evaluation._SINGLES
    assert timed == sorted(timed) and (timed[0], timed[-1]) == (0, 99)
    assert max(b - a for a, b in itertools.pairwise(timed)) <= 4


def test_r2_by_hand():
    """Squared errors 0 + 1 + 1 of labels 1, 2, 6, whose squares about 3 are 4 + 1 + 9."""
    labels = torch.tensor([1.0, 2.0, 6.0])
    assert explained(torch.tensor([1.0, 3.0, 5.0]), labels) == pytest.approx(1 - 2 / 14)
    assert explained(torch.full((3,), 3.0), labels) == pytest.approx(0)
    assert explained(labels, torch.full((3,), 4.0)) == 0, "nothing to explain"


def test_the_error_of_a_score_of_two_splits_is_that_of_their_mean(tokens, tmp_path, monkeypatch):
    errors = iter([0.03, 0.04])
    monkeypatch.setattr(evaluation, "score_error", lambda *_: next(errors))
    record, _ = evaluate(
        tiny_model(labels=3), tokens, TASKS["mnli"], CPU, Progress(tmp_path, "test")
    )
    assert record["score_se"] == pytest.approx(0.05 / 2)


def test_out_of_memory_is_answered_with_smaller_batches(monkeypatch, capsys):
    model, split = tiny_model(seed=5), make_split(70)
    wanted, sizes, forward = predict(model, split, CPU, None), [], model.forward

    def small(room, **inputs):
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > room:
            raise torch.OutOfMemoryError
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", partial(small, 20))
    torch.testing.assert_close(predict(model, split, CPU, None), wanted)
    assert sizes == [64, 32, 16, 16, 16, 16, 6]
    assert "evaluated with 16 examples at once" in capsys.readouterr().out
    monkeypatch.setattr(model, "forward", partial(small, 0))
    with pytest.raises(Transient, match="with one example at a time"):
        predict(model, split, CPU, None)
