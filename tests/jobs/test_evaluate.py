"""What an evaluation leaves beside its scores: the answers, and how far they are the teacher's."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import pearsonr
from test_steps import read, run_all

from kd.jobs import evaluate
from kd.jobs.ahead import finish, take_ahead
from kd.jobs.evaluate import evaluate_ahead, run_evaluate
from kd.monitor.collect import collect
from kd.runtime.hashes import file_digest
from kd.runtime.progress import Progress
from kd.runtime.seals import emptied
from kd.study.paths import AHEAD, METRICS, MODEL, PREDICTIONS


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A control and a distilled student on a classification and a regression."""
    return run_all(
        tmp_path_factory.mktemp("evaluate"),
        axes={"knowledge": ["none", "logits"], "task": ["toy-pair", "toy-similarity"]},
    )


def the(grid, task, knowledge):
    (run,) = (
        run
        for run in grid.runs.values()
        if (run.task, run.labels["knowledge"]) == (task, knowledge)
    )
    return run


def answers(folder):
    frame = pd.read_parquet(folder / PREDICTIONS)
    return frame.set_index("id"), np.stack(list(frame["logits"])).astype(float)


def softmax(logits):
    exps = np.exp(logits - logits.max(-1, keepdims=True))
    return exps / exps.sum(-1, keepdims=True)


def test_the_columns_follow_from_the_files(done):
    grid, layout = done
    run = the(grid, "toy-pair", "logits")
    record = read(layout.run(run) / "metrics.json")
    ours, logits = answers(layout.run(run))
    theirs, taught = answers(layout.teacher(run.teacher))
    theirs = theirs.loc[ours.index]
    taught = np.stack(list(theirs["logits"])).astype(float)
    gold, p, q = ours["label"].to_numpy(), softmax(logits), softmax(taught)
    assert record["predictions_fingerprint"] == file_digest(layout.run(run) / PREDICTIONS)
    assert record["accuracy"] == pytest.approx((logits.argmax(-1) == gold).mean())
    same, errs = logits.argmax(-1) == taught.argmax(-1), taught.argmax(-1) != gold
    assert record["agreement"] == pytest.approx(same.mean())
    assert record["agreement_where_teacher_errs"] == pytest.approx(same[errs].mean())
    assert record["teacher_kl"] == pytest.approx((q * np.log(q / p)).sum(-1).mean(), rel=1e-5)
    rows = range(len(gold))
    assert record["nll"] == pytest.approx(-np.log(p[rows, gold]).mean(), rel=1e-5)
    assert record["teacher_nll"] == pytest.approx(-np.log(q[rows, gold]).mean(), rel=1e-5)
    one_hot = np.eye(2)[gold]
    assert record["teacher_brier"] == pytest.approx(((q - one_hot) ** 2).sum(-1).mean(), rel=1e-5)
    assert {"brier", "ece", "teacher_ece"} <= set(record)


def test_a_regression_has_the_correlation_with_its_teacher(done):
    grid, layout = done
    run = the(grid, "toy-similarity", "logits")
    record = read(layout.run(run) / "metrics.json")
    ours, logits = answers(layout.run(run))
    theirs = np.stack(list(answers(layout.teacher(run.teacher))[0].loc[ours.index, "logits"]))
    assert record["agreement"] == pytest.approx(pearsonr(logits[:, 0], theirs[:, 0]).statistic)
    difference = (logits[:, 0] - theirs[:, 0]).mean()
    assert record["teacher_difference"] == pytest.approx(difference, rel=1e-4)
    assert not {"nll", "ece", "teacher_kl", "teacher_nll"} & set(record)


def test_a_control_is_compared_with_the_teacher_of_its_study(done):
    """It was trained without one, so its record knows none; runs.csv does."""
    grid, layout = done
    run = the(grid, "toy-pair", "none")
    assert "agreement" not in read(layout.run(run) / "metrics.json")
    collect(grid, layout, layout.results / "runs.csv")
    row = pd.read_csv(layout.results / "runs.csv").set_index("run").loc[run.id]
    ours, logits = answers(layout.run(run))
    theirs = answers(layout.teacher(run.teacher))[0].loc[ours.index, "logits"]
    chosen = np.stack(list(theirs)).argmax(-1)
    assert row["agreement"] == pytest.approx((logits.argmax(-1) == chosen).mean())


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_answers_of_a_teacher_that_are_not_there_are_made(done, damage):
    grid, layout = done
    run = the(grid, "toy-pair", "logits")
    path = layout.teacher(run.teacher) / PREDICTIONS
    before, record = path.read_bytes(), read(layout.run(run) / "metrics.json")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(before[:100])
    run_evaluate(grid, layout, run.id, threads=1)
    assert path.read_bytes() == before
    again = read(layout.run(run) / "metrics.json")
    for name in ("agreement", "agreement_where_teacher_errs", "teacher_kl", "nll"):
        assert again[name] == record[name] and not math.isnan(record[name])


def test_the_process_of_a_training_evaluates_as_a_job_of_its_own_does(done):
    grid, layout = done
    for run in grid.runs.values():
        folder = layout.run(run)
        before, given = read(folder / METRICS), (folder / PREDICTIONS).read_bytes()
        run_evaluate(grid, layout, run.id, threads=1)
        after = read(folder / METRICS)
        assert (folder / PREDICTIONS).read_bytes() == given
        differing = {key for key in before | after if before.get(key) != after.get(key)}
        assert differing <= {"created", "latency_seconds", "evaluate_seconds", "seal"}


def test_an_evaluation_of_anything_else_is_not_taken(done, monkeypatch, capsys):
    grid, layout = done
    run = the(grid, "toy-pair", "logits")
    folder, progress = layout.run(run), Progress(layout.run(run), "distil")
    assert not take_ahead(grid, layout, run.id, threads=1), "it was taken once"
    evaluate_ahead(run, layout, torch.device("cpu"), 1, progress)
    (folder / METRICS).unlink()
    assert not take_ahead(grid, layout, run.id, threads=2)
    for path in (layout.teacher(run.teacher) / METRICS, folder / AHEAD / PREDICTIONS):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert not take_ahead(grid, layout, run.id, threads=1), path
        path.write_bytes(content)
    assert not (folder / METRICS).exists()
    assert take_ahead(grid, layout, run.id, threads=1)

    monkeypatch.setattr(evaluate, "agreement", lambda *_: 1 / 0)
    evaluate_ahead(run, layout, torch.device("cpu"), 1, progress)
    assert "not evaluated yet: ZeroDivisionError" in capsys.readouterr().out
    assert not (folder / AHEAD).exists(), "the job itself reports the error"


def test_a_student_that_another_study_has_in_its_record_stays(done):
    grid, layout = done
    run = the(grid, "toy-pair", "logits")
    evaluation = read(layout.run(run) / METRICS)
    keeps_none = replace(grid, study=replace(grid.study, keep_students="none"))
    record = layout.study("other") / "runs.csv"
    record.parent.mkdir(parents=True)
    record.write_text(f"run,status\n{run.id},done\n")
    finish(keeps_none, run, layout, evaluation)
    assert not emptied(layout.run(run) / MODEL)
    record.unlink()
    finish(keeps_none, run, layout, evaluation)
    assert emptied(layout.run(run) / MODEL)
