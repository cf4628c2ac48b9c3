"""What a study would run, what it costs, and what it will not be able to say."""

import pytest
from studies import json_of, study_dict, tiny_study, write_study

from kd.cli.main import main
from kd.monitor import estimate
from kd.study.grid import load_grid


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path, tiny_study())


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
    (student,) = json_of(capsys, "plan", path)["warnings"]
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


def test_plan_warns_of_what_no_run_uses(tmp_path, capsys):
    (tmp_path / "more.txt").write_text("some text\n")
    study = tiny_study(axes={"seed": [1, 2, 3]}, transfer={"more": {"files": "more.txt"}})
    study["teachers"]["wide"] = {"model": "scratch", "shape": "2L-64-2h-128", "epochs": 1,
                                 "learning_rate": 1e-3}  # fmt: skip
    study["base"]["teacher"] = "deep"
    warnings = json_of(capsys, "plan", write_study(tmp_path, study))["warnings"]
    assert warnings == ["transfer.more: no run uses it", "teachers.wide: no run uses it"]


def test_only_a_teacher_that_runs_in_each_step_has_operations(tmp_path):
    axes = {"knowledge": ["none", "logits+hidden"], "errata": ["none", "padding"]}
    runs = load_grid(write_study(tmp_path, tiny_study(axes=axes))).runs.values()
    flops = {(r.labels["knowledge"], r.labels["errata"]): estimate.run_flops(r) for r in runs}
    stored = flops["logits+hidden", "none"]
    assert flops["none", "-"] == stored < flops["logits+hidden", "padding"]


def test_a_fraction_of_the_data_takes_its_share_of_the_operations(tmp_path):
    """Of the student's training; of the teacher's where it has the same fraction."""
    axes = {"train_fraction": [1, 0.25], "teacher_data": ["all", "same"]}
    grid = load_grid(write_study(tmp_path, tiny_study(axes=axes)))
    runs = {(r.values["train_fraction"], r.labels["teacher_data"]): r for r in grid.runs.values()}
    whole, rest = runs[1, "-"], (runs[0.25, "all"], runs[0.25, "same"])
    for run in rest:
        assert estimate.run_flops(run) == pytest.approx(estimate.run_flops(whole) / 4)
    of_teachers = [estimate.teacher_flops(run) for run in (whole, *rest)]
    assert of_teachers[0] == of_teachers[1] == pytest.approx(4 * of_teachers[2])
