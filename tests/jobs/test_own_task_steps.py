"""Tasks of the user's own, from their files to runs.csv and what is made from it alone."""

import csv
import json

import pandas as pd
import pytest
from helpers import save_encoder
from studies import study_dict, write_study

from kd.axes.kinds import CLASSES, SCORES
from kd.axes.tasks import TASKS
from kd.data.generated import generate
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.monitor.collect import collect
from kd.monitor.plan import plan
from kd.monitor.status import study_status
from kd.results.record import load_record
from kd.results.report.cautions import cautions
from kd.results.report.findings import headlines
from kd.results.statistics.runs import metric
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.training.metrics import evaluate_metrics
from kd.training.predictions import read_predictions


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study over a task of three labels with two dev files, and a regression, all of it run."""
    folder = tmp_path_factory.mktemp("own")
    save_encoder(folder / "model", "bert")
    rows = [row["sentence1"] for row in generate("toy-single", "train", 96)]
    frame = pd.DataFrame({"text": rows, "kind": ["high", "low", "mid"] * 32})
    frame["points"] = [1 + i % 5 for i in range(96)]
    frame[:64].to_csv(folder / "train.csv", index=False)
    frame[64:].to_csv(folder / "dev.csv", index=False)
    frame[60:70].to_json(folder / "hard.csv", orient="records", lines=True)
    (folder / "hard.csv").write_text(frame[60:70].to_csv(index=False))
    files = {"train": "train.csv", "text": "text"}
    recipe = {"epochs": 1, "learning_rate": 1e-3}
    study = study_dict(
        study="own",
        tasks={
            "kinds": {**files, "dev": {"dev": "dev.csv", "hard": "hard.csv"}, "label": "kind",
                      "metrics": ["accuracy", "macro-f1", "auc"]},
            "points": {**files, "dev": {"share": 0.25}, "label": "points", "regression": [1, 5],
                       "metrics": ["pearson", "mse"]},
        },
        teachers={"t": {"model": "model", **recipe}},
        base={"student": "1L-16-2h-32", **recipe},
        axes={"task": ["kinds", "points"], "knowledge": ["none", "logits"], "seed": [1, 2]},
    )  # fmt: skip
    grid = load_grid(write_study(folder, study))
    layout = Layout(folder / "results")
    for task in ("kinds", next(r.task for r in grid.runs.values() if r.task_row.kind is SCORES)):
        prepare_task(grid, layout, task)  # by its name in the study, and by that in ids
    for run in {(run.task, run.tokens_id) for run in grid.runs.values()}:
        run_tokenise(grid, layout, *run)
    for teacher in {run.teacher.id for run in grid.runs.values() if run.needs_teacher}:
        run_teacher(grid, layout, teacher, threads=1)
    for run in grid.runs:
        run_distil(grid, layout, run, threads=1)
        run_evaluate(grid, layout, run, threads=1)
    collect(grid, layout, layout.study("own") / "runs.csv")
    return folder, grid, layout


def test_each_dev_file_has_its_own_columns(done):
    _, grid, layout = done
    with (layout.study("own") / "runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        run = grid.runs[row["run"]]
        assert row["task"] == ("points" if run.task_row.kind is SCORES else "kinds")
        if run.task_row.kind is SCORES:
            assert (row["metrics"], row["classes"]) == ("pearson", "1")
            assert float(row["mse"]) >= 0 and row["score"] == row["pearson"]
            assert not row["accuracy@hard"] and int(row["examples_eval"]) == 16
            continue
        answers = read_predictions(layout.run(run) / "predictions.parquet")
        for split, end, size in (("dev", "", 32), ("hard", "@hard", 10)):
            found = answers[split]
            expected = evaluate_metrics(run.task_row, found.logits.argmax(-1), found.labels)
            assert len(found.labels) == size
            assert float(row[f"score{end}"]) == pytest.approx(expected["score"])
            assert float(row[f"macro_f1{end}"]) == pytest.approx(expected["macro-f1"])
            assert 0 <= float(row[f"auc{end}"]) <= 1
        assert (row["metrics"], row["classes"]) == ("accuracy+macro-f1", "3")
        floor = (11 / 32 + 2 * 11 / (32 + 11) / 3) / 2  # 11 examples have the commonest label
        assert int(row["examples_eval"]) == 32 and float(row["majority_score"]) == pytest.approx(
            floor
        )


def test_the_exported_labels_are_the_files(done):
    _, grid, layout = done
    run = next(run for run in grid.runs.values() if run.task_row.kind is CLASSES)
    config = json.loads((layout.run(run) / "model/config.json").read_text())
    assert list(config["id2label"].values()) == ["high", "low", "mid"]


def test_plan_and_status_know_the_data(done):
    folder, grid, layout = done
    warnings = plan(grid, Layout(folder / "none"))["warnings"]
    shared = "task kinds: 4 of 10 texts of the split hard are in the training split too (40.0%)"
    assert any(warning.startswith(shared) for warning in warnings)
    assert study_status(grid, layout)["data_warnings"] == [w for w in warnings if "task " in w]
    examples = {run.labels["task"]: run.task_row.examples for run in grid.runs.values()}
    assert examples == {"kinds": 64, "points": 48}


def test_results_need_runs_csv_alone(done):
    """Metric names, scales and the constant answer of tasks that no table has."""
    _, _, layout = done
    record = load_record(layout.study("own") / "runs.csv")
    assert not {"kinds", "points"} & set(TASKS)
    assert metric("kinds", record.runs) == "mean of accuracy and macro F1"
    assert metric("points", record.runs) == "Pearson"
    lines = headlines(record.runs)
    assert lines[0].startswith("kinds (mean of accuracy and macro F1): ")
    assert any("constant answer" in line for line in cautions(record))
