"""Presets: files of published methods, and how their keys become a run."""

import pytest
import yaml
from studies import study_dict, write_study

from kd.axes.fields import RUN_DEFAULTS
from kd.axes.presets import (
    FOLDER,
    TASK_ONLY,
    check_preset,
    preset_names,
    read_preset,
    stage_presets,
)
from kd.runtime.errors import UserError
from kd.study.cells import preset_run
from kd.study.grid import load_grid

RTE = {"student": "6L-768", "task": "rte"}


@pytest.fixture
def grid(tmp_path):
    return lambda **changes: load_grid(write_study(tmp_path, study_dict(**changes)))


def only(found):
    (run,) = found.runs.values()
    return run


def written(name):
    """The keys of a preset as they stand in its file."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["run"]


# --- the files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["rte", "stsb"])
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_run_or_pruned_with_a_reason(grid, name, task):
    base = {"student": "6L-768", "task": task}
    found = grid(base=base, axes={"preset": ["none", name]})
    runs = {run.labels["preset"]: run for run in found.runs.values()}
    if name not in runs:
        ((cell, reason),) = found.pruned
        assert cell["preset"] == name and len(reason) > 20
        if written(name)["knowledge"] == "none":
            assert f"it needs init stage:NAME; {name}{TASK_ONLY} distils on the task" in reason
        else:
            assert name == "minilmv2-large-task-only", f"{name} runs on no teacher of 12 layers"
    else:
        assert runs[name].terms, "a method that teaches nothing"
        assert runs[name].id != runs["none"].id


def test_the_large_preset_is_for_a_large_teacher(grid):
    found = grid(
        teachers={"large": {"model": "google-bert/bert-large-uncased"}},
        base={"student": "12L-384", "task": "rte", "preset": "minilmv2-large-task-only"},
        axes={"seed": [1]},
    )
    run = only(found)
    assert {term.pairs for term in run.terms} == {((21, 12),)}
    assert run.values["relation_heads"] == 64


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_says_what_it_is(name):
    found = read_preset(name)
    assert len(found["method"]) > 5
    assert "20" in found["source"], "a source has a year, or an arXiv number"
    assert found["deviations"] and all(len(line) > 20 for line in found["deviations"])


def test_a_method_that_is_all_in_its_stage_has_a_form_for_the_task_alone(grid):
    for name in stage_presets():
        whole, alone = read_preset(name), read_preset(f"{name}{TASK_ONLY}")
        assert "stage" not in alone and alone["source"][:15] == whole["source"][:15]
    stages = {"s": {"preset": "distilbert", "corpus": {"hub": "a/b", "revision": "0" * 40}}}
    stages["s"] |= {"teacher": "bert-base", "steps": 5}
    axes = {"init": ["stage:s", "random"], "seed": [1]}
    run = only(grid(stages=stages, base=RTE | {"preset": "distilbert"}, axes=axes))
    assert not run.terms and run.stage and run.labels["preset"] == "distilbert"
    # A key that wins over the preset says itself what is learned.
    taught = grid(base=RTE | {"preset": "distilbert", "knowledge": "logits"}, axes={"seed": [1]})
    assert only(taught).objective == "logits:kl"


# --- as keys of a run -----------------------------------------------------------------------------


def test_a_preset_stands_for_its_keys(grid):
    names = ["none", "tinybert", "minilmv2-task-only"]
    found = grid(base=RTE, axes={"preset": names})
    spelled = [only(grid(base=RTE | written(n), axes={"seed": [1]})).id for n in names[1:]]
    plain = only(grid(base=RTE, axes={"seed": [1]})).id
    assert set(found.runs) == {plain, *spelled} and len(found.runs) == 3
    assert sorted(run.labels["preset"] for run in found.runs.values()) == sorted(names)


def test_a_preset_and_its_keys_are_one_run_with_both_names(grid):
    run = only(
        grid(
            base=RTE | written("minilm-task-only"),
            axes={"seed": [1]},
            include=[{"preset": "minilm-task-only"}],
        )
    )
    assert run.labels["preset"] == "none = minilm-task-only"
    assert "preset" not in run.spec


def test_the_studys_own_keys_win(grid):
    base = RTE | {"preset": "pkd-skip", "epochs": 2}
    run = only(grid(base=base, axes={"temperature": [20]}))
    assert (run.values["epochs"], run.values["temperature"]) == (2, 20)
    assert run.values["hard_weight"] == 0.5, "the preset's other keys stay"


def test_a_preset_of_a_point_replaces_that_of_the_base(grid):
    base = RTE | {"preset": "tinybert", "epochs": 2}
    found = grid(base=base, axes={"seed": [1]}, include=[{"preset": "ckd"}, {"preset": "none"}])
    runs = {run.labels["preset"]: run for run in found.runs.values()}
    assert {name: run.values["epochs"] for name, run in runs.items()} == {
        "tinybert": 2,  # the base's own key, over its preset
        "ckd": written("ckd")["epochs"],  # laid over the base with all its keys
        "none": 2,
    }
    assert runs["ckd"].values["learning_rate"] == RUN_DEFAULTS["learning_rate"], (
        "a key of the preset that was replaced is left"
    )
    assert runs["none"].objective == "logits:kl"


def test_an_included_point_with_a_preset_keeps_its_own_keys(grid):
    found = grid(
        base=RTE, axes={"seed": [1]}, include=[{"preset": "rail-kd", "mapping": "uniform"}]
    )
    runs = {run.labels["preset"]: run for run in found.runs.values()}
    assert runs["rail-kd"].labels["mapping"] == "uniform"
    assert not any(term.moving for term in runs["rail-kd"].terms)


def test_presets_can_be_excluded(grid):
    names = ["minilm-task-only", "minilmv2-task-only"]
    axes = {"preset": ["none", *names], "seed": [1, 2]}
    found = grid(base=RTE, axes=axes, exclude=[{"preset": names, "seed": 2}])
    assert len(found.runs) == 4 and len(found.pruned) == 2
    # A preset's keys are keys of the cell: they can be named as well.
    found = grid(base=RTE, axes=axes, exclude=[{"relation_heads": 48}])
    assert {cell["preset"] for cell, _ in found.pruned} == {"minilmv2-task-only"}


# --- mistakes -------------------------------------------------------------------------------------


def test_an_unknown_preset_names_the_nearest(grid):
    with pytest.raises(UserError, match=r"base\.preset.*found 'tinybrt'.*did you mean tinybert"):
        grid(base=RTE | {"preset": "tinybrt"}, axes={"seed": [1]})
    assert check_preset("none") == "none"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run: [", "cannot be read"),
        ("- 1", "a preset has the keys method, source, deviations, run"),
        ("{method: a, source: b, run: {}}", "a preset has the keys"),
        ("{method: a, source: b, deviations: [], run: 3}", "run and stage have keys themselves"),
        (
            "{method: a, source: b, deviations: [], run: {task: rte}}",
            "broken: run: key: found 'task'",
        ),
        (
            "{method: a, source: b, deviations: [], run: {temperature: -1}}",
            "run.temperature: found",
        ),
    ],
)
def test_a_broken_file_is_one_sentence(grid, tmp_path, monkeypatch, content, message):
    read_preset.cache_clear()
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "broken.yaml").write_text(content)
    monkeypatch.setattr("kd.axes.presets.FOLDER", folder)
    preset_run.cache_clear()
    try:
        with pytest.raises(UserError, match=message):
            grid(base=RTE | {"preset": "broken"}, axes={"seed": [1]})
    finally:
        read_preset.cache_clear()
        preset_run.cache_clear()
