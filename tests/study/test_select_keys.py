"""The key `select`: what it makes of a study, and its errors."""

import pytest
from studies import study_dict, tiny_study, write_study

from kd.monitor.plan import plan
from kd.monitor.plan_text import plan_text
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.paths import Layout

AXES = {"knowledge": ["none", "logits"], "learning_rate": [1e-3, 1e-2, 1e-1], "seed": [1, 2]}
BASE = {"student": "2L-16-2h-32", "task": "toy-single", "epochs": 1}
TEACHERS = {"learning_rate": [1e-3, 1e-2], "epochs": [1, 2]}


@pytest.fixture
def grid(tmp_path):
    def load(**changes):
        changes = {"axes": AXES, "base": BASE, "select": {"axes": ["learning_rate"]}, **changes}
        return load_grid(write_study(tmp_path, tiny_study(**changes)))

    return load


def untuned(**changes):
    """A teacher whose recipe is left to `select`."""
    return {"deep": {"model": "scratch", "shape": "3L-32-2h-64", **changes}}


def test_every_run_and_its_teacher_leave_the_same_slice_out(grid):
    found = grid(select={"axes": ["learning_rate"], "share": 0.2, "seed": 5})
    held = {"held_out": 0.2, "held_out_seed": 5}
    assert len(found.runs) == 12
    for run in found.runs.values():
        assert held.items() <= run.spec.items() and held.items() <= run.values.items()
        assert held.items() <= run.teacher.identity.items()
        assert run.labels["held_out"] == "0.2"
    assert len(found.teachers) == 1


def test_the_share_is_a_tenth_unless_it_is_given(grid):
    assert {run.values["held_out"] for run in grid().runs.values()} == {0.1}


def test_without_the_key_nothing_is_held_out_and_ids_stay(grid):
    runs = grid(select=None).runs.values()
    assert all("held_out" not in {**run.spec, **run.teacher.identity} for run in runs)
    assert {run.labels["held_out_seed"] for run in runs} == {"-"}


def test_a_slice_is_part_of_the_identity(grid):
    ids = [set(grid(select=s).runs) for s in (None, {"axes": ["learning_rate"]})]
    ids.append(set(grid(select={"axes": ["learning_rate"], "seed": 1}).runs))
    assert len(set.union(*ids)) == 36


def test_one_at_a_time_gives_each_cell_every_value(grid):
    """So does `include`: a control has the same budget."""
    axes = {**AXES, "temperature": [1, 4]}
    base = {**BASE, "knowledge": "logits"}
    include = [{"knowledge": "logits+hidden"}]
    found = grid(axes=axes, base=base, design="one-at-a-time", include=include)
    cells = {}
    for run in found.runs.values():
        key = run.labels["knowledge"], run.labels["temperature"], run.labels["seed"]
        cells.setdefault(key, set()).add(run.labels["learning_rate"])
    assert len(cells) == 10 and all(len(rates) == 3 for rates in cells.values())


def test_a_tuned_teacher_has_a_candidate_for_each_recipe(grid):
    found = grid(select={"teachers": TEACHERS}, teachers=untuned())
    (teacher,) = {run.teacher for run in found.runs.values() if run.needs_teacher}
    recipes = [(c.recipe["learning_rate"], c.recipe["epochs"]) for c in teacher.candidates]
    assert recipes == [(1e-3, 1), (1e-3, 2), (1e-2, 1), (1e-2, 2)]
    assert list(found.teachers) == [*(c.id for c in teacher.candidates), teacher.id]
    other = grid(select={"teachers": {"epochs": [1, 2, 3]}}, teachers=untuned(learning_rate=1e-3))
    assert teacher.id not in other.teachers
    assert not set(found.runs) & {r.id for r in other.runs.values() if r.needs_teacher}


def test_the_plan_says_what_tuning_multiplies(grid, tmp_path):
    select = {"axes": ["learning_rate"], "teachers": TEACHERS, "share": 0.2}
    found = plan(grid(select=select, teachers=untuned()), Layout(tmp_path / "results"))
    assert found["runs"] == 12 and found["jobs"]["teacher"] == 5
    assert found["tuning"]["values"] == 3 and found["tuning"]["runs_untuned"] == 4
    text = plan_text(found)
    assert "3   values for each cell (learning_rate 3): without tuning there would be 4" in text
    assert "4   recipes" in text.replace("recipes        4", "4   recipes")
    assert "20   % of the training examples" in text
    plain = plan(grid(select=None), Layout(tmp_path / "results"))
    assert plain["tuning"] is None and "tuning" not in plan_text(plain)
    assert found["device_hours"] > 0


def test_the_plan_says_where_budgets_differ(grid, tmp_path):
    found = grid(exclude=[{"knowledge": "none", "learning_rate": 0.1}])
    warnings = " ".join(plan(found, Layout(tmp_path))["warnings"])
    assert "fewer than 3 values of learning_rate, so the budgets of the methods differ" in warnings


@pytest.mark.parametrize(
    "select, said",
    [
        ({"axes": ["learning_rat"]}, r"axes\[0\].*did you mean.*learning_rate"),
        ({"axes": ["epochs"]}, r"axes\[0\]: epochs is no axis of this study.*learning_rate"),
        ({"axes": ["seed"]}, r"axes\[0\]: found seed, allowed: any axis but task, seed"),
        ({"axes": ["task"]}, r"axes\[0\]: found task"),
        ({"axes": ["learning_rate"] * 2}, r"axes\[1\]: learning_rate is there twice"),
        ({"axis": ["learning_rate"]}, r"select: key.*axis.*axes"),
        ({"share": 0.1}, "neither axes nor teachers"),
        ({"axes": ["learning_rate"], "share": 1}, r"share: found 1, allowed: a number above 0"),
        ({"axes": ["learning_rate"], "share": 0.005}, r"rarest label.*a share of 0.005 of 48"),
        ({"teachers": {"epochs": [1, 2]}}, r"teachers.deep.epochs: it would change nothing"),
        ({"teachers": {"max_length": [64, 128]}}, r"select.teachers: key.*max_length"),
        ({"teachers": {"warmup": [0.1]}}, r"warmup: found .*, allowed: a list of two values"),
        ({"teachers": {"warmup": [0.1, 7]}}, r"warmup\[1\]: found 7, allowed: a number"),
        ([], "select: found"),
    ],
)
def test_a_wrong_key_is_one_sentence(grid, select, said):
    with pytest.raises(UserError, match=said):
        grid(select=select)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"base": {**BASE, "held_out": 0.3}}, r"base.held_out: select.share sets it"),
        ({"axes": {**AXES, "learning_rate": [0.1]}}, "axes.learning_rate has one value"),
        ({"figures": ["effect-learning_rate"]}, "the study selects the value of learning_rate"),
    ],
)
def test_what_contradicts_the_key_is_an_error(grid, changes, said):
    with pytest.raises(UserError, match=said):
        grid(**changes)


def test_a_fine_tuned_teacher_is_taken_as_it_is_with_a_warning(tmp_path):
    """It may have seen the slice, which is the same for every candidate of a cell."""
    axes = {"learning_rate": [1e-5, 1e-4], "seed": [1, 2]}
    teachers = {"hub": {"model": "google-bert/bert-base-uncased", "finetuned": True}}
    study = {"teachers": teachers, "axes": axes, "select": {"axes": ["learning_rate"]}}
    found = load_grid(write_study(tmp_path, study_dict(**study)))
    (teacher,) = found.teachers.values()
    assert "held_out" not in teacher.identity and teacher.recipe["held_out"] == 0
    assert any(
        "may have seen the held-out slice" in w for w in plan(found, Layout(tmp_path))["warnings"]
    )
    tuned = study_dict(**{**study, "select": {"teachers": {"epochs": [1, 2]}}})
    with pytest.raises(UserError, match="every teacher is fine-tuned already"):
        load_grid(write_study(tmp_path, tuned))


def test_a_label_that_is_too_rare_is_an_error_of_the_plan(tmp_path):
    rows = ["text,label", *(f"word {i},{'a' if i else 'b'}" for i in range(30))]
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    task = {"train": "train.csv", "dev": "dev.csv", "text": "text", "label": "label"}
    study = study_dict(
        tasks={"mine": task},
        base={"student": "6L-768", "task": "mine"},
        axes={"learning_rate": [1e-5, 1e-4], "seed": [1, 2]},
        select={"axes": ["learning_rate"], "share": 0.2},
    )
    with pytest.raises(UserError, match=r"rarest label of task mine, a share of 0.2 of 1 example"):
        load_grid(write_study(tmp_path, study))
