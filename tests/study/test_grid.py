"""Study -> runs: counts, pruning, canonical form, identity."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from studies import study_dict, tiny_study, write_study

from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS, SCRATCH_DEFAULTS, TEACHER_DEFAULTS
from kd.axes.labels import merged, parts
from kd.runtime.errors import UserError
from kd.study.grid import _told_apart, load_grid
from kd.study.pruned import pruned_values

ROOT = Path(__file__).parents[2]

DESIGN_EXAMPLE = """
study: mapping
data: {source: hub}
teachers:
  bert-base: {model: google-bert/bert-base-uncased}
base:
  teacher: bert-base
  student: 6L-768
  init: teacher-uniform
  knowledge: logits+hidden
  matching: default
  mapping: uniform
  temperature: 2
axes:
  mapping: [first, last, uniform, reverse, all-to-one]
  student: [6L-768, 3L-768]
  task: [rte, mrpc, cola]
  seed: [1, 2, 3]
design: factorial
exclude:
  - {mapping: first, student: 3L-768}
"""


@pytest.fixture
def grid(tmp_path):
    return lambda **changes: load_grid(write_study(tmp_path, study_dict(**changes)))


def ids(grid):
    return set(grid.runs)


def only(grid):
    (run,) = grid.runs.values()
    return run


def test_the_example_of_the_documentation(tmp_path):
    path = tmp_path / "mapping.yaml"
    path.write_text(DESIGN_EXAMPLE)
    grid = load_grid(path)
    assert (grid.cells, len(grid.pruned), len(grid.runs)) == (90, 9, 81)


def test_ids_are_pinned(grid):
    """If this fails, users' finished results are no longer found: append defaults, edit none."""
    found = grid(axes={"seed": [1, 2], "temperature": [2, 4]})
    assert sorted(found.runs) == PINNED


PINNED = [
    "rte-6l-768-logits-hidden-34f90f6710",
    "rte-6l-768-logits-hidden-b76b677edf",
    "rte-6l-768-logits-hidden-c88a793236",
    "rte-6l-768-logits-hidden-f26e7177e3",
]


def test_defaults_are_append_only():
    """A default may be added below, never edited: ids leave out what equals its default."""
    pinned = {
        "init": "random",
        "knowledge": "logits",
        "matching": "default",
        "mapping": "uniform",
        "temperature": 2,
        "hard_weight": 1,
        "relation_heads": "auto",
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 5e-5,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "max_grad_norm": 1,
        "max_length": 128,
        "precision": "auto",
        "recipe": 1,
        "seed": 1,
    }
    teacher = {
        "revision": "main",
        "arch": "bert",
        "finetuned": False,
        "dtype": "float32",
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 3e-5,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "max_grad_norm": 1,
        "max_length": 128,
        "precision": "auto",
        "seed": 1,
    }
    assert pinned.items() <= RUN_DEFAULTS.items()
    assert teacher.items() <= TEACHER_DEFAULTS.items()
    assert SCRATCH_DEFAULTS == {"epochs": 6, "learning_rate": 5e-4}


def test_a_teacher_with_random_weights_has_a_recipe_of_its_own(tmp_path):
    """Written out, it is the same teacher; so is one with the recipe for pretrained encoders."""
    bare = {"model": "scratch", "shape": "3L-32-2h-64"}
    pretrained = {key: TEACHER_DEFAULTS[key] for key in SCRATCH_DEFAULTS}
    bare_id, same_id, other_id = (
        next(
            iter(load_grid(write_study(tmp_path, tiny_study(teachers={"deep": t}))).runs.values())
        ).teacher.id
        for t in (bare, {**bare, **SCRATCH_DEFAULTS}, {**bare, **pretrained})
    )
    assert bare_id == same_id != other_id


@pytest.mark.parametrize("key", [k for k in RUN_DEFAULTS if k != "seed"])
def test_an_axis_at_its_default_leaves_the_ids(grid, key):
    base = {"student": "6L-768", "task": "rte"}
    plain = grid(base=base, axes={"seed": [1, 2]})
    with_axis = grid(base=base, axes={"seed": [1, 2], key: [RUN_DEFAULTS[key]]})
    assert ids(with_axis) == ids(plain)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "mrpc"),
        ("student", "3L-768"),
        ("init", "teacher-first"),
        ("knowledge", "logits"),
        ("knowledge", "logits+hidden*0.5"),
        ("matching", "mse"),
        ("mapping", "first"),
        ("temperature", 4),
        ("temperature_schedule", "flsw"),
        ("probability_shift", True),
        ("hard_weight", 0.5),
        ("hard_weight", "0..1"),
        ("hard_weight", "1%50-100"),
        ("knowledge", "logits+hidden*0..1"),
        ("knowledge", "logits*1%0-50+hidden"),
        ("mapping", "emd"),
        ("mapping", "last-2"),
        ("weights", "calibrated"),
        ("weights", "balanced"),
        ("train_fraction", 0.5),
        ("errata", "padding"),
        ("errata", "no-tau-squared"),
        ("knowledge", "logits+teacher-classifier"),
        ("errata", "teacher-in-training"),
        ("epochs", 5),
        ("batch_size", 16),
        ("learning_rate", 1e-4),
        ("weight_decay", 0),
        ("warmup", 0),
        ("max_grad_norm", 2),
        ("max_length", 64),
        ("precision", "bf16"),
        ("seed", 7),
    ],
)
def test_every_field_that_matters_changes_the_id(grid, key, value):
    base = {"student": "6L-768", "task": "rte", "knowledge": "logits+hidden"}
    one = only(grid(base=base, axes={"seed": [1]}))
    changed = {**base, key: value}
    axes = {"seed": [value]} if key == "seed" else {"seed": [1]}
    other = only(grid(base=changed, axes=axes))
    assert one.id != other.id, f"{key} is inert"


def test_a_fraction_of_the_data_is_part_of_the_identity(grid):
    base = {"student": "6L-768", "task": "rte", "knowledge": "logits", "train_fraction": 0.1}
    axes = {"fraction_seed": [0, 1], "teacher_data": ["all", "same"]}
    runs = list(grid(base=base, axes=axes).runs.values())
    assert len(runs) == 4
    assert len({run.teacher.id for run in runs}) == 3
    for run in runs:
        same = run.labels["teacher_data"] == "same"
        assert run.teacher.recipe["train_fraction"] == (0.1 if same else 1)
        assert run.spec["teacher"].get("train_fraction", 1) == (0.1 if same else 1)
        assert run.spec["train_fraction"] == 0.1


@pytest.mark.parametrize(
    ("base", "axes"),
    [
        ({}, {"fraction_seed": [0, 1]}),
        ({}, {"teacher_data": ["all", "same"]}),
        ({"knowledge": "none", "train_fraction": 0.5}, {"teacher_data": ["all", "same"]}),
    ],
)
def test_a_choice_of_examples_that_cannot_matter_gives_the_same_run(grid, base, axes):
    found = grid(base={"student": "6L-768", "task": "rte"} | base, axes=axes)
    run = only(found)
    assert run.labels[next(iter(axes))] == "-"
    assert run.teacher.recipe["train_fraction"] == 1


def test_a_fine_tuned_teacher_cannot_have_the_same_fraction(grid):
    found = grid(
        teachers={"tuned": {"model": "google-bert/bert-base-uncased", "finetuned": True}},
        base={"student": "6L-768", "task": "rte", "train_fraction": 0.5},
        axes={"teacher_data": ["all", "same"]},
    )
    ((_, reason),) = found.pruned
    assert "teacher_data same: teacher tuned is fine-tuned already" in reason
    assert only(found).labels["teacher_data"] == "all"


NARROW = {"student": "3L-384", "task": "rte"}


@pytest.mark.parametrize(
    ("base", "values", "count"),
    [
        ({"knowledge": "hidden"}, ["per-pair", "shared", "orthogonal"], 3),
        ({"knowledge": "hidden+cls@last-only"}, ["per-pair", "shared"], 2),
        ({"knowledge": "hidden@last-only"}, ["per-pair", "shared", "orthogonal"], 2),
        ({"knowledge": "hidden@last-only+cls@last-only"}, ["per-pair", "shared"], 1),
        ({"knowledge": "embedding"}, ["per-pair", "shared", "orthogonal"], 2),
        ({"knowledge": "hidden@emd"}, ["per-pair", "shared"], 2),
        ({"knowledge": "hidden:cka"}, ["per-pair", "shared", "orthogonal", "none"], 1),
        ({"knowledge": "logits"}, ["per-pair", "shared", "orthogonal", "none"], 1),
        ({"knowledge": "hidden", "student": "3L-768"}, ["per-pair", "orthogonal", "none"], 1),
        ({"knowledge": "cls:contrastive", "student": "3L-768"}, ["per-pair", "shared", "none"], 3),
    ],
)
def test_projections_matter_where_a_term_has_them(grid, base, values, count):
    found = grid(base=NARROW | base, axes={"projection": values})
    assert not found.pruned and len(found.runs) == count
    plain = only(grid(base=NARROW | base, axes={"seed": [1]}))
    assert plain.id in found.runs, "the default has the id that it had"
    assert "projection" not in plain.spec


@pytest.mark.parametrize(
    ("base", "label"),
    [
        ({"knowledge": "hidden"}, "per-pair"),
        ({"knowledge": "hidden@last-only"}, "per-pair = shared"),
        ({"knowledge": "hidden:cka"}, "-"),
        ({"knowledge": "hidden", "student": "3L-768"}, "-"),
    ],
)
def test_a_projection_is_shown_where_there_is_one(grid, base, label):
    found = grid(base=NARROW | base, axes={"projection": ["per-pair", "shared"]})
    assert next(iter(found.runs.values())).labels["projection"] == label


def test_relation_heads_matter_only_for_relations(grid):
    base = {"student": "6L-768", "task": "rte"}
    axes = {"relation_heads": ["auto", 12, 48]}
    assert len(grid(base=base | {"knowledge": "value-relation"}, axes=axes).runs) == 2
    assert len(grid(base=base, axes=axes).runs) == 1
    bad = grid(base=base | {"knowledge": "value-relation"}, axes={"relation_heads": [12, 7]})
    assert "relation_heads 7" in bad.pruned[0][1]


def test_spellings_are_one_run(grid):
    spellings = [
        "hidden+logits",
        "logits + hidden",
        "logits:kl+hidden:mse",
        "hidden:mse@uniform+logits",
        "logits+hidden:default@2-1,4-2,6-3,8-4,10-5,12-6",
        "logits*1.0+hidden*1",
    ]
    base = {"student": "6L-768", "task": "rte"}
    assert len({only(grid(base=base, axes={"knowledge": [k]})).id for k in spellings}) == 1


def test_students_and_numbers_have_one_spelling(grid):
    one = grid(base={"student": "6L-768", "task": "rte"}, axes={"learning_rate": ["5e-5"]})
    two = grid(base={"student": "distilbert", "task": "rte"}, axes={"learning_rate": [0.00005]})
    three = grid(base={"student": "6l-768-12h-3072", "task": "rte"}, axes={"temperature": [2.0]})
    assert ids(one) == ids(two) == ids(three)


def test_what_cannot_matter_is_dropped(grid):
    base = {"student": "6L-768", "task": "rte"}
    found = grid(
        base=base,
        axes={"knowledge": ["none", "logits", "embedding"], "mapping": ["first", "last"]},
    )
    assert (found.cells, len(found.runs)) == (6, 3)
    labels = {run.labels["knowledge"]: run.labels for run in found.runs.values()}
    assert {labels[k]["mapping"] for k in labels} == {"-"}
    assert labels["none"]["temperature"] == labels["embedding"]["temperature"] == "-"
    assert len(grid(base=base | {"knowledge": "hidden"}, axes={"temperature": [1, 4]}).runs) == 1
    assert len(grid(base=base | {"knowledge": "none"}, axes={"hard_weight": [0, 1]}).runs) == 1


def test_equal_layer_pairs_are_one_run_that_carries_both_names(grid):
    found = grid(
        base={"student": "12L-768", "task": "rte", "knowledge": "hidden"},
        axes={"mapping": ["first", "last", "uniform", "reverse"]},
    )
    assert sorted(run.labels["mapping"] for run in found.runs.values()) == [
        "first = last = uniform",
        "reverse",
    ]


def test_each_name_of_a_run_is_said_once(grid):
    base = {"student": "12L-768", "task": "rte", "knowledge": "hidden"}
    axes = {"mapping": ["first", "last"], "probability_shift": [False, True]}
    assert only(grid(base=base, axes=axes)).labels["mapping"] == "first = last"


def test_one_at_a_time(grid):
    found = grid(
        base={"student": "6L-768", "task": "rte", "knowledge": "hidden", "mapping": "uniform"},
        axes={
            "mapping": ["uniform", "first", "last"],
            "temperature": [1, 2],
            "student": ["6L-768", "3L-768"],
            "seed": [1, 2],
            "task": ["rte", "cola"],
        },
        design="one-at-a-time",
    )
    # base, first, last, 3L; the temperature cannot matter to `hidden`; 2 seeds x 2 tasks
    assert len(found.runs) == 4 * 4


def test_include_is_crossed_with_task_and_seed(grid):
    found = grid(
        axes={"mapping": ["first", "last"], "seed": [1, 2], "task": ["rte", "cola"]},
        include=[{"knowledge": "none"}, {"knowledge": "logits", "task": "rte"}],
    )
    assert len(found.runs) == 2 * 4 + 4 + 2


def test_include_is_crossed_with_students_that_only_an_axis_names(grid):
    found = grid(
        base={"task": "rte", "knowledge": "logits+hidden"},
        axes={"student": ["6L-768", "3L-768"], "seed": [1, 2]},
        include=[{"knowledge": "none"}],
    )
    assert len(found.runs) == 4 + 4


@pytest.mark.parametrize("design", ["factorial", "one-at-a-time"])
def test_include_adds_a_control_for_every_student_also_where_the_base_names_one(grid, design):
    found = grid(
        base={"student": "6L-768", "task": "rte", "knowledge": "logits+hidden"},
        axes={"student": ["6L-768", "3L-768"], "mapping": ["first", "last"], "seed": [1, 2]},
        include=[{"knowledge": "none"}, {"knowledge": "logits", "student": "3L-768"}],
        design=design,
    )
    controls = [
        (run.labels["knowledge"], run.labels["student"][:2], run.labels["seed"])
        for run in found.runs.values()
        if run.labels["knowledge"] in ("none", "logits")
    ]
    expected = [("none", student, seed) for student in ("6L", "3L") for seed in ("1", "2")]
    assert sorted(controls) == sorted([*expected, ("logits", "3L", "1"), ("logits", "3L", "2")])


def test_include_adds_a_control_for_every_teacher(grid):
    found = grid(
        teachers={
            name: {"model": f"google-bert/{name}"}
            for name in ("bert-base-uncased", "bert-base-cased")
        },
        base={"student": "6L-768", "task": "rte", "teacher": "bert-base-uncased"},
        axes={"teacher": ["bert-base-uncased", "bert-base-cased"], "knowledge": ["hidden"]},
        include=[{"knowledge": "logits"}],
    )
    assert sorted((r.labels["knowledge"], r.labels["teacher"]) for r in found.runs.values()) == [
        (knowledge, teacher)
        for knowledge in ("hidden", "logits")
        for teacher in ("bert-base-cased", "bert-base-uncased")
    ]


def test_a_control_is_not_added_where_its_student_is_excluded(grid):
    axes = {"student": ["6L-768", "3L-768"], "task": ["rte", "cola"], "mapping": ["first", "last"]}
    found = grid(
        axes=axes,
        exclude=[{"student": "3L-768", "task": "cola"}, {"mapping": "first", "task": "rte"}],
        include=[{"knowledge": "none"}],
    )
    controls = [
        (run.labels["student"][:2], run.labels["task"])
        for run in found.runs.values()
        if run.labels["knowledge"] == "none"
    ]
    assert sorted(controls) == [("3L", "rte"), ("6L", "cola"), ("6L", "rte")]
    asked = [{"knowledge": "none", "student": "3L-768", "task": "cola"}]
    found = grid(axes=axes, exclude=[{"student": "3L-768", "task": "cola"}], include=asked)
    assert [r.labels["task"] for r in found.runs.values() if r.labels["knowledge"] == "none"] == [
        "cola"
    ]


def test_an_exclude_that_others_cover_is_no_mistake(grid):
    axes = {"mapping": ["first", "last"], "seed": [1, 2]}
    found = grid(axes=axes, exclude=[{"mapping": "first"}, {"mapping": "first", "seed": 2}])
    assert [reason for _, reason in found.pruned] == ["excluded by exclude[0]"] * 2


def test_what_included_cells_name_varies_too(grid):
    include = [{"knowledge": "none", "epochs": 1}]
    assert grid(axes={"seed": [1, 2]}, include=include).varied == ["knowledge", "epochs", "seed"]


def test_one_at_a_time_needs_a_base_to_vary(grid):
    with pytest.raises(UserError, match=r"base\.student: missing"):
        grid(base={"task": "rte"}, axes={"student": ["6L-768"]}, design="one-at-a-time")


def test_include_gives_back_an_excluded_cell(grid):
    found = grid(
        axes={"temperature": [1, 4], "epochs": [1, 2]},
        exclude=[{"temperature": 1}],
        include=[{"temperature": 1, "epochs": 2}],
    )
    assert (found.cells, len(found.pruned), len(found.runs)) == (4, 1, 3)


def test_embeddings_are_hidden_states_of_layer_0(grid):
    found = grid(axes={"knowledge": ["logits+embedding", "logits+hidden@0-0"]})
    assert len(found.runs) == 1


def labels(found, key):
    return sorted(run.labels[key] for run in found.runs.values())


def test_runs_that_differ_have_labels_that_differ(grid):
    axes = {"knowledge": ["logits:kl+hidden:mse", "logits:ce+hidden:mse"]}
    assert labels(grid(axes=axes), "matching") == ["ce+mse", "mse"]
    axes = {"knowledge": [f"hidden:mse+cls:cosine+attention:{m}" for m in ("mse", "cosine")]}
    assert labels(grid(axes=axes), "matching") == ["mse+cosine+cosine", "mse+cosine+mse"]
    # Runs with equal label columns are separated by their whole objective.
    axes = {"knowledge": ["hidden:mse@1-1+cls:mse@2-2", "hidden:mse@2-2+cls:mse@1-1"]}
    assert len(set(labels(grid(axes=axes), "mapping"))) == 2


def test_two_runs_whose_labels_are_alike_are_named_by_their_objective(grid):
    axes = {"knowledge": ["logits", "logits+hidden"], "seed": [1]}
    one, two = grid(axes=axes).runs.values()
    found = _told_apart({"one": one, "two": replace(two, labels=one.labels)})
    assert {key: run.labels["knowledge"] for key, run in found.items()} == {
        "one": one.objective,
        "two": two.objective,
    }
    assert _told_apart({"one": one, "two": two}) == {"one": one, "two": two}


def test_labels_of_a_run_that_several_cells_are(grid):
    """Each value is there once."""
    base = {"student": "12L-768", "task": "rte", "knowledge": "hidden"}
    axes = {"mapping": ["first", "last", "uniform"], "probability_shift": [False, True]}
    run = only(grid(base=base, axes=axes))
    assert parts(run.labels["mapping"]) == ["first", "last", "uniform"]
    assert merged(run.labels, run.labels) == run.labels


@pytest.mark.parametrize("name", ["-", "./a = b", "org/a = b"])
def test_a_name_that_reads_as_a_mark_of_the_tables_is_refused(grid, name):
    with pytest.raises(UserError, match=r"axes\.init\[1\]: found .*, (allowed: text|which stands)"):
        grid(axes={"init": ["random", f"pretrained:{name}"]})


def test_a_pretrained_start_is_labelled_by_its_model(grid):
    model = "google/bert_uncased_L-6_H-768_A-12"
    assert labels(grid(axes={"init": ["random", f"pretrained:{model}"]}), "init") == [
        model,
        "random",
    ]


def test_relations_say_their_heads_and_others_have_none(grid):
    axes = {"knowledge": ["value-relation", "hidden"], "relation_heads": [12, 24]}
    found = {
        (r.labels["knowledge"], r.labels["relation_heads"]) for r in grid(axes=axes).runs.values()
    }
    assert found == {("value-relation", "12"), ("value-relation", "24"), ("hidden", "-")}


def test_a_value_that_never_runs_has_the_most_frequent_reason(grid):
    found = grid(
        axes={"mapping": ["first", "last"], "seed": [1, 2, 3]},
        exclude=[{"mapping": "first", "seed": 1}, {"mapping": "first", "seed": [2, 3]}],
    )
    assert pruned_values(found) == [("mapping", "first", "excluded by exclude[1]")]


def test_exclude_takes_lists_and_says_which(grid):
    found = grid(
        axes={"mapping": ["first", "last", "uniform"], "seed": [1, 2]},
        exclude=[{"mapping": ["first", "last"], "seed": 2}],
    )
    assert [reason for _, reason in found.pruned] == ["excluded by exclude[0]"] * 2
    assert len(found.runs) == 4
    with pytest.raises(UserError, match=r"exclude\[0\]: no cell matches"):
        grid(exclude=[{"mapping": "reverse"}])


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ({"student": "4L-256", "knowledge": "attention"}, "head-mean-kl does not need them equal"),
        ({"knowledge": "logits+hidden", "matching": "cosine"}, "logits has no matching cosine"),
        ({"knowledge": "hidden:kl"}, "hidden has no matching kl"),
        ({"student": "6L-384", "init": "teacher-first"}, r"teacher-first\+truncate"),
        ({"student": "6L-1024", "init": "teacher-first+truncate"}, "can only cut"),
        ({"student": "16L-768", "init": "teacher-uniform"}, "has only 12"),
        ({"knowledge": "hidden", "mapping": "13-1"}, "pairs teacher layer 13"),
        ({"knowledge": "attention", "mapping": "0-0"}, "has layers 1 to 12"),
        ({"task": "stsb", "knowledge": "logits:kl"}, "logits of a regression has no matching kl"),
        ({"student": "4L-256", "init": "pretrained:google/bert_uncased_L-2_H-128_A-2"}, "shape"),
        ({"knowledge": "hidden@uniform+hidden:mse"}, "two terms are the same"),
        ({"knowledge": "hidden@emd+hidden:mse@emd*2"}, "two terms are the same"),
        ({"knowledge": "logits:logit-std"}, "with fewer than 3 classes teaches nothing"),
        ({"knowledge": "logits:dkd"}, "with fewer than 3 classes is logits:kl: the part between"),
        ({"knowledge": "logits:ranknet"}, "with fewer than 3 classes is logits:kl: there is one"),
        (
            {"knowledge": "layer-relation", "student": "2L-768"},
            "relates at least 3 different layers that stay mapped, but mapping uniform has 2",
        ),
        ({"knowledge": "layer-relation", "mapping": "all-to-one"}, "mapping all-to-one has 1"),
        (
            {"knowledge": "layer-relation", "mapping": "random-in-block"},
            "mapping random-in-block has pairs that change",
        ),
        (
            {"knowledge": "layer-relation", "mapping": "attention-weighted"},
            "mapping attention-weighted has pairs that change",
        ),
        (
            {"knowledge": "attention", "mapping": "attention-weighted"},
            "mixes the outputs of layers, and attention has none",
        ),
        (
            {"knowledge": "cls:contrastive", "mapping": "attention-weighted"},
            "cls:contrastive projects both sides, so attention-weighted cannot mix them",
        ),
        (
            {"knowledge": "hidden@pkd-skip", "student": "1L-768"},
            "mapping pkd-skip leaves the last layer out, and the student has no other",
        ),
        (
            {"knowledge": "hidden", "mapping": "all-to-14"},
            "pairs teacher layer 14 with .* layer 1,",
        ),
        ({"knowledge": "hidden", "mapping": "last-to-13"}, "pairs teacher layer 13 with"),
        (
            {"knowledge": "logits*1%20-50", "hard_weight": 0},
            "nothing is learned from 0 to 20 % of the training: every weight is 0 there",
        ),
        (
            {"knowledge": "logits*1%0-50+hidden*0..1%0-40", "hard_weight": "1%60-100"},
            "nothing is learned from 50 to 60 %",
        ),
        (
            {"student": "12L-768", "init": "teacher-last", "weights": "calibrated"},
            "weights calibrated need gradients at step 0, but init teacher-last starts",
        ),
        (
            {
                **{"knowledge": "teacher-classifier", "student": "12L-768"},
                **{"init": "teacher-last", "weights": "calibrated"},
            },
            "as a copy of what teacher-classifier compares",
        ),
        (
            {"knowledge": "teacher-classifier", "student": "6L-384", "projection": "none"},
            "teacher-classifier:mse has a student of width 384 and a teacher of width 768",
        ),
        (
            {"knowledge": "teacher-classifier:cosine"},
            r"teacher-classifier has no matching cosine \(it has mse, kl, ce,",
        ),
        (
            {"knowledge": "hidden", "student": "6L-384", "projection": "none"},
            "hidden:mse has a student of width 384 and a teacher of width 768",
        ),
        (
            {"knowledge": "embedding", "student": "6L-384", "projection": "none"},
            "projection none compares vectors of equal width",
        ),
        (
            {"knowledge": "cls:contrastive", "student": "6L-384", "projection": "none"},
            "projection none compares vectors of equal width",
        ),
        (
            {"knowledge": "logits*1%0-50+hidden", "weights": "balanced"},
            r"balanced go by the loss of the logits, .* first step to the last; it is 1%0-50",
        ),
        (
            {"knowledge": "logits*0..1+hidden", "weights": "balanced"},
            "balanced go by the loss of the logits",
        ),
        (
            {"knowledge": "hidden", "hard_weight": 0, "weights": "balanced"},
            "balanced go by the loss of the hard labels",
        ),
        (
            {"knowledge": "logits+logits:mse+hidden", "weights": "balanced"},
            "but 2 terms compare logits",
        ),
    ],
)
def test_cells_without_meaning_are_pruned_with_a_reason(grid, base, reason):
    full = {"student": "6L-768", "task": "rte", **base}
    with pytest.raises(UserError, match=reason):
        grid(base=full, axes={"seed": [1]})


@pytest.mark.parametrize(
    "base",
    [
        {"knowledge": "layer-relation", "student": "3L-768"},
        {"knowledge": "logits*1%0-50+hidden*1%50-100", "hard_weight": 0},
        {"knowledge": "logits*0..1", "hard_weight": 0},
        {"knowledge": "none", "hard_weight": "1%50-100"},
        {"knowledge": "logits:logit-std", "task": "mnli"},
        {"knowledge": "hidden", "student": "12L-768", "init": "teacher-last"},
        {"knowledge": "hidden", "init": "teacher-last", "weights": "calibrated"},
        {"knowledge": "teacher-classifier", "init": "teacher-first", "weights": "calibrated"},
        {"knowledge": "teacher-classifier", "projection": "none"},
        {"knowledge": "logits*1..0+hidden*1%50-100", "hard_weight": 0, "weights": "balanced"},
        {"knowledge": "hidden", "hard_weight": "1..0", "weights": "balanced"},
        {"knowledge": "hidden", "student": "1L-768", "mapping": "attention-weighted"},
        {"knowledge": "token-triplet-angle", "mapping": "attention-weighted"},
        {"knowledge": "attention", "student": "12L-768", "mapping": "progressive"},
    ],
)
def test_what_is_near_to_being_pruned_is_not(grid, base):
    assert only(grid(base={"student": "6L-768", "task": "rte", **base}, axes={"seed": [1]}))


@pytest.mark.parametrize(
    "knowledge",
    ["none", "logits", "teacher-classifier", "hidden", "cls", "attention", "layer-relation"],
)
def test_regressions_take_part_in_everything(grid, knowledge):
    base = {"student": "6L-768", "task": "stsb", "knowledge": knowledge}
    assert only(grid(base=base, axes={"seed": [1]}))


def test_every_other_cell_survives_a_pruned_one(grid):
    found = grid(
        base={"student": "6L-768", "task": "rte"},
        axes={"knowledge": ["logits", "hidden", "attention"], "matching": ["mse", "cosine", "kl"]},
    )
    assert (found.cells, len(found.pruned), len(found.runs)) == (9, 2, 7)


def test_regressions_learn_the_teachers_score(grid):
    run = only(grid(base={"student": "6L-768", "task": "stsb"}, axes={"seed": [1]}))
    assert run.objective == "logits:mse"
    assert run.labels["temperature"] == "-"


def test_as_many_tokens_as_the_teacher_can_read_are_not_too_many(grid):
    base = {"student": "6L-768", "task": "rte"}
    assert only(grid(base=base | {"max_length": 512}, axes={"seed": [1]}))
    with pytest.raises(UserError, match="max_length 513 is above the 512 tokens"):
        grid(base=base | {"max_length": 513}, axes={"seed": [1]})


def test_weights_that_are_calibrated_are_shares_of_their_sum(grid):
    base = {"student": "6L-768", "task": "rte", "weights": "calibrated", "hard_weight": 1}
    run = only(grid(base=base | {"knowledge": "logits*1+hidden:mse@12-6*2"}, axes={"seed": [1]}))
    assert run.objective == "hidden:mse@12-6*0.5 + logits:kl*0.25"
    assert run.spec["hard_weight"] == 0.25


# --- what cannot matter ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "key", "values"),
    [
        ({"knowledge": "hidden"}, "temperature_schedule", ["constant", "flsw", "cwsm"]),
        ({"knowledge": "logits:mse"}, "temperature_schedule", ["constant", "flsw"]),
        ({"knowledge": "hidden"}, "probability_shift", [False, True]),
        ({"knowledge": "teacher-classifier"}, "temperature", [1, 2]),
        ({"knowledge": "teacher-classifier"}, "mapping", ["first", "last"]),
        ({"knowledge": "teacher-classifier"}, "projection", ["per-pair", "orthogonal", "none"]),
        ({"task": "stsb"}, "probability_shift", [False, True]),
        ({"task": "stsb"}, "temperature_schedule", ["constant", "cwsm"]),
        ({"knowledge": "none"}, "weights", ["fixed", "calibrated", "balanced"]),
        ({"knowledge": "logits*0..1"}, "weights", ["fixed", "balanced"]),
        ({"knowledge": "none"}, "hard_weight", [1, 0, "0..1"]),
        ({"knowledge": "none"}, "errata", ["none", "padding+teacher-in-training"]),
        ({"knowledge": "logits"}, "errata", ["none", "padding", "double-softmax"]),
        ({"knowledge": "cls"}, "errata", ["none", "padding", "double-softmax"]),
        ({"knowledge": "attention-scores"}, "errata", ["none", "double-softmax"]),
        ({"knowledge": "logits:mse"}, "errata", ["none", "no-tau-squared"]),
        ({"temperature": 1}, "errata", ["none", "no-tau-squared"]),
        ({"temperature_schedule": "flsw"}, "errata", ["none", "no-tau-squared"]),
        ({"knowledge": "hidden"}, "errata", ["none", "reversed-last-k"]),
        ({"knowledge": "hidden@last"}, "errata", ["none", "reversed-last-k"]),
        ({"knowledge": "hidden@last-1"}, "errata", ["none", "reversed-last-k"]),
        ({"knowledge": "logits", "mapping": "last-2"}, "errata", ["none", "reversed-last-k"]),
        ({"knowledge": "hidden@last-to-2"}, "errata", ["none", "reversed-last-k"]),
        ({"student": "12L-768"}, "mapping", ["uniform", "random-in-block", "random-per-epoch"]),
    ],
)
def test_a_value_that_cannot_matter_gives_the_same_run(grid, base, key, values):
    base = {"student": "6L-768", "task": "rte", **base}
    found = grid(base=base, axes={key: values})
    assert not found.pruned
    assert ids(found) == ids(grid(base=base, axes={"seed": [1]}))


def test_a_scratch_teacher_has_no_dropout_to_leave_on(tmp_path):
    study = tiny_study(axes={"errata": ["none", "teacher-in-training"]})
    assert len(load_grid(write_study(tmp_path, study)).runs) == 1


def test_errata_have_one_spelling_and_those_that_cannot_matter_are_dropped(grid):
    base = {"student": "6L-768", "task": "rte", "knowledge": "attention+hidden"}
    spellings = ["padding+double-softmax", "double-softmax + padding"]
    found = [only(grid(base=base | {"errata": e}, axes={"seed": [1]})) for e in spellings]
    assert found[0].id == found[1].id
    assert found[0].spec["errata"] == "double-softmax+padding"
    with pytest.raises(UserError, match=r"errata\[1\].* is there twice"):
        grid(base=base, axes={"errata": spellings})
    both = grid(base=base | {"knowledge": "hidden"}, axes={"errata": [spellings[0], "padding"]})
    assert only(both).labels["errata"] == "padding"


def test_last_k_reversed_is_the_pairs_reversed(grid):
    base = {"student": "6L-768", "task": "rte"}
    wrong = {"knowledge": "hidden@last-2", "errata": "reversed-last-k"}
    run = only(grid(base=base | wrong, axes={"seed": [1]}))
    assert run.objective == "hidden:mse@12-5,11-6"
    assert run.labels["errata"] == "reversed-last-k"
    explicit = base | {"knowledge": "hidden@12-5,11-6"}
    assert run.id == only(grid(base=explicit, axes={"seed": [1]})).id
    right = only(grid(base=base | {"knowledge": "hidden@last-2"}, axes={"seed": [1]}))
    assert right.id != run.id and right.objective == "hidden:mse@11-5,12-6"


@pytest.mark.parametrize("mapping", ["last-1", "last"])
def test_an_erratum_that_changes_no_pair_is_not_named(grid, mapping):
    base = {"student": "6L-768", "task": "rte", "knowledge": f"hidden@{mapping}"}
    found = grid(base=base, axes={"errata": ["none", "reversed-last-k"]})
    assert only(found).labels["errata"] == "none"


def test_mappings_without_a_choice_are_the_static_one(grid):
    base = {"student": "12L-768", "task": "rte", "knowledge": "hidden"}
    names = ["uniform", "random-in-block", "random-per-epoch"]
    run = only(grid(base=base, axes={"mapping": names}))
    assert run.labels["mapping"] == " = ".join(names)
    assert not run.terms[0].moving
    one = grid(base=base | {"student": "1L-768"}, axes={"mapping": ["uniform", "progressive"]})
    assert len(one.runs) == 1


def test_mappings_that_move_are_runs_of_their_own(grid):
    names = ["uniform", "emd", "attention-weighted", "random-in-block", "progressive"]
    found = grid(
        base={"student": "6L-768", "task": "rte", "knowledge": "hidden"}, axes={"mapping": names}
    )
    assert sorted(run.objective for run in found.runs.values()) == sorted(
        ["hidden:mse@2-1,4-2,6-3,8-4,10-5,12-6", *(f"hidden:mse@{name}" for name in names[1:])]
    )


def test_teacher_identity_is_its_recipe_not_its_name(grid):
    def teacher_ids(**teachers):
        found = grid(teachers=teachers, axes={"seed": [1]})
        return {(run.id, run.teacher.id) for run in found.runs.values()}

    model = {"model": "google-bert/bert-base-uncased"}
    assert teacher_ids(one=model) == teacher_ids(two=model)
    assert teacher_ids(one=model) != teacher_ids(one=model | {"seed": 2})
    assert teacher_ids(one=model) != teacher_ids(one=model | {"revision": "abc"})


def test_the_control_without_teacher_needs_none(grid):
    found = grid(
        teachers={
            "a": {"model": "google-bert/bert-base-uncased"},
            "b": {"model": "google-bert/bert-base-uncased", "epochs": 5},
        },
        base={"student": "6L-768", "task": "rte", "knowledge": "none"},
        axes={"teacher": ["a", "b"]},
    )
    run = only(found)
    assert not run.needs_teacher
    assert run.labels["teacher"] == "a = b"


def test_a_start_from_the_teacher_needs_it_though_nothing_is_distilled(grid):
    base = {"student": "6L-768", "task": "rte", "knowledge": "none", "init": "teacher-first"}
    model = {"model": "google-bert/bert-base-uncased"}
    teachers = {"a": model, "b": model | {"epochs": 5}}
    runs = grid(base=base, teachers=teachers, axes={"teacher": ["a", "b"]}).runs.values()
    assert len(runs) == 2 and all(run.needs_teacher for run in runs)


def test_specs_are_json_and_labels_cover_every_field(grid):
    run = only(grid(base={"student": "6L-768", "task": "rte"}, axes={"seed": [1]}))
    assert json.loads(json.dumps(run.spec)) == run.spec
    assert list(run.labels) == list(RUN_FIELDS)


def test_planning_loads_nothing_heavy(tmp_path):
    path = write_study(tmp_path, study_dict())
    code = (
        "import sys; from kd.cli.main import main;"
        "main(['plan', sys.argv[1]]); main(['runs', sys.argv[1]]);"
        "print([m for m in ('torch', 'pandas', 'numpy', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_raised_recipe_changes_every_id(tmp_path, monkeypatch):
    path = write_study(tmp_path, study_dict())
    before = load_grid(path)
    monkeypatch.setattr("kd.study.cells.RECIPE", 2)
    after = load_grid(path)
    assert not set(before.runs) & set(after.runs)
    assert all(run.spec["recipe"] == 2 for run in after.runs.values())


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/studies").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_value_of_a_shipped_study_runs(path):
    assert pruned_values(load_grid(path)) == []


@pytest.mark.parametrize(
    ("model", "marked"),
    [("albert/albert-base-v2", {"rte"}), ("google-bert/bert-base-uncased", set())],
)
def test_runs_that_had_no_segments_have_other_ids(grid, model, marked):
    """Pairs of ALBERT, for which transformers 5 makes none unless it is asked."""
    axes = {"task": ["rte", "sst2"], "knowledge": ["none", "logits"], "seed": [1]}
    base = {"student": "6L-768", "init": "random"}
    runs = grid(base=base, axes=axes, teachers={"it": {"model": model}}).runs.values()
    assert {run.task for run in runs} == {"rte", "sst2"}
    for run in runs:
        own = run.spec if run.labels["knowledge"] == "none" else run.spec["teacher"]
        assert ("segments" in own) == ("segments" in run.teacher.identity) == (run.task in marked)


def test_errata_of_padding_mark_their_runs(grid):
    """Their batches are padded to max_length."""
    base = {"student": "6L-768", "task": "rte", "knowledge": "attention"}
    axes = {"errata": ["none", "padding", "double-softmax", "teacher-in-training"], "seed": [1]}
    runs = grid(base=base, axes=axes).runs.values()
    marked = {run.labels["errata"] for run in runs if "padded" in run.spec}
    assert len(runs) == 4 and marked == {"padding", "double-softmax"}
