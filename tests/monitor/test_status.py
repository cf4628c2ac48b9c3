"""How far a study is, from the files alone."""

import json
import os

import pytest
from studies import json_of, tiny_study, write_study

from kd.cli.main import main
from kd.runtime.files import write_json
from kd.runtime.state import SILENCE, this_process, write_state
from kd.study.grid import load_grid
from kd.study.paths import Layout


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path, tiny_study())


def test_status_is_read_from_files(study, capsys):
    done, running, failed, dead = load_grid(study).runs.values()
    layout = Layout("results")
    write_json(layout.run(done) / "metrics.json", {"run": done.id, "score": 1})
    write_state(layout.run(running), state="running", step="distil")
    write_state(layout.run(failed), state="failed", step="distil", error="out of milk")
    write_state(layout.run(dead), state="running", step="distil", phase="distilling", host="h")
    state = layout.run(dead) / "state.json"
    old = json.loads(state.read_text())
    write_json(state, old | {"time": old["time"] - 2 * SILENCE})
    found = json_of(capsys, "status", study)
    assert [found[key] for key in ("runs", "done", "running", "failed", "missing")] == [
        4,
        1,
        1,
        2,
        0,
    ]
    errors = {entry["run"]: entry["error"] for entry in found["failures"]}
    assert errors[failed.id] == "out of milk"
    assert errors[dead.id].startswith("killed: no sign of life")
    assert main(["status", str(study)]) == 0
    assert "out of milk" in capsys.readouterr().out


def test_all_who_say_whether_a_job_lives_agree(study, capsys):
    """This process works on one run, silently; another one's was stopped."""
    silent, stopped, *_ = load_grid(study).runs.values()
    layout = Layout("results")
    write_state(layout.run(silent), state="running", step="distil", **this_process())
    write_state(layout.run(stopped), state="stopped", step="distil", error="stopped by ctrl-C")
    old = json.loads((layout.run(silent) / "state.json").read_text())
    write_json(layout.run(silent) / "state.json", old | {"time": old["time"] - 9 * SILENCE})
    found = json_of(capsys, "status", study)
    assert [found[key] for key in ("running", "stopped", "failed", "missing")] == [1, 1, 0, 2]
    assert not found["failures"]
    recovered = json_of(capsys, "recover", study)
    assert f"{silent.id}: process {os.getpid()}" in recovered[0]
    assert recovered[1] == f"{stopped.id}: stopped by ctrl-C"
    assert main(["collect", str(study)]) == 0
    assert "1 running, 1 stopped, 2 missing" in capsys.readouterr().out


def test_a_failed_teacher_fails_its_runs(study, capsys):
    run = next(iter(load_grid(study).runs.values()))
    write_state(Layout("results").teacher(run.teacher), state="failed", step="teacher", error="no")
    found = json_of(capsys, "status", study)
    assert (found["failed"], found["missing"]) == (4, 0)
    assert found["failures"][0]["error"] == f"teacher {run.teacher.id}: no"


def test_a_failed_step_fails_the_runs_that_wait_for_it(tmp_path, capsys, monkeypatch):
    """Of every step before a run: where it failed, only the runs that read its output."""
    monkeypatch.chdir(tmp_path)
    axes = {"knowledge": ["none", "logits", "logits+hidden"]}
    study, layout = write_study(tmp_path, tiny_study(axes=axes)), Layout("results")
    plain, logits, _ = load_grid(study).runs.values()
    for place, step, failed in (
        (layout.storing(logits), f"outputs of {logits.teacher.id}", 1),
        (layout.teacher(logits.teacher), f"teacher {logits.teacher.id}", 2),
        (layout.tokenising(plain.data_id, plain.task, plain.tokens_id), plain.tokens_id, 3),
        (layout.preparing(plain.data_id, plain.task), "data toy-single", 3),
    ):
        write_state(place, state="failed", step="any", error=f"no {step}")
        found = json_of(capsys, "status", study)
        assert (found["failed"], found["missing"]) == (failed, 3 - failed)
        # The first step that failed is the cause of all that follow.
        error = next(e["error"] for e in found["failures"] if e["run"] == logits.id)
        assert error.startswith(step) and f": no {step}" in error
        assert main(["collect", str(study)]) == 0
        assert f"{failed} failed" in capsys.readouterr().out
        recovered = json_of(capsys, "recover", study)
        assert sum(f"no {step}" in line for line in recovered) == 1


def test_what_runs_wait_for_is_shown_with_step_and_speed(tmp_path, capsys, monkeypatch):
    """A teacher at step 40 of 100, its outputs before their first step, and one student."""
    monkeypatch.chdir(tmp_path)
    study, layout = write_study(tmp_path, tiny_study()), Layout("results")
    student, other, *_ = load_grid(study).runs.values()
    here = {"state": "running", **this_process()}
    count = {"done": 40, "total": 100, "per_second": 2.5}
    write_state(
        layout.teacher(student.teacher), step="teacher", phase="fine-tuning", **count, **here
    )
    write_state(layout.storing(student), step="outputs", phase="starting", done=0, total=0, **here)
    write_state(layout.run(student), step="distil", phase="distilling", **count, **here)
    write_json(layout.run(other) / "metrics.json", {"run": other.id, "score": 1})
    rows = {row["name"]: row for row in json_of(capsys, "status", study)["at_work"]}
    teacher, stored = f"teacher {student.teacher.id}", f"outputs of {student.teacher.id}"
    assert list(rows) == [teacher, stored, student.id]
    assert rows[teacher].items() >= {"phase": "fine-tuning", **count, "waiting": 2}.items()
    assert rows[student.id]["waiting"] == 0
    assert main(["status", str(study)]) == 0
    text = capsys.readouterr().out
    assert f"{teacher}: fine-tuning, step 40 of 100, 2.5 steps/s; 2 runs wait for it" in text
    assert f"{stored}: starting\n" in text, "the other two runs read other outputs"
    assert f"{student.id}: distilling, step 40 of 100, 2.5 steps/s\n" in f"{text}\n"


def test_nothing_is_at_work_where_nothing_runs(study, capsys):
    run = next(iter(load_grid(study).runs.values()))
    write_state(Layout("results").teacher(run.teacher), state="failed", step="teacher", error="no")
    assert json_of(capsys, "status", study)["at_work"] == []
    assert main(["status", str(study)]) == 0
    assert "at work" not in capsys.readouterr().out
