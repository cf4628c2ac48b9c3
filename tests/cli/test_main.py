"""The command line: help that teaches, plan, runs, status."""

import json
import os
import re
import subprocess
import sys

import pytest
from studies import study_dict, tiny_study, write_study

from kd.cli.main import main, make_parser
from kd.monitor import plan as planning
from kd.runtime.files import write_json
from kd.runtime.state import SILENCE, this_process, write_state
from kd.study.grid import load_grid
from kd.study.paths import Layout


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path, tiny_study())


def json_of(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_help_names_every_step(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in commands():
        assert re.search(rf"^  {name} +[A-Z]", text, re.MULTILINE), name


def commands():
    (found,) = (a.choices for a in make_parser()._actions if a.dest == "command")
    return list(found)


def test_plan_has_the_documented_keys(study, capsys):
    found = json_of(capsys, "plan", study)
    keys = {"cells", "pruned", "runs", "done", "jobs", "device_hours", "disk_bytes"}
    assert keys <= set(found)
    assert (found["cells"], found["runs"], found["done"], found["pruned"]) == (4, 4, 0, [])
    assert found["device_hours"] > 0
    assert found["disk_bytes"] > 0
    assert not (study.parent / "results").exists()


def test_plan_names_pruned_cells(tmp_path, capsys):
    study = study_dict(
        base={"student": "4L-256", "task": "rte"},
        axes={"knowledge": ["logits", "attention"], "seed": [1, 2]},
    )
    path = write_study(tmp_path, study)
    found = json_of(capsys, "plan", path)
    assert [entry["cell"]["knowledge"] for entry in found["pruned"]] == ["attention"] * 2
    assert main(["plan", str(path)]) == 0
    assert "2 x attention:kl compares head with head" in capsys.readouterr().out


def test_plan_warns_of_random_weights_with_the_recipe_of_pretrained_ones(tmp_path, capsys):
    bare = {"teachers": {"deep": {"model": "scratch", "shape": "3L-32-2h-64"}}}
    base = {"student": "2L-16-2h-32", "task": "toy-single"}
    axes = {"seed": [1, 2, 3]}
    path = write_study(tmp_path, tiny_study(**bare, base=base, axes=axes))
    teacher, student = json_of(capsys, "plan", path)["warnings"]
    assert teacher.startswith("teacher deep starts from random weights with the recipe of pretr")
    assert student.startswith("3 runs start from random weights with the learning rate of pretr")
    own = write_study(tmp_path, tiny_study(axes=axes))  # with recipes of its own
    assert json_of(capsys, "plan", own)["warnings"] == []


def test_plan_warns_of_what_a_study_will_not_be_able_to_say(tmp_path, capsys):
    study = study_dict(
        base={"student": "4L-256", "task": "rte", "learning_rate": "1e-4"},
        axes={"knowledge": ["logits", "attention"], "seed": [1, 2]},
    )
    path = write_study(tmp_path, study)
    two, never = json_of(capsys, "plan", path)["warnings"]
    assert two == "2 seeds: below three no value will be recommended"
    assert never.startswith("no cell with knowledge attention can run: attention:kl compares")
    assert main(["plan", str(path)]) == 0
    assert "  warning  2 seeds: below three no value" in capsys.readouterr().out
    one = write_study(tmp_path, study | {"axes": {"knowledge": ["logits", "none"]}})
    assert json_of(capsys, "plan", one)["warnings"] == ["1 seed: below three nothing can be tested"]
    three = write_study(tmp_path, study | {"axes": {"seed": [1, 2, 3]}})
    assert json_of(capsys, "plan", three)["warnings"] == []


def test_runs_print_ids_that_the_grid_has(study, capsys):
    runs = json_of(capsys, "runs", study)
    assert {run["id"] for run in runs} == set(load_grid(study).runs)
    assert main(["runs", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[1:] == ["mapping=first", "seed=1"]


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


def test_the_estimate_follows_what_was_measured(study):
    grid = load_grid(study)
    layout = Layout("results")
    before = planning.plan(grid, layout)["device_hours"]
    slow = next(iter(grid.runs.values()))
    write_json(layout.run(slow) / "training.json", {"train_seconds": 36000})
    assert planning.plan(grid, layout)["device_hours"] > before + 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stauts", "x"], "error: no command 'stauts' (did you mean status?); `kd --help` lists"),
        (["zz"], "error: no command 'zz'; `kd --help` lists all commands"),
        (["status", "studi"], "error: studi: no such study file (did you mean study.yaml?)"),
    ],
)
def test_a_mistyped_word_is_one_sentence_with_the_nearest(study, capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_study_is_known_by_its_name(study, capsys):
    assert json_of(capsys, "status", "test")["runs"] == 4
    assert json_of(capsys, "free", "test")["files"] == {}


def test_no_word_is_a_question_for_help(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0 and "kd plan STUDY" in capsys.readouterr().out


def test_unknown_run_is_one_sentence(study, capsys):
    assert main(["distil", str(study), "--run", "nothing-0123456789"]) == 2
    assert "no run 'nothing-0123456789'" in capsys.readouterr().err


def test_steps_are_quiet_about_a_closed_pipe(study):
    command = f"{sys.executable} -m kd runs {study} --json | head -1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert run.stderr == ""


@pytest.mark.parametrize("command", [["status"], ["data", "--task", "toy-single"]])
def test_results_that_are_a_file(tmp_path, capsys, command):
    file = tmp_path / "file"
    file.write_text("")
    study = write_study(tmp_path, tiny_study())
    name, *more = command
    assert main([name, str(study), *more, "--results", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}") and error.count("\n") == 1
