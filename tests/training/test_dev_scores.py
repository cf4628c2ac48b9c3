"""Dev scores during the training: they stand at their steps, and change nothing."""

import pytest
import torch
from helpers import tiny_model
from studies import SYNTHETIC, study_dict, write_study
from trainings import (
    CPU,
    IDENTITY,
    NARROW,
    TERMS,
    DyingAt,
    Training,
    differs,
    make_split,
    term,
)

from kd.axes.tasks import TASKS
from kd.runtime.errors import UserError
from kd.runtime.signals import Stopped
from kd.study.check import load_study
from kd.study.grid import load_grid
from kd.training.checkpoint import Checkpoint
from kd.training.evaluation import DevScore, predict


class Accuracy:
    """Of a model on a split, as `DevScore` has it; what it saw."""

    def __init__(self):
        self.split, self.seen = make_split(12), []

    def __call__(self, model):
        chosen = predict(model, self.split, CPU, None).argmax(-1)
        self.seen.append((chosen == self.split.labels).float().mean().item())
        model.train()
        return self.seen[-1]


def scores(history):
    return {row["step"]: row["dev_score"] for row in history if "dev_score" in row}


@pytest.mark.parametrize(
    ("every", "steps"), [("epoch", [4, 8]), (3, [3, 6, 8]), (1, list(range(1, 9))), (50, [8])]
)
def test_scores_stand_at_their_steps(tmp_path, every, steps):
    """30 examples in batches of 8: four steps an epoch, two epochs; the end has one too."""
    dev = Accuracy()
    found = Training(tmp_path, *TERMS, dev_score=dev, evaluate_every=every)
    assert scores(found.history) == dict(zip(steps, dev.seen, strict=True))


def test_the_training_is_the_same_to_the_bit(tmp_path):
    """Attention is captured, dropout drawn: neither notices the evaluation between the steps."""
    plain = Training(tmp_path, *TERMS)
    scored = Training(tmp_path, *TERMS, dev_score=Accuracy(), evaluate_every=1)
    assert not differs(plain.state(), scored.state())
    assert scored.student.training
    last = {k: v for k, v in scored.history[-1].items() if k != "dev_score"}
    assert last["loss"] == pytest.approx(plain.history[-1]["loss"])


def test_a_training_that_was_killed_has_the_same_scores(tmp_path):
    options = {"evaluate_every": 2, "epochs": 2}
    taught = term("hidden")
    whole = Training(tmp_path, taught, dev_score=Accuracy(), **options)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        checkpoint = DyingAt(path, 5)
        Training(tmp_path, taught, dev_score=Accuracy(), checkpoint=checkpoint, **options)
    parts = Training(
        tmp_path,
        taught,
        dev_score=Accuracy(),
        checkpoint=Checkpoint(path, IDENTITY),
        **options,
    )
    assert not differs(whole.state(), parts.state()) and whole.history == parts.history


def test_the_time_of_the_evaluation_is_none_of_the_trainings(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("kd.training.state.time.perf_counter", lambda: clock[0])

    def slow(model):
        clock[0] += 100.0
        return 0.5

    assert Training(tmp_path, dev_score=slow, evaluate_every=1).result.seconds == 0


def test_the_last_score_is_that_of_the_exported_student(tmp_path):
    """Through the steps of the workflow, on the dev split of the task."""
    import csv
    import json

    from kd.jobs.data import prepare_task
    from kd.jobs.distil import run_distil
    from kd.jobs.evaluate import run_evaluate
    from kd.jobs.tokenise import run_tokenise
    from kd.monitor.collect import compact_history
    from kd.study.paths import Layout

    base = {"student": "1L-16-2h-32", "task": "toy-pair", "knowledge": "none", "epochs": 2}
    study = study_dict(
        data=SYNTHETIC,
        teachers={"deep": {"model": "scratch", "shape": "2L-16-2h-32"}},
        base={**base, "learning_rate": 5e-3},
        axes={"seed": [1]},
        evaluate_every="epoch",
    )
    grid, layout = load_grid(write_study(tmp_path, study)), Layout(tmp_path / "results")
    (run,) = grid.runs.values()
    prepare_task(grid, layout, run.task)
    run_tokenise(grid, layout, run.task, run.tokens_id)
    run_distil(grid, layout, run.id, threads=1)
    run_evaluate(grid, layout, run.id, threads=1)
    record = json.loads((layout.run(run) / "metrics.json").read_text())
    with (layout.run(run) / "history.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    found = [float(row["dev_score"]) for row in rows if row["dev_score"]]
    assert len(found) == 2 and found[-1] == pytest.approx(record["score"])
    assert "dev_score=" in compact_history(layout.run(run) / "history.csv")


def test_ids_do_not_depend_on_it(tmp_path):
    study = study_dict()
    plain = load_grid(write_study(tmp_path, study, "a.yaml"))
    scored = load_grid(write_study(tmp_path, {**study, "evaluate_every": 10}, "b.yaml"))
    assert list(plain.runs) == list(scored.runs) and scored.study.evaluate_every == 10


@pytest.mark.parametrize("value", [0, -1, True, "step", 1.5])
def test_other_values_are_one_sentence(tmp_path, value):
    path = write_study(tmp_path, study_dict(evaluate_every=value))
    with pytest.raises(UserError, match=r"evaluate_every: found .*, allowed: epoch, or a number"):
        load_study(path)


def test_a_score_of_two_dev_splits_is_their_mean(monkeypatch):

    splits = {"dev": make_split(10), "dev_mismatched": make_split(20)}
    monkeypatch.setattr("kd.training.evaluation.load_split", lambda tokens, name: splits[name])
    model = tiny_model(shape=NARROW, labels=3)
    found = DevScore(None, TASKS["mnli"], CPU)(model)
    assert model.training, "the training goes on"
    right = [
        (predict(model, split, CPU, None).argmax(-1) == split.labels).float().mean()
        for split in splits.values()
    ]
    assert found == pytest.approx(torch.stack(right).mean().item())


def test_logits_that_are_not_finite_are_said_to_be_the_trainings(monkeypatch):
    splits = {"dev": make_split(10)}
    monkeypatch.setattr("kd.training.evaluation.load_split", lambda tokens, name: splits[name])
    model = tiny_model(shape=NARROW)
    model.name_or_path = "a/folder"
    torch.nn.init.constant_(model.classifier.weight, torch.inf)
    with pytest.raises(UserError, match=r"^the training is not finite: .* 10 of 10 examples"):
        DevScore(None, TASKS["sst2"], CPU)(model)
