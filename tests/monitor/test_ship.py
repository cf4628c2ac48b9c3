"""`kd record`: a folder to ship, of a study that may be unfinished, and what it must not have."""

import json
import shutil
from typing import ClassVar

import pandas as pd
import pytest
import yaml
from studies import study_dict, write_study
from test_answers import leave

from kd.cli.main import main
from kd.monitor.recorded import filled
from kd.monitor.ship import moved
from kd.results.record import load_record
from kd.results.report.cautions import cautions
from kd.runtime.seals import write_record
from kd.study.grid import load_grid
from kd.study.paths import Layout


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of four runs: one is done, one at work, one killed, one failed."""
    monkeypatch.chdir(tmp_path)
    rows = "text,label\n" + "".join(f"sentence {i},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "mine.csv").write_text(rows)
    own = {"train": "mine.csv", "dev": "./mine.csv", "text": "text", "label": "label"}
    axes = {"task": ["mine"], "seed": [1, 2, 3, 4]}
    keys = study_dict(axes=axes, tasks={"mine": own}, base={"student": "2L-768"})
    path = write_study(tmp_path, keys)
    layout = Layout(tmp_path / "results")
    done, working, killed, failed = load_grid(path).runs.values()
    leave(layout, done)
    facts = {"run": done.id, "score": 0.5, "device": "a CPU", "threads": 1, "created": "2026-01-01"}
    write_record(layout.run(done) / "metrics.json", {**facts, "train_seconds": 36.0})
    states = {working: {"state": "stopped"}, failed: {"state": "failed", "error": "no number"}}
    states[killed] = {"state": "failed", "error": "killed: its process 7 is gone"}
    for run, state in states.items():
        layout.run(run).mkdir(parents=True)
        (layout.run(run) / "state.json").write_text(json.dumps({"time": 0, **state}))
    return path


def test_an_unfinished_study_as_a_record(study, tmp_path, capsys):
    out = tmp_path / "records/mine"
    assert main(["record", str(study), str(out), "--commit", "abc"]) == 0
    assert "1 of 4 runs" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == [
        "answers",
        "made.json",
        "runs.csv",
        "study.yaml",
    ]
    assert [p.name for p in out.glob("answers/*")] == ["mine.parquet"]
    record = load_record(out / "runs.csv", out / "study.yaml")
    assert list(record.runs["status"]) == ["done", "missing", "missing", "failed"]
    assert list(record.runs["error"]) == ["", "", "", "no number"]  # nothing of the machine
    assert cautions(record)[0] == "Not finished: 1 of 4 runs are done."
    made = json.loads((out / "made.json").read_text())
    assert made["done_by_task"] == {"mine": [1, 4]} and made["failed"] == 1
    assert made["device"] == {"a CPU": 1} and made["train_hours"] == 0.01
    assert load_grid(out / "study.yaml").runs.keys() == load_grid(study).runs.keys()
    # Recorded again in its own folder: it keeps the commit.
    assert main(["record", str(out / "study.yaml")]) == 0
    assert json.loads((out / "made.json").read_text()) == made


def test_a_record_does_not_lose_runs(study, tmp_path, capsys):
    out = tmp_path / "record"
    assert main(["record", str(study), str(out)]) == 0
    before = {path: path.read_bytes() for path in (out / "runs.csv", out / "study.yaml")}
    keys = yaml.safe_load(study.read_text())
    keys["axes"]["seed"][0] = 9  # the finished run is no longer in the study
    study.write_text(yaml.safe_dump(keys))
    shutil.rmtree(tmp_path / "results/runs")
    assert main(["record", str(study), str(out)]) == 2
    assert "has the results of " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_a_study_without_a_folder_needs_one(study, capsys):
    assert main(["record", str(study.rename(study.with_name("other.yaml")))]) == 2
    assert "OUT: missing" in capsys.readouterr().err


def test_only_paths_change_when_a_study_moves(tmp_path):
    old, new = tmp_path / "a/b", tmp_path / "c"
    old.mkdir(parents=True)
    (old / "model").mkdir()
    text = (
        "# $schema=../x.json, ../comment\nteachers: {t: {model: model}, u: {model: org/name}}\n"
        'base: {init: "pretrained:../m", task: &x ../data/it}\nagain: *x\nnumber: 1e-4\n'
    )
    found = moved(text, old, new)
    assert "# $schema=../a/x.json, ../comment" in found and "number: 1e-4" in found
    assert yaml.safe_load(found) == {
        "teachers": {"t": {"model": "../a/b/model"}, "u": {"model": "org/name"}},
        "base": {"init": "pretrained:../a/m", "task": "../a/data/it"},
        "again": "../a/data/it",
        "number": "1e-4",
    }


def test_only_keys_of_files_have_names_without_a_dot_moved(tmp_path):
    """Also patterns; a study or teacher may have the name of a folder beside it."""
    old, new = tmp_path / "a", tmp_path / "b"
    (old / "bert").mkdir(parents=True)
    (old / "x.txt").write_text("")
    study = {
        "study": "bert",
        "teachers": {"bert": {"model": "bert"}},
        "tasks": {"mine": {"train": "x.txt", "dev": {"dev": "x.txt", "hard": "x.txt"}}},
        "corpora": {"words": {"files": ["*.txt", "gone/*.txt"]}},
        "base": {"teacher": "bert", "task": "x.txt"},
    }
    found = yaml.safe_load(moved(yaml.safe_dump(study), old, new))
    assert found["teachers"] == {"bert": {"model": "../a/bert"}}
    mine = found["tasks"]["mine"]
    assert mine == {"train": "../a/x.txt", "dev": {"dev": "../a/x.txt", "hard": "../a/x.txt"}}
    assert found["corpora"]["words"]["files"] == ["../a/*.txt", "gone/*.txt"]
    assert (found["study"], found["base"]) == ("bert", study["base"])


def test_a_record_grows_where_its_results_are_gone(study, tmp_path, capsys):
    """The record of another machine, whose results are not here, and a second one."""
    first, second = tmp_path / "records/first", tmp_path / "records/second"
    assert main(["record", str(study), str(first), "--commit", "abc"]) == 0
    grid = load_grid(study)
    done, working, *_ = grid.runs.values()
    shutil.move(tmp_path / "results", tmp_path / "elsewhere")
    leave(Layout(tmp_path / "results"), working, answer=1)
    facts = {"run": working.id, "score": 0.75, "created": "2026-01-02", "train_seconds": 72.0}
    write_record(Layout(tmp_path / "results").run(working) / "metrics.json", facts)
    capsys.readouterr()
    assert main(["runs", str(study), "--not-in", str(first.parent), "--files"]) == 0
    left = [run for run in grid.runs.values() if run is not done]
    files = [f"results/runs/{run.id}/metrics.json" for run in left]
    assert capsys.readouterr().out.split() == files
    cut = tmp_path / "cut"  # off within its first row, as by a full disk
    shutil.copytree(first, cut)
    header, row, *_ = (cut / "runs.csv").read_text().splitlines()
    (cut / "runs.csv").write_text(f"{header}\n{row[: row.index('done') + 4]}")
    assert main(["runs", str(study), "--not-in", str(cut)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(grid.runs)
    before = load_record(first / "runs.csv", first / "study.yaml").runs.iloc[0]
    # In the folder of the record, and in another one.
    assert main(["record", str(study), str(second), "--from", str(first)]) == 0
    assert main(["record", str(study), str(first)]) == 0
    for out in (first, second):
        runs = load_record(out / "runs.csv", out / "study.yaml").runs
        assert list(runs["status"]) == ["done", "done", "missing", "missing"]
        assert runs.iloc[0].dropna().equals(before.dropna())
        made = json.loads((out / "made.json").read_text())
        assert made["train_hours"] == 0.03
        assert [made["first"], made["last"]] == ["2026-01-01", "2026-01-02"]
        answers = pd.read_parquet(out / "answers/mine.parquet")
        assert list(answers[done.id]) == [0, 0, 0] and list(answers[working.id]) == [1, 1, 1]
    assert (first / "runs.csv").read_bytes() == (second / "runs.csv").read_bytes()


def test_another_score_than_the_recorded_one_is_said(study, tmp_path, capsys):
    out = tmp_path / "record"
    assert main(["record", str(study), str(out)]) == 0
    assert "another score" not in capsys.readouterr().err
    done = next(iter(load_grid(study).runs.values()))
    path = Layout(tmp_path / "results").run(done) / "metrics.json"
    path.unlink()
    write_record(path, {"run": done.id, "score": 0.25})
    assert main(["record", str(study), str(out)]) == 0
    assert f"of a record for 1 run ({done.id}); those in" in capsys.readouterr().err
    assert load_record(out / "runs.csv", out / "study.yaml").runs["score"][0] == 0.25


def test_a_control_takes_no_agreement_with_the_teacher_of_another_study():
    class Control:
        needs_teacher = False
        labels: ClassVar = {"teacher": "b"}

    row = {"run": "r", "status": "missing", "error": "", "teacher": "b", "design": "d"}
    recorded = {"run": "r", "status": "done", "teacher": "a", "score": "0.5", "agreement": "0.9"}
    (found,) = filled([row], {"r": Control}, {"r": {**recorded, "design": "other"}})
    assert found == {**row, "status": "done", "score": "0.5"}
    Control.labels = {"teacher": "a"}
    (found,) = filled([row], {"r": Control}, {"r": recorded})
    assert found["agreement"] == "0.9"


def test_a_folder_without_a_record_is_refused(study, tmp_path, capsys):
    assert main(["record", str(study), str(tmp_path / "record"), "--from", str(tmp_path)]) == 2
    assert "no record; expected runs.csv in it" in capsys.readouterr().err
    assert main(["runs", str(study), "--not-in", str(tmp_path)]) == 2
    assert "no record; expected runs.csv in it" in capsys.readouterr().err
