"""A tiny study that tunes its students and its teacher on a held-out slice, step by step."""

import csv
import json

import pytest
import torch
from studies import tiny_study, write_study

from kd.axes.kinds import CLASSES
from kd.data.subset import held_out_rows
from kd.data.tokens import load_split
from kd.encoders import build
from kd.jobs import distil, teacher
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.monitor.collect import collect
from kd.monitor.copies import settle_times
from kd.results.record import load_record
from kd.results.tables.write import make_tables
from kd.runtime.hashes import model_fingerprint
from kd.runtime.seals import check_seal, read_record
from kd.study.grid import load_grid
from kd.study.paths import Layout

SHARE = 0.25  # of 48 examples of each label


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(grid, layout, examples that each training read) of the study, all of it done."""
    folder = tmp_path_factory.mktemp("select")
    study = tiny_study(
        teachers={"deep": {"model": "scratch", "shape": "3L-32-2h-64", "epochs": 1}},
        base={"student": "2L-16-2h-32", "task": "toy-single", "epochs": 1},
        axes={"knowledge": ["none", "logits"], "learning_rate": [1e-3, 5e-2], "seed": [1, 2]},
        select={
            "axes": ["learning_rate"],
            "share": SHARE,
            "teachers": {"learning_rate": [1e-3, 2e-2]},
        },
    )
    grid, layout = load_grid(write_study(folder, study)), Layout(folder / "results")
    read = []
    with pytest.MonkeyPatch.context() as patch:
        for job in (distil, teacher):
            fit = job.fit

            def watched(*arguments, fit=fit, **more):
                rows = more.get("examples", arguments[-1])
                read.append(set(rows.tolist()))
                return fit(*arguments, **more)

            patch.setattr(job, "fit", watched)
        first = next(iter(grid.runs.values()))
        prepare_task(grid, layout, "toy-single")
        run_tokenise(grid, layout, "toy-single", first.tokens_id)
        for name in grid.teachers:
            run_teacher(grid, layout, name, threads=1)
        for run in grid.runs:
            run_distil(grid, layout, run, threads=1)
            run_evaluate(grid, layout, run, threads=1)
    collect(grid, layout, layout.study("test") / "runs.csv")
    return grid, layout, read


def tokens(grid, layout):
    run = next(iter(grid.runs.values()))
    return layout.tokens(run.data_id, run.task, run.tokens_id)


def test_no_training_sees_the_slice_and_all_see_the_same_rest(done):
    grid, layout, read = done
    split = load_split(tokens(grid, layout), "train")
    held = set(held_out_rows(split, SHARE, 0, CLASSES).tolist())
    assert len(held) == 24 and len(read) == 8 + 2
    assert all(rows == set(range(96)) - held for rows in read)


def test_the_slice_score_is_that_of_the_students_answers_on_the_slice(done):
    grid, layout, _ = done
    run = next(iter(grid.runs.values()))
    split = load_split(tokens(grid, layout), "train")
    rows = held_out_rows(split, SHARE, 0, CLASSES)
    model = build.load_finetuned(layout.run(run) / "model").eval()
    batch = split.batch(rows)
    inputs = {
        k: v for k, v in batch.items() if k in ("input_ids", "attention_mask", "token_type_ids")
    }
    with torch.no_grad():
        answers = model(**inputs).logits.argmax(-1)
    metrics = read_record(layout.run(run) / "metrics.json")
    assert metrics["slice_score"] == pytest.approx((answers == batch["labels"]).double().mean())
    assert metrics["slice_examples"] == 24 and metrics["examples_train"] == 72


def test_the_selected_teacher_is_the_candidate_that_is_best_on_the_slice(done):
    grid, layout, _ = done
    (selected,) = {run.teacher for run in grid.runs.values()}
    records = [read_record(layout.teacher(c) / "metrics.json") for c in selected.candidates]
    own = read_record(layout.teacher(selected) / "metrics.json")
    best = max(records, key=lambda record: record["slice_score"])
    assert own["selected"] == best["teacher_id"] and own["fingerprint"] == best["fingerprint"]
    model = check_seal(layout.teacher(selected) / "model")
    assert model_fingerprint(model) == best["fingerprint"]
    told = [f"slice {record['slice_score']:.4f}, dev {record['score']:.4f}" for record in records]
    assert [text in own["teacher_candidates"] for text in told] == [True, True]
    table = make_tables(load_record(layout.study("test") / "runs.csv").runs)["selected-teachers"]
    assert [row[2] for row in table.rows] == ["learning_rate 0.001", "learning_rate 0.02"]


def test_of_equal_candidates_the_first_of_the_study_teaches(done, tmp_path, monkeypatch):
    from kd.jobs import select_teacher as job

    grid, layout, _ = done
    (selected,) = {run.teacher for run in grid.runs.values()}
    read = job.read_record
    monkeypatch.setattr(job, "read_record", lambda *a: {**read(*a), "slice_score": 0.5})
    job.select_teacher(selected, Layout(layout.results))
    record = read(layout.teacher(selected) / "metrics.json")
    assert record["selected"] == selected.candidates[0].id
    monkeypatch.undo()
    job.select_teacher(selected, layout)


def test_the_record_alone_gives_the_same_choice_as_with_its_study(done):
    grid, layout, _ = done
    record = layout.study("test") / "runs.csv"
    alone, with_study = load_record(record), load_record(record, grid.study.path)
    assert alone.selection.candidates == with_study.selection.candidates
    with record.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 8 and len(alone.runs) == 4
    assert json.loads(rows[0]["select"]) == {
        "axes": {"learning_rate": ["0.001", "0.05"]},
        "cells": ["task", "knowledge"],
    }
    for knowledge in ("none", "logits"):  # by hand
        means = {
            rate: sum(
                float(r["slice_score"])
                for r in rows
                if (r["knowledge"], r["learning_rate"]) == (knowledge, rate)
            )
            for rate in ("0.001", "0.05")
        }
        best = max(means, key=lambda rate: means[rate])
        chosen = alone.runs[alone.runs["knowledge"] == knowledge]["chosen"]
        assert set(chosen) == {f"learning_rate {best}"}


def test_copied_results_with_a_selected_teacher_are_finished(done):
    """Nothing is older than its inputs once the times are settled."""
    grid, layout, _ = done
    settle_times(grid, layout)
    assert settle_times(grid, layout) == []
