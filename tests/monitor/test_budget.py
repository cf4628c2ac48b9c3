"""Smaller studies within a budget of device hours: what they leave out, and what is written."""

import pytest
import yaml
from studies import json_of, tiny_study, write_study

from kd.cli.budget import _fewest_seeds, _text
from kd.cli.main import main
from kd.monitor.budget import proposals
from kd.monitor.plan import plan
from kd.study.grid import load_grid
from kd.study.paths import Layout

AXES = {
    "mapping": ["uniform", "first", "last"],
    "knowledge": ["logits+hidden", "logits+cls"],
    "task": ["toy-single", "toy-pair"],
    "seed": [1, 2, 3, 4, 5],
}


@pytest.fixture
def path(tmp_path):
    base = {"student": "2L-16-2h-32", "knowledge": "logits+hidden", "mapping": "uniform",
            "epochs": 200, "learning_rate": 1e-3}  # fmt: skip
    exclude = [{"task": "toy-pair", "mapping": "last"}]
    return write_study(tmp_path, tiny_study(base=base, axes=AXES, exclude=exclude))


def single(path, tmp_path):
    """One question on one task: the power of more takes seconds."""
    axes = {key: AXES[key] for key in ("mapping", "seed")}
    study = yaml.safe_load(path.read_text()) | {"axes": axes}
    study["base"] |= {"task": "toy-single", "epochs": 1000}
    study.pop("exclude")
    return write_study(tmp_path, study, "single.yaml")


def hours_of(grid, tmp_path):
    return plan(grid, Layout(tmp_path / "results"), "cpu")["time"]["hours"]


def found_in(path, tmp_path, share, seeds=3):
    grid, layout = load_grid(path), Layout(tmp_path / "results")
    whole = hours_of(grid, tmp_path)
    return grid, share * whole, proposals(grid, layout, share * whole, seeds, "cpu")


def test_a_study_that_fits_is_left_as_it_is(path, tmp_path):
    grid, _, (one,) = found_in(path, tmp_path, 1.01)
    assert one.cuts == [] and one.grid.runs.keys() == grid.runs.keys()


def test_proposals_fit_and_keep_runs_seeds_and_two_values(path, tmp_path):
    grid, hours, found = found_in(path, tmp_path, 0.75)
    by_name = {one.name: one for one in found}
    assert by_name.keys() >= {"fewer seeds", "fewer tasks"}
    assert any(name.startswith("one axis at a time") for name in by_name)
    for one in found:
        assert one.plan["time"]["hours"] <= hours
        assert one.grid.runs.keys() < grid.runs.keys(), "a run got another id"
        axes = one.content["axes"]
        assert len(axes["seed"]) >= 3 and len(axes["mapping"]) >= 2 and one.cuts
    assert by_name["fewer seeds"].cuts == ["2 of 5 seeds"]
    assert "exclude" in by_name["fewer seeds"].content
    tasks = by_name["fewer tasks"]
    assert len(tasks.content["axes"]["task"]) == 1
    assert tasks.content["axes"]["seed"] == AXES["seed"], "there was room for all seeds"
    assert [len(one.cuts) for one in found] == sorted(len(one.cuts) for one in found)


def test_a_fraction_says_what_it_mixes_and_never_mixes_two_axes(tmp_path):
    axes = {
        "mapping": ["uniform", "first", "last"],
        "knowledge": ["logits+hidden", "logits+cls"],
        "temperature": [1, 4],
        "seed": [1, 2, 3],
    }
    study = tiny_study(axes=axes)
    grid, hours, found = found_in(write_study(tmp_path, study), tmp_path, 0.72)
    (part,) = [one for one in found if one.name == "a fraction of the cells"]
    assert part.content["design"] == {"fraction": "1/2"}
    (cut,) = part.cuts
    assert cut.startswith("4 of 8 cells, resolution III: ")
    assert part.grid.runs.keys() < grid.runs.keys() and part.plan["time"]["hours"] <= hours
    *_, found = found_in(write_study(tmp_path, study), tmp_path, 0.1)
    for one in found:
        assert not one.grid.chosen or one.grid.mixed().resolution > 2


def test_several_cuts_where_one_is_not_enough_and_none_where_nothing_is(path, tmp_path):
    _, _, found = found_in(path, tmp_path, 0.3)
    assert found and all(len(one.cuts) > 1 and " and " in one.name for one in found)
    fewer = [axes["mapping"] for axes in (one.content["axes"] for one in found)]
    assert ["uniform", "first"] in fewer, "that of the base stays"
    assert found_in(path, tmp_path, 0.001)[2] == []


def test_a_question_that_is_lost_is_named(tmp_path):
    """Of four cells, two have a mapping. A part with these two alone says nothing of knowledge."""
    axes = {"knowledge": ["none", "logits", "logits+hidden"], "mapping": ["first", "last"]}
    path = write_study(tmp_path, tiny_study(axes=axes | {"seed": [1, 2, 3]}))
    *_, (part,) = found_in(path, tmp_path, 0.8)
    assert len({run.labels["knowledge"] for run in part.grid.runs.values()}) == 1
    assert part.cuts[-1] == "the question of knowledge: the runs that are left do not vary it"


def test_tuned_values_go_from_both_ends(tmp_path):
    rates = [1e-4, 2e-4, 4e-4, 8e-4]
    axes = {"mapping": ["first", "last"], "seed": [1, 2, 3], "learning_rate": rates}
    study = tiny_study(axes=axes, select={"axes": ["learning_rate"], "share": 0.2})
    study["base"].pop("learning_rate")
    *_, found = found_in(write_study(tmp_path, study), tmp_path, 0.9)
    (one,) = [one for one in found if one.name == "fewer tuned values"]
    assert one.content["axes"]["learning_rate"] == rates[:3]


def test_seeds_are_those_that_the_power_needs():
    def row(needed, tasks=1):
        return {"axis": "mapping", "a": "x", "b": "y", "tasks": tasks, "needed": needed}

    assert _fewest_seeds({"contrasts": [row(4)]}, 8) == 4
    assert _fewest_seeds({"contrasts": [row(20)]}, 8) == 8, "the study has no more"
    assert _fewest_seeds({"contrasts": [row(None)]}, 8) == 8, "no number is enough"
    assert _fewest_seeds({"contrasts": [row(2)]}, 8) == _fewest_seeds({"contrasts": []}, 8) == 3
    assert _fewest_seeds({"contrasts": [row(7), row(4, tasks=2)]}, 8) == 4, "the mean of the tasks"


def test_a_proposal_is_printed_and_written(path, tmp_path, capsys):
    path = single(path, tmp_path)
    hours = str(0.7 * hours_of(load_grid(path), tmp_path))
    call = ["plan", path, "--device", "cpu", "--budget-hours", hours, "--difference", "60"]
    call += ["--results", tmp_path / "results"]
    out = tmp_path / "small.yaml"
    found = json_of(capsys, *call, "--write", out, "--choose", 1)
    assert "leaves out: " in _text(found, 60)
    first = found["proposals"][0]
    assert {"name", "runs", "device_hours", "cuts", "questions", "content"} <= first.keys()
    written = load_grid(out)
    assert len(written.runs) == first["runs"] and written.runs.keys() < load_grid(path).runs.keys()
    assert yaml.safe_load(out.read_text())["study"] == f"test-{first['runs']}"
    for more in (["--write", str(out)], ["--write", "/tmp/other/x.yaml"], ["--choose", "1"]):
        assert main([*map(str, call), *more]) != 0
    assert main(["plan", str(path), "--difference", "1"]) != 0
    told = capsys.readouterr().err
    for text in ("is there already", "a new .yaml file", "with --write", "with --budget-hours"):
        assert text in told


def test_the_smallest_difference_of_each_question_is_that_of_the_power(path, tmp_path, capsys):
    path = single(path, tmp_path)
    hours = str(2 * hours_of(load_grid(path), tmp_path))
    found = json_of(capsys, "plan", path, "--device", "cpu", "--budget-hours", hours)
    (one,) = found["proposals"]
    power = json_of(capsys, "power", path)["contrasts"]
    for question in one["questions"]:
        rows = [row for row in power if row["axis"] == question["axis"]]
        assert question["smallest"] == max(row["smallest"] for row in rows)
        assert question["seeds"] == 5
    assert [question["axis"] for question in one["questions"]] == ["mapping"]
