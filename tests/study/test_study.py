"""Bad studies: one sentence that names the file, the key, what was found and what is allowed."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import study_dict, tiny_study, write_study

from kd.cli.main import main
from kd.runtime.errors import UserError
from kd.study.check import load_study
from kd.study.grid import load_grid
from kd.study.read import read_yaml
from kd.study.schema import study_schema

ROOT = Path(__file__).parents[2]

BAD = {
    "unknown key": ({"axis": {}}, "key: found 'axis', allowed: .*did you mean axes"),
    "unknown axis": ({"axes": {"maping": ["first"]}}, "axis: found 'maping'.*mean mapping"),
    "unknown value": ({"axes": {"mapping": ["unifrom"]}}, r"axes.mapping\[0\].*mean uniform"),
    "unknown base key": ({"base": {"lr": 1}}, "base: key: found 'lr'"),
    "no axes": ({"axes": None}, "axes: missing"),
    "empty axes": ({"axes": {}}, "axes: found none"),
    "axis without list": ({"axes": {"seed": 1}}, "axes.seed: found 1, allowed: a list"),
    "axis without value": ({"axes": {"seed": []}}, "axes.seed"),
    "value twice": ({"axes": {"seed": [1, 1.0]}}, r"axes.seed\[1\]: 1.0 is there twice"),
    "bad name": ({"study": "../escape"}, "study: found '../escape'"),
    "margin of nothing": ({"margin": 0}, "margin: found 0, allowed: a number of points above 0"),
    "margin in words": ({"margin": "small"}, "margin: found 'small', allowed: a number of points"),
    "looks": ({"looks": [3, 3]}, "looks: found .3, 3., allowed: rising numbers of seeds from 2"),
    "looks beyond the seeds": (
        {"looks": [3, 5]},
        "at 3 seeds and the last at 5, but axes.seed has 2",
    ),
    "students to keep": (
        {"keep": {"students": "bets"}},
        "keep.students: found 'bets', allowed: all, best, none .did you mean best",
    ),
    "what to keep": ({"keep": {"student": "all"}}, "keep: key: found 'student', allowed: students"),
    "no name": ({"study": None}, "study: missing"),
    "bad source": ({"data": {"source": "hubb"}}, "data.source: found 'hubb'.*mean hub"),
    "tsv without path": ({"data": {"source": "tsv"}}, "data.path: missing"),
    "path for hub": ({"data": {"source": "hub", "path": "x"}}, "key: found 'path'"),
    "no teacher": ({"teachers": None}, "teachers: missing"),
    "teacher without model": ({"teachers": {"a": {}}}, "teachers.a.model: missing"),
    "unknown teacher key": (
        {"teachers": {"a": {"model": "google-bert/bert-base-uncased", "epoch": 1}}},
        "found 'epoch'.*mean epochs",
    ),
    "unknown teacher": ({"axes": {"teacher": ["berta"]}}, "found 'berta', allowed: bert-base"),
    "unknown hub shape": (
        {"teachers": {"a": {"model": "some/model"}}},
        "some/model is neither a fol",
    ),
    "scratch on the hub": (
        {"teachers": {"a": {"model": "scratch", "shape": "2L-32"}}},
        "scratch has a vocabulary only for generated tasks",
    ),
    "task of another source": ({"axes": {"task": ["toy-single"]}}, "has no task 'toy-single'"),
    "no student": ({"base": {"task": "rte"}}, "base.student: missing"),
    "bad student": ({"axes": {"student": ["6L768"]}}, "found '6L768', allowed: LAYERSL-HIDDEN"),
    "equal sizes": (
        {"axes": {"student": {"iso-param": "6L-384", "layers": [2]}}},
        "axes.student: key: found 'iso-param'.*mean iso-params",
    ),
    "equal sizes of what": (
        {"axes": {"student": {"layers": [2]}}},
        "axes.student: found no measure",
    ),
    "no layers": (
        {"axes": {"student": {"iso-params": "6L-384", "layers": 2}}},
        "axes.student: layers: found 2",
    ),
    "no width": (
        {"axes": {"student": {"iso-params": "2L-32", "layers": [96]}}},
        "axes.student: layers: found 96, where no width",
    ),
    "heads": ({"axes": {"student": ["6L-100-3h-400"]}}, "3 heads do not divide"),
    "bad knowledge": ({"axes": {"knowledge": ["logit"]}}, "'logit'.*mean logits"),
    "bad matching": ({"axes": {"knowledge": ["hidden:msee"]}}, "found 'msee'.*mean mse"),
    "bad weight": (
        {"axes": {"knowledge": ["hidden*0"]}},
        "weight in 'hidden.*found '0', allowed: a number",
    ),
    "mapping of logits": ({"axes": {"knowledge": ["logits@first"]}}, "logits has no layers"),
    "negative rate": ({"axes": {"learning_rate": [-1]}}, "found -1, allowed: a number above 0"),
    "half a seed": ({"axes": {"seed": [0.5]}}, "found 0.5, allowed: a whole number"),
    "true as number": ({"axes": {"seed": [True]}}, "found True"),
    "infinite": ({"axes": {"batch_size": [float("inf")]}}, "found inf, allowed: a whole number"),
    "not a number": ({"axes": {"batch_size": [float("nan")]}}, "found nan"),
    "no such user": ({"teachers": {"a": {"model": "~nouser/x"}}}, "nouser"),
    "long path": ({"teachers": {"a": {"model": "/" + "x" * 5000}}}, "no such folder"),
    "idle shape": (
        {"teachers": {"a": {"model": "google-bert/bert-base-uncased", "shape": "2L-64"}}},
        "teachers.a.shape: it would change nothing",
    ),
    "idle epochs": (
        {
            "teachers": {
                "a": {"model": "google-bert/bert-base-uncased", "finetuned": True, "epochs": 2}
            }
        },
        "teachers.a.epochs: it would change nothing",
    ),
    "scratch finetuned": (
        {"teachers": {"a": {"model": "scratch", "shape": "2L-32", "finetuned": True}}},
        "teachers.a.finetuned",
    ),
    "excluded teacher": ({"exclude": [{"teacher": "bert-bas"}]}, "found 'bert-bas'.*bert-base"),
    "long value": ({"axes": {"mapping": ["x" * 100000]}}, r"found 'x+\.\.\.x+', allowed"),
    "two words": ({"axes": {"knowledge": ["hid den"]}}, "'hid den'.*mean hidden"),
    "bad design": ({"design": "factoral"}, "found 'factoral'.*mean factorial"),
    "bad exclude": ({"exclude": [{"maping": "first"}]}, r"exclude\[0\]: key: found 'maping'"),
    "exclude no list": ({"exclude": {"mapping": "first"}}, "exclude: found"),
    "unknown task": (
        {"base": {"student": "6L-768", "task": "rtee"}},
        r"base\.task: found 'rtee', allowed: cola, .* \(did you mean rte\?\)",
    ),
    "large seed": (
        {"axes": {"seed": [2**32]}},
        r"found 4294967296, allowed: a whole number from 0 to 4294967295$",
    ),
    "bad include": ({"include": [{"student": "huge"}]}, r"include\[0\].student: found 'huge'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_study(name, tmp_path, capsys, monkeypatch):
    changes, message = BAD[name]
    path = write_study(tmp_path, study_dict(**changes))
    monkeypatch.chdir(tmp_path)
    status = main(["plan", str(path)])
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1, "one sentence, no traceback"
    assert str(path) in error
    with pytest.raises(UserError, match=message):
        load_grid(path)
    assert [p.name for p in tmp_path.iterdir()] == ["study.yaml"], "nothing may be written"


MANY = """\
study: Many
data: {source: hub, pth: x}
teachers:
  bert-base:
    model: google-bert/bert-base-uncased
    epoch: 3
  other: {}
tasks:
  mine: {train: a.csv, dev: {share: 2}, text: text, label: label,
    metrics: [acuracy]}
stages:
  general: {corpus: {files: [no-*.txt]}, teacher: bert-base, knowledge: hiden, steps: 10}
base: &base
  student: 6L768
  lr: 1
axes:
  mapping: [unifrom, first, first]
  seed: 1
  init: [stage:genral]
  task: [rte, mine, rtee]
include:
  - {<<: *base, knowledge: none}
  - {task: rtee, knowledge: non}
figures: [curve, curves]
select: {axes: [seed], share: 2}
margin: 0
"""
# Line, start. No mistake follows from another: `teacher` is not missing, and `mine` is a task.
MISTAKES = """\
1: study: found
2: data (source hub): key: found 'pth'
6: teachers.bert-base: key: found 'epoch'
7: teachers.other.model: missing
9: tasks.mine: dev.share: found 2
12: stages.general.corpus.files[0]: no file
12: stages.general.knowledge: knowledge type 'hiden'
14: base.student: found '6L768'
14: include[0].student: found '6L768'
15: base: key: found 'lr'
15: include[0]: key: found 'lr'
17: axes.mapping[0]: found 'unifrom'
17: axes.mapping[2]: 'first' is there twice
18: axes.seed: found 1
20: axes.task[2]: found 'rtee'
23: include[1].knowledge: knowledge type 'non'
23: include[1].task: found 'rtee'
24: figures[0]: found 'curve'
25: select.axes[0]: found seed
25: select.share: found 2
"""


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(MANY)
    with pytest.raises(UserError) as caught:
        load_study(path)
    first, *lines, rest = str(caught.value).splitlines()
    assert first == f"{path}: 21 mistakes" and rest == "  and 1 more"
    wanted = MISTAKES.splitlines()
    for line, start in zip(lines, wanted, strict=True):
        assert line.startswith(f"  line {start}")


def test_the_mistakes_of_what_a_study_names_are_told_at_once(tmp_path):
    teachers = {name: {"model": f"./{name}"} for name in ("a", "b")}
    axes = {"teacher": ["a", "b"], "seed": [1, 2]}
    path = write_study(tmp_path, study_dict(teachers=teachers, axes=axes, exclude=[{"seed": 3}]))
    with pytest.raises(UserError, match="3 mistakes") as caught:
        load_grid(path)
    lines = [line.split(": ")[0:2] for line in str(caught.value).splitlines()[1:]]
    assert [where for _, where in lines] == ["teachers.a", "teachers.b", "exclude[0]"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "study: missing"),
        ("- 1", "the file: found"),
        ("study: [", "not valid YAML"),
        ("study: a\nstudy: b", "line 2: the key 'study' is there twice"),
        ("{a: 1}: 2", "a key must be a word"),
        ("study: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("&a [*a]", "the file"),
        ("\x00", "not valid YAML"),
        ("study: !!bool maybe", "not valid YAML"),
        ("study: !!timestamp xx", "not valid YAML"),
    ],
)
def test_bad_yaml(text, message, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_study(path)


def test_yaml_anchors_and_merges(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        yaml.safe_dump(study_dict()) + "include: [&a {knowledge: none}, {<<: *a, seed: 3}]"
    )
    assert load_study(path).include == [{"knowledge": "none"}, {"knowledge": "none", "seed": 3}]


def test_yaml_merges_of_a_mapping_that_merges(tmp_path):
    """Its own keys win over those it merges, wherever it is merged first."""
    path = tmp_path / "study.yaml"
    path.write_text(
        "include:\n- &a {knowledge: none, seed: 1}\n- &b {<<: *a, seed: 2}\nbase: {<<: *b}\n"
    )
    assert read_yaml(path) == {
        "include": [{"knowledge": "none", "seed": 1}, {"knowledge": "none", "seed": 2}],
        "base": {"knowledge": "none", "seed": 2},
    }
    path.write_text("a: &a {x: 1}\nb: {<<: *a, y: 1, y: 2}\n")
    with pytest.raises(UserError, match=r"line 2: the key 'y' is there twice"):
        read_yaml(path)


def test_missing_study_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml: no such study file"):
        load_study(tmp_path / "none.yaml")


def test_the_shipped_schema_is_the_codes():
    shipped = json.loads((ROOT / "workflow/schemas/study.schema.json").read_text())
    assert shipped == study_schema(), "python -m kd schema > workflow/schemas/study.schema.json"


SHIPPED = sorted((ROOT / "config/studies").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_are_valid(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] > 0
    assert found["study"] == path.stem
    jsonschema.validate(yaml.safe_load(path.read_text()), study_schema())


SMALL = [path for path in SHIPPED if path.stem.endswith("-small")]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_study_is_the_reference_with_fewer_values(path):
    """Its record says what to expect of the small one, so nothing else may differ."""
    name = path.stem.removesuffix("-small")
    reference = load_study(ROOT / f"results/records/reference/{name}/study.yaml")
    small = load_study(path)
    for key in ("question", "base", "select", "margin"):
        assert getattr(small, key) == getattr(reference, key), key
    assert set(small.axes) == set(reference.axes)
    for axis, values in small.axes.items():
        assert set(values) <= set(reference.axes[axis]), axis
    recipe, same = (
        {k: v for k, v in study.teachers["minilm"].items() if k not in ("model", "revision")}
        for study in (small, reference)
    )
    assert recipe == same


# Questions added later, on TREC alone, which no source of data but a file has.
LATER = {"weighting", "methods", "errata"}


def test_each_study_of_the_design_has_a_small_one():
    folders = (ROOT / "results/records/reference").glob("*/study.yaml")
    studies = {folder.parent.name for folder in folders} - LATER
    assert {f"{name}-small" for name in studies} == {path.stem for path in SMALL}


ISO = {"student": {"iso-flops": "tinybert4", "layers": [2, 4, 12]}}


def test_students_of_equal_size_are_one_axis_line(tmp_path):
    study = load_study(write_study(tmp_path, study_dict(axes=ISO)))
    assert study.axes["student"] == ["2L-444-12h-1776", "4L-312-12h-1200", "12L-172-4h-688"]


@pytest.mark.parametrize("study", [study_dict(), tiny_study(), study_dict(axes=ISO)])
def test_the_schema_accepts_what_the_code_accepts(study):
    jsonschema.validate(study, study_schema())


_STRUCTURAL = [
    "unknown key",
    "unknown axis",
    "unknown base key",
    "no axes",
    "empty axes",
    "axis without list",
    "axis without value",
    "bad name",
    "no name",
    "bad source",
    "tsv without path",
    "path for hub",
    "no teacher",
    "teacher without model",
    "unknown teacher key",
    "equal sizes",
    "equal sizes of what",
    "no layers",
    "negative rate",
    "half a seed",
    "true as number",
    "bad design",
    "bad exclude",
    "exclude no list",
    "students to keep",
    "what to keep",
]


@pytest.mark.parametrize("name", _STRUCTURAL)
def test_the_schema_refuses_what_the_code_refuses(name):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(study_dict(**BAD[name][0]), study_schema())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(study_dict())), _json)
def test_no_content_gives_a_traceback(tmp_path_factory, key, value):
    path = tmp_path_factory.mktemp("fuzz") / "study.yaml"
    path.write_text(yaml.safe_dump(study_dict() | {key: value}, allow_unicode=True))
    try:
        load_grid(path)
    except UserError as error:
        assert str(path) in str(error)


def test_margin_has_a_default_and_values_stay_as_they_are_written(tmp_path):
    axes = {"student": ["bert-tiny", "6L-768"], "learning_rate": ["5e-5"]}
    study = load_study(write_study(tmp_path, study_dict(axes=axes, margin=1)))
    assert study.margin == 1 and study.written["student"] == ["bert-tiny", "6L-768", "6L-768"]
    assert load_study(write_study(tmp_path, study_dict())).margin == 0.5


def test_figures_are_checked_like_every_other_key(tmp_path):
    names = ["effect-mapping", "heatmap-mapping-task", "curves"]
    axes = {"mapping": ["first", "last"], "task": ["rte", "cola"]}
    study = load_study(write_study(tmp_path, study_dict(axes=axes, figures=names)))
    assert study.figures == names
    assert load_study(write_study(tmp_path, study_dict())).figures is None
    more = study_dict(axes=axes, figures=["+heatmap-mapping-task", "+curves"])
    assert load_study(write_study(tmp_path, more)).figures == ["+heatmap-mapping-task", "+curves"]
    jsonschema.validate(more, study_schema())


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ("curves", "figures: found 'curves', allowed: a list"),
        (["curve"], r"figures\[0\]: found 'curve'.*did you mean curves"),
        (["curves", "curves"], r"figures\[1\]: curves is there twice"),
        (["curves", "+seeds"], r"figures\[1\]: found \+seeds, allowed: all names with a \+"),
        (["+curves", "+curves"], r"figures\[1\]: curves is there twice"),
        (["+effect-init"], r"figures\[0\]: \+effect-init: the study does not vary init"),
        (["effect-init"], r"figures\[0\]: effect-init: the study does not vary init; it varies"),
    ],
)
def test_wrong_figures(tmp_path, figures, message):
    with pytest.raises(UserError, match=message):
        load_study(write_study(tmp_path, study_dict(figures=figures)))


@pytest.mark.parametrize("split", ["train", "dev"])
@pytest.mark.parametrize("where", ["base", "axes", "include"])
def test_more_generated_sentences_than_there_are_are_a_sentence_at_once(tmp_path, split, where):
    """The generator would never end."""
    most = {"train": 64245, "dev": 21809}[split]
    tasks = {
        "base": {"base": {"student": "2L-16-2h-32", "task": "toy-similarity"}},
        "axes": {"axes": {"task": ["toy-single", "toy-similarity"]}},
        "include": {"include": [{"task": "toy-similarity"}]},
    }[where]
    for size, wrong in ((most, False), (most + 1, True)):
        study = tiny_study(data={"source": "synthetic", split: size}, **tasks)
        path = write_study(tmp_path, study)
        if not wrong:
            load_study(path)
            continue
        with pytest.raises(UserError) as caught:
            load_study(path)
        assert str(caught.value) == (
            f"{path}: line 4: data.{split}: found {size}, allowed: at most {most}, because "
            "toy-similarity has no more"
        )
    other = tiny_study(data={"source": "synthetic", split: most + 1})
    assert load_study(write_study(tmp_path, other)), "toy-single has enough"
