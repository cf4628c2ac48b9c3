"""The key `plugins`: what a file of the user's own adds, what identifies it, how it is refused."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from studies import json_of, study_dict, tiny_study, write_study

from kd.axes.mappings import MAPPINGS
from kd.axes.matchings import MATCHINGS
from kd.axes.plugins import TABLES, activate
from kd.cli.main import main
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.schema import study_schema

ROOT = Path(__file__).parents[2]
PLUGIN = """\
from kd.axes.rows import LayerMapping, Matching

def huber(student, teacher, mask):
    return (student - teacher).square().mean()

def even(teacher, student, seed):
    return [(min(2 * s, teacher), s) for s in range(1, student + 1)]

MATCHINGS = {"tokens": {"huber": Matching(huber, "mean huber(S - T)", same_width=True)}}
MAPPINGS = {"even": LayerMapping(even, "s <- 2 s", "my own")}
"""
KNOWLEDGE = ["logits", "logits+hidden", "logits+hidden:huber"]


@pytest.fixture(autouse=True)
def _package_alone():
    """No test leaves rows in the tables."""
    yield
    activate(())


def study_of(folder, text=PLUGIN, name="my_losses.py", **changes):
    """A study beside a plugin."""
    (folder / name).write_text(text)
    axes = {"knowledge": KNOWLEDGE, "mapping": ["first", "even"]}
    return write_study(folder, tiny_study(**{"plugins": [name], "axes": axes, **changes}))


def by_labels(grid):
    return {(r.labels["knowledge"], r.labels["matching"], r.labels["mapping"]): r
            for r in grid.runs.values()}  # fmt: skip


USING = {
    ("logits+hidden", "mse", "even"),
    ("logits+hidden", "huber", "first"),
    ("logits+hidden", "huber", "even"),
}


def test_the_hash_is_in_the_ids_of_the_runs_that_use_something_of_it_alone(tmp_path):
    before = by_labels(load_grid(study_of(tmp_path)))
    used = {key for key, run in before.items() if "plugins" in run.spec}
    assert used == USING and len(before) == 5
    plain = tiny_study(axes={"knowledge": KNOWLEDGE[:2], "mapping": ["first"]})
    without = by_labels(load_grid(write_study(tmp_path, plain, "plain.yaml")))
    assert {key: run.id for key, run in without.items()}.items() <= {
        key: run.id for key, run in before.items()
    }.items()
    # A comment more: new ids for these, the same for all others. Another name or place: no change.
    changed = by_labels(load_grid(study_of(tmp_path, PLUGIN + "# a comment\n")))
    assert {key for key in before if before[key].id != changed[key].id} == USING
    (tmp_path / "other").mkdir()
    moved = by_labels(load_grid(study_of(tmp_path / "other", name="another.py")))
    assert [run.id for run in moved.values()] == [run.id for run in before.values()]


def test_rows_of_one_study_are_not_those_of_the_next(tmp_path):
    load_grid(study_of(tmp_path))
    assert "even" in MAPPINGS and "huber" in MATCHINGS["tokens"]
    sizes = {name: len(table) for name, table in TABLES.items()}
    plain = tiny_study(axes={"mapping": ["first", "even"]})
    with pytest.raises(UserError, match=r"axes\.mapping\[1\]: found 'even', allowed"):
        load_grid(write_study(tmp_path, plain, "plain.yaml"))
    assert {n for n, table in TABLES.items() if len(table) != sizes[n]} == {"MAPPINGS"}
    knowledge = tiny_study(axes={"knowledge": ["hidden:huber"]})
    with pytest.raises(UserError, match="hidden has no matching huber"):
        load_grid(write_study(tmp_path, knowledge, "plain.yaml"))


def test_plan_and_axes_name_the_plugin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = study_of(tmp_path)
    (found,) = json_of(capsys, "plan", study)["plugins"]
    assert found["file"] == str(tmp_path / "my_losses.py") and found["runs"] == 3
    assert found["rows"] == ["matching huber of tokens", "mapping even"]
    assert main(["plan", str(study)]) == 0
    assert f"plugin   {tmp_path / 'my_losses.py'} (its code runs" in capsys.readouterr().out
    assert main(["axes", "mapping", "--study", str(study)]) == 0
    assert "even\n      pairs: s <- 2 s" in (out := capsys.readouterr().out)
    assert "source: my own; plugin my_losses.py" in out
    assert main(["axes", "--study", str(study), "--markdown"]) == 0
    assert (
        "| `huber` | outputs of tokens (B, L, H) | mean huber(S - T) |" in capsys.readouterr().out
    )


def test_planning_with_a_plugin_loads_no_torch(tmp_path):
    study = study_of(tmp_path)
    code = f"""import sys
from kd.cli.main import main
assert main(["plan", {str(study)!r}]) == 0
heavy = {{"torch", "pandas", "transformers", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


def test_the_schema_knows_that_a_plugin_has_names_of_its_own(tmp_path):
    axes = {"matching": ["mine"]}
    jsonschema.validate(study_dict(axes=axes, plugins=["a.py"], figures=["mine"]), study_schema())
    for wrong in ({"axes": axes}, {"figures": ["mine"]}, {"plugins": "a.py"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(study_dict(**wrong), study_schema())


IMPORT = "from kd.axes.rows import *\n"
WRONG = {
    "not Python": ("def f(:\n", "line 1: not valid Python"),
    "an exception": ("x = 1\ny = x + None\n", "line 2: TypeError: unsupported operand"),
    "no table": ("MATCHING = {}\n", "line 1: it adds nothing.*did you mean MATCHINGS"),
    "a misspelled table": (
        f"{IMPORT}MAPPING = {{'a': LayerMapping(lambda t, s, seed: [], 'x', 'y')}}\n",
        "line 2: found the table MAPPING, allowed: .*did you mean MAPPINGS",
    ),
    "no row": ("\nMAPPINGS = {'mine': 3}\n", "line 2: mapping mine: found 3, allowed: a row of"),
    "a form": (f"{IMPORT}MATCHINGS = {{'token': {{}}}}", "line 2: .*did you mean tokens"),
    "a taken name": (
        PLUGIN.replace('"even": ', '"uniform": '),
        "line 10: mapping uniform: the name is that of a row of kd-grid itself",
    ),
    "two words": (PLUGIN.replace('"even": ', '"even 2": '), "line 10: .*not allowed"),
    "other arguments": (
        PLUGIN.replace("def even(teacher, student, seed)", "def even(teacher, student)"),
        r"line 10: mapping even: pairs: found the function even\(teacher, student\), allowed: a f",
    ),
    "pairs that are none": (
        PLUGIN.replace("[(min(2 * s, teacher), s)", "[s"),
        "line 10: mapping even: for 1 teacher layers, 1 student layers and seed 1 it gave",
    ),
    "layers that are not there": (
        PLUGIN.replace("min(2 * s, teacher)", "2 * s"),
        r"it gave \[\(2, 1\)\], allowed: pairs \(teacher layer 1 to 1, student layer 1 to 1\)",
    ),
    "an error in a mapping": (
        PLUGIN.replace("min(2 * s, teacher)", "teacher // (teacher - 1)"),
        "line 7 in <?[a-z]+>?: ZeroDivisionError",
    ),
    "random pairs": (
        "import random\n" + PLUGIN.replace("min(2 * s, teacher)", "random.randint(1, teacher)"),
        "and other pairs at the next call: draw from random.Random",
    ),
    "a loss without mask": (
        PLUGIN.replace("def huber(student, teacher, mask)", "def huber(student, teacher)"),
        "line 9: matching huber of tokens: loss: found the function huber",
    ),
    "a file beside it": ("\nimport helpers\n" + PLUGIN, "line 2: it imports helpers"),
    "a vector of nothing": (
        f"{IMPORT}KNOWLEDGE = {{'mine': Knowledge(forms.VECTOR, ('hidden',), 'a', 'b')}}",
        "line 2: knowledge mine: read: missing",
    ),
    "a classifier": (
        f"{IMPORT}KNOWLEDGE = {{'mine': Knowledge(forms.TOKENS, ('hidden',), 'a', 'b', "
        f"classified=True)}}",
        "line 2: knowledge mine: classified, usual: only teacher-classifier",
    ),
    "heads that do not divide": (
        f"{IMPORT}NAMED = {{'mine': Named(Shape(2, 10, 3, 40), 'a')}}",
        "line 2: student mine: shape: found",
    ),
    "a metric without bounds": (
        f"{IMPORT}METRICS = {{'mine': Metric((kinds.CLASSES,), '', 'a', function=max)}}",
        "line 2: metric mine: unit: found ''",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_error_names_file_and_line(tmp_path, name):
    text, message = WRONG[name]
    (tmp_path / "helpers.py").write_text("")
    with pytest.raises(UserError, match=rf"(?s)study\.yaml: .*my_losses\.py: {message}|{message}"):
        load_grid(study_of(tmp_path, text))
    try:
        load_grid(study_of(tmp_path, text))
    except UserError as error:
        assert str(tmp_path / "my_losses.py") in str(error)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("my_losses.py", "plugins: found 'my_losses.py', allowed: a list of Python files"),
        (["none.py"], r"plugins\[0\]: .*none\.py: missing"),
        (["my_losses.py", "my_losses.py"], r"plugins\[1\]: .*my_losses\.py is there twice"),
        (["study.yaml"], r"plugins\[0\]: found 'study.yaml', allowed: a file whose name ends"),
        (["my_losses.py", "copy.py"], r"copy\.py: line 10: mapping even: .* of a row of .*my_loss"),
    ],
)
def test_what_the_key_may_name(tmp_path, value, message):
    text = PLUGIN.replace('"huber": ', '"other": ')
    (tmp_path / "copy.py").write_text(text)
    with pytest.raises(UserError, match=message):
        load_grid(study_of(tmp_path, plugins=value))


def test_an_error_at_another_depth_is_found_when_the_cells_are_made(tmp_path):
    text = PLUGIN.replace("min(2 * s, teacher)", "1 if teacher < 13 else 1 // 0")
    deep = {"deep": {"model": "scratch", "shape": "13L-32-2h-64"}}
    with pytest.raises(UserError, match=r"my_losses\.py: line 7 in <?[a-z]+>?: ZeroDivisionError"):
        load_grid(study_of(tmp_path, text, teachers=deep))


def test_free_takes_two_studies_with_plugins_of_one_name_each(tmp_path, monkeypatch, capsys):
    """Of two versions of a plugin, whose names clash; the tables have one at a time."""
    monkeypatch.chdir(tmp_path)
    studies = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        studies.append(study_of(tmp_path / name, f"{PLUGIN}# {name}\n", study=name))
    found = json_of(capsys, "free", *studies)
    assert found == {"removed": False, "files": {}}


def test_rows_of_all_tables_can_be_used(tmp_path):
    text = """\
from kd.axes.rows import *

def largest(tensors, mask):
    return tensors[0].masked_fill(~mask[..., None], -1e4).amax(1)

def top(teacher, student, seed):
    return [(teacher - student + s, s) for s in range(1, student + 1)]

KNOWLEDGE = {"largest": Knowledge(forms.VECTOR, ("hidden",), "maximum", "mine", read=largest)}
MAPPINGS = {"every-K": LayerMapping(lambda t, s, seed, k: [(min(k * i, t), i)
                                    for i in range(1, s + 1)], "s <- K s", "mine")}
NAMED = {"mini": Named(Shape(2, 32, 2, 64), "mine")}
INITIALISATIONS = {"teacher-top": Initialisation(top, "the last layers", "mine")}
FIGURES = {"mine": PluginFigure(lambda runs: None, "What I look at.")}
"""
    axes = {"mapping": ["every-1", "every-2"], "init": ["random", "teacher-top"]}
    base = {"student": "mini", "knowledge": "largest", "task": "toy-single"}
    path = study_of(tmp_path, text, axes=axes, base=base, figures=["+mine"])
    grid = load_grid(path)
    assert [r.labels["mapping"] for r in grid.runs.values()] == ["every-1"] * 2 + ["every-2"] * 2
    run = list(grid.runs.values())[-1]
    assert run.spec["student"] == "2L-32-2h-64" and run.spec["init"] == "teacher:2-1,3-2"
    assert run.spec["objective"] == ["largest:normalised-mse@2-1,3-2"]
    assert len(run.spec["plugins"]) == 1
    shape = study_of(tmp_path, text, axes={"seed": [1]}, base=base | {"knowledge": "logits"})
    (named,) = load_grid(shape).runs.values()
    assert "plugins" not in named.spec  # a shape stands for its numbers
    assert grid.study.drawn == [["+mine"], [grid.study.plugins[0].sha256]]
    jsonschema.validate(yaml.safe_load(path.read_text()), study_schema())


def test_the_studies_without_plugins_have_no_trace_of_it(tmp_path):
    grid = load_grid(write_study(tmp_path, study_dict()))
    assert grid.study.drawn is None
    assert "plugin" not in json.dumps([run.spec for run in grid.runs.values()])
