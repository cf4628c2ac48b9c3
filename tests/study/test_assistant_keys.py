"""Teacher assistants in a study file: the run that each is the student of, and their mistakes."""

import re
from pathlib import Path

import jsonschema
import pytest
from studies import study_dict, write_study

from kd.axes.fields import RUN_FIELDS
from kd.monitor.plan import plan
from kd.monitor.plan_warnings import warnings_of
from kd.runtime.errors import UserError
from kd.study.assistant_keys import ASSISTANT_FIELDS, SHARED
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.schema import study_schema

ROOT = Path(__file__).parents[2]
BERT = {"bert": {"model": "google-bert/bert-base-uncased"}}
CHAIN = {
    **BERT,
    "middle": {"run": {"student": "6L-384", "teacher": "bert"}},
    "lower": {"run": {"student": "4L-312", "teacher": "middle", "seed": 3}},
}
BASE = {"student": "3L-256", "knowledge": "logits+hidden", "task": "rte", "temperature": 4}


def study(teachers=CHAIN, **changes):
    axes = {"teacher": [*teachers], "seed": [1, 2]}
    return study_dict(**{"teachers": teachers, "base": BASE, "axes": axes, **changes})


@pytest.fixture
def grid(tmp_path):
    def of(*arguments, **changes):
        return load_grid(write_study(tmp_path, study(*arguments, **changes)))

    return of


def by_name(grid):
    """{name: the runs of the cells with that teacher}."""
    names = {run.labels["teacher"] for run in grid.runs.values()}
    return {n: [r for r in grid.runs.values() if r.labels["teacher"] == n] for n in names}


def test_a_chain_of_two_is_trained_in_its_order(grid):
    made = grid()
    (first, *_), (last, *_) = (by_name(made)[name] for name in ("middle", "lower"))
    shapes = ["6L-384-12h-1536", "4L-312-12h-1248"]
    assert [run.spec["student"] for run in last.assistants] == shapes
    assert first.assistants == last.assistants[:1], "the first assistant is one, for both"
    assert [*made.trained] == [*(run.id for run in last.assistants), *made.runs]
    assert [t.name for t in made.teachers.values()] == ["bert", "middle", "lower"]
    assert len(made.runs) == 6, "assistants are no cells"


def test_an_assistant_has_the_base_its_own_keys_and_one_seed(grid):
    (run, other) = by_name(grid())["lower"]
    (middle, lower) = run.assistants
    assert (middle.values["seed"], lower.values["seed"]) == (1, 3)
    assert other.teacher.id == run.teacher.id, "one teacher for all seeds"
    assert middle.values["temperature"] == 4 and middle.task == "rte"
    given = by_name(grid(base={**BASE, "seed": 7}, axes={"teacher": ["middle"]}))["middle"]
    assert given[0].assistants[0].values["seed"] == 7


def test_an_assistant_is_the_run_that_a_grid_has(grid):
    (assistant,) = by_name(grid())["middle"][0].assistants
    cells = grid(axes={"student": ["6L-384", "3L-256"], "teacher": ["bert", "middle"]})
    assert cells.runs[assistant.id].spec == assistant.spec
    assert list(cells.trained).count(assistant.id) == 1
    assert next(iter(cells.trained)) == assistant.id, "it comes before those that it teaches"
    assert cells.trained[assistant.id] is cells.runs[assistant.id], "with the labels of the cell"


def test_an_assistant_is_what_its_run_is_and_not_its_name(grid):
    renamed = {**BERT, "ta": CHAIN["middle"]}
    with_path = {**BERT, "ta": {"run": {**CHAIN["middle"]["run"], "temperature": 4}}}
    ids = [run.id for run in by_name(grid())["middle"]]
    assert [run.id for run in by_name(grid(renamed))["ta"]] == ids
    assert [run.id for run in by_name(grid(with_path))["ta"]] == ids, "that is the base's"
    assert {r.id for r in by_name(grid())["bert"]}.isdisjoint(ids)


@pytest.mark.parametrize(
    "changed",
    [
        {"student": "6L-256"},
        {"seed": 2},
        {"temperature": 2},
        {"knowledge": "logits"},
        {"epochs": 1},
        {"teacher": "large"},
    ],
)
def test_all_of_the_chain_is_part_of_a_runs_identity(grid, changed):
    large = {"large": {"model": "google-bert/bert-large-uncased"}}
    axes = {"teacher": ["lower"]}

    def last(run):
        teachers = {**CHAIN, **large, "middle": {"run": run}}
        (made,) = grid(teachers, axes=axes).runs.values()
        return made

    before, after = last(CHAIN["middle"]["run"]), last({**CHAIN["middle"]["run"], **changed})
    assert before.id != after.id and before.teacher.id != after.teacher.id
    assert before.tokens_id == after.tokens_id or "teacher" in changed


def test_where_no_teacher_is_read_its_name_changes_nothing(grid):
    made = grid(base={**BASE, "knowledge": "none"})
    assert len(made.runs) == 2 and not made.assistants
    assert {run.labels["teacher"] for run in made.runs.values()} == {"bert = middle = lower"}


def test_an_assistant_sees_the_examples_of_those_that_it_teaches(grid):
    axes, tenth = {"teacher": ["middle"]}, {"train_fraction": 0.1}
    (run,) = grid(base={**BASE, **tenth}, axes=axes).runs.values()
    assert run.assistants[0].values["train_fraction"] == 1, "as other teachers, all of them"
    same = {**tenth, "teacher_data": "same", "fraction_seed": 5}
    (run,) = grid(base={**BASE, **same}, axes=axes).runs.values()
    (assistant,) = run.assistants
    assert assistant.values["train_fraction"] == 0.1 and assistant.values["fraction_seed"] == 5
    assert assistant.teacher.recipe["train_fraction"] == 0.1, "and so does its own teacher"
    held = grid(
        base=BASE,
        axes={**axes, "learning_rate": [1e-4, 1e-3]},
        select={"axes": ["learning_rate"], "share": 0.2},
    )
    assert {run.values["held_out"] for run in held.trained.values()} == {0.2}


def test_what_cannot_train_an_assistant_prunes_its_cells(grid):
    teachers = {**BERT, "deep": {"run": {"student": "24L-768", "init": "teacher-uniform"}}}
    made = grid(teachers, base={**BASE, "teacher": "bert"})
    assert {run.labels["teacher"] for run in made.runs.values()} == {"bert"}
    reasons = {reason for _, reason in made.pruned}
    assert len(reasons) == 1 and "teacher deep cannot be trained: init" in reasons.pop()


RUN = CHAIN["middle"]["run"]
NO_MODEL = {"a": {"run": {**RUN, "teacher": "b"}}, "b": {"run": {**RUN, "teacher": "a"}}}


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        ({"middle": {"run": {**RUN, "studnt": "6L"}}}, "teachers.middle.run: key: found 'studnt'"),
        ({"middle": {"run": {**RUN, "teacher": "brt"}}}, "(did you mean bert?)"),
        ({"middle": {"run": {**RUN, "task": "rte"}}}, "teachers.middle.run.task: not a key here"),
        ({"middle": {"run": {**RUN, "held_out": 0.1}}}, "run.held_out: not a key here"),
        ({"middle": {"run": RUN, "epochs": 3}}, "middle.epochs: it would change nothing"),
        ({"middle": {"run": RUN, "model": "x"}}, "middle.model: it would change nothing"),
        ({"middle": {"run": "6L-384"}}, "teachers.middle.run: found '6L-384', allowed: keys"),
        ({"middle": {"run": {}}}, "teachers.middle.run: found {}, allowed: keys of a run"),
        ({"middle": {"runs": RUN}}, "teachers.middle: key: found 'runs', allowed: "),
        ({"middle": {"run": {**RUN, "epochs": -1}}}, "teachers.middle.run.epochs: found -1"),
        ({"middle": {"run": {**RUN, "preset": "tinybert", "knowledge": "none"}}}, "exclude each"),
        ({"middle": {"run": {**RUN, "teacher": "middle"}}}, "found a cycle (middle <- middle)"),
        ({"middle": {"run": {**RUN, "init": "stage:x"}}}, "but the study has no key stages"),
        (NO_MODEL, "teachers.a.run.teacher: found a cycle (a <- b <- a), allowed: a chain"),
    ],
)
def test_mistakes_of_assistants_name_the_place(grid, teachers, message):
    with pytest.raises(UserError) as error:
        grid({**BERT, **teachers})
    assert message in str(error.value)
    assert str(error.value).count("found a cycle") <= 1, "a cycle is told once"


def test_an_assistant_alone_has_no_teacher(tmp_path):
    alone = study({"middle": {"run": {"student": "6L-384"}}}, axes={"seed": [1]})
    with pytest.raises(UserError) as error:
        load_grid(write_study(tmp_path, alone))
    assert "teachers.middle.run.teacher: missing; no teacher has a model" in str(error.value)
    assert "cycle" not in str(error.value)


def test_the_chain_of_a_plan_has_the_teachers_that_are_read(grid, tmp_path):
    teachers = {**CHAIN, "lower": {"run": {**CHAIN["lower"]["run"], "knowledge": "none"}}}
    rows = plan(grid(teachers), Layout(tmp_path))["assistants"]
    assert {row["teacher"]: row["chain"] for row in rows} == {"middle": ["bert"], "lower": []}


def test_a_base_that_names_the_assistant_makes_a_cycle_and_says_so(grid):
    teachers = {**BERT, "middle": {"run": {"student": "6L-384"}}}
    with pytest.raises(UserError, match=r"middle names none, so it has base\.teacher"):
        grid(teachers, base={**BASE, "teacher": "middle"})
    (run, *_) = grid(teachers).runs.values()
    assert by_name(grid(teachers))["middle"][0].assistants[0].teacher.id == run.teacher.id


def test_what_neither_the_run_nor_the_base_names_is_missing(grid):
    base = {key: value for key, value in BASE.items() if key != "student"}
    axes = {"student": ["3L-256"], "teacher": ["bert", "large", "middle"]}
    large = {"large": {"model": "google-bert/bert-large-uncased"}}
    with pytest.raises(UserError) as error:
        grid({**BERT, **large, "middle": {"run": {"epochs": 1}}}, base=base, axes=axes)
    assert "teachers.middle.run.student: missing" in str(error.value)
    assert "teachers.middle.run.teacher: missing" in str(error.value)


def test_a_shape_that_the_architecture_does_not_have_is_a_mistake(grid):
    modern = {"modern": {"model": "answerdotai/ModernBERT-base"}}
    teachers = {**modern, "odd": {"run": {"student": "6L-30-2h-64"}}}
    with pytest.raises(UserError, match=r"teachers\.odd\.run\.student: modernbert rotates"):
        grid(teachers, base=BASE)


def test_an_assistant_that_is_not_smaller_than_its_teacher_is_a_warning(grid):
    text = "teacher assistant middle (12L-768-12h-3072) is not smaller than its teacher bert"
    same = {**BERT, "middle": {"run": {"student": "12L-768", "teacher": "bert"}}}
    assert any(warning.startswith(text) for warning in warnings_of(grid(same)))
    assert not any("assistant" in warning for warning in warnings_of(grid()))


def test_a_teacher_that_is_trained_in_bfloat16_is_a_warning(grid):
    coarse = {**BERT["bert"], "dtype": "bfloat16"}
    (text,) = [w for w in warnings_of(grid({"bert": coarse})) if "bfloat16" in w]
    assert text.startswith("teacher bert is fine-tuned with bfloat16 weights")
    tuned = {"bert": {**coarse, "finetuned": True}}
    for teachers in (tuned, BERT):
        assert not any("bfloat16" in warning for warning in warnings_of(grid(teachers)))


def test_an_assistant_is_no_teacher_of_a_stage(grid):
    stages = {"general": {"corpus": {"hub": "a/b", "revision": "0" * 40}, "steps": 1}}
    stages["general"] |= {"teacher": "middle", "knowledge": "hidden"}
    axes = {"init": ["stage:general"], "teacher": ["bert"]}
    with pytest.raises(UserError, match="middle is the student of a run"):
        grid(stages=stages, axes=axes)


def test_the_example_of_the_page_is_a_study(tmp_path):
    text = (ROOT / "docs/assistants.md").read_text()
    path = tmp_path / "example.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    made = load_grid(path)
    assert len(made.runs) == 3 * 2 * 3 and len(made.assistants) == 2 * 2
    chains = {run.teacher.name: len(run.assistants) for run in made.runs.values()}
    assert chains == {"bert-base": 0, "assistant": 1, "lower": 2}


def test_the_schema_has_the_keys_of_an_assistants_run():
    assert {*ASSISTANT_FIELDS} == {*RUN_FIELDS} - {*SHARED}
    schema = jsonschema.Draft202012Validator(study_schema())
    assert schema.is_valid(study())
    for wrong in ({"run": {"task": "rte"}}, {"run": RUN, "model": "x"}, {}, {"run": {}}):
        assert not schema.is_valid(study({**BERT, "middle": wrong}))


def test_a_plan_warns_of_the_recipe_of_an_assistant_that_nothing_tunes(grid):
    tuned = {"teacher": ["middle"], "learning_rate": [1e-4, 1e-3], "seed": [1]}

    def told(**own):
        teachers = {**BERT, "middle": {"run": {**RUN, **own}}}
        return warnings_of(grid(teachers, axes=tuned, select={"axes": ["learning_rate"]}))

    text = "1 run starts from random weights with the learning rate of pretrained encoders"
    assert any(warning.startswith(text) for warning in told())
    assert not any("random weights" in warning for warning in told(learning_rate=1e-4))
