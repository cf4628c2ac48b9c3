"""Outputs of fine-tuned models: which is which label, and whether the teacher knows its task."""

from dataclasses import replace

import pytest
from model_files import edit, write_encoder
from studies import study_dict, write_study

from kd.axes.constant_answer import is_unusable, teacher_warning
from kd.axes.kinds import SCORES
from kd.axes.tasks import TASKS
from kd.encoders import facts
from kd.encoders.label_order import label_order, stated_order
from kd.runtime.errors import UserError
from kd.study.grid import load_grid


@pytest.mark.parametrize(
    ("task", "names", "order"),
    [
        ("sst2", ["NEGATIVE", "POSITIVE"], (0, 1)),
        ("sst2", ["POSITIVE", "NEGATIVE"], (1, 0)),
        ("sst2", ["Pos", "neg"], (1, 0)),
        ("cola", ["acceptable", "unacceptable"], (1, 0)),
        ("mrpc", ["equivalent", "not_equivalent"], (1, 0)),
        ("mrpc", ["not_equivalent", "equivalent"], (0, 1)),
        ("qqp", ["not duplicate", "duplicate"], (0, 1)),
        ("rte", ["NOT ENTAILMENT", "ENTAILMENT"], (1, 0)),
        ("rte", ["non-entailment", "Entailment"], (1, 0)),
        ("qnli", ["entailment", "not_entailment"], (0, 1)),
        ("wnli", ["not_entailment", "entailment"], (0, 1)),
        ("mnli", ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], (2, 1, 0)),
        ("mnli", ["contradiction", "entailment", "neutral"], (1, 2, 0)),
        ("mnli", ["LABEL_0", "LABEL_1", "LABEL_2"], (0, 1, 2)),
        ("rte", ["LABEL_1", "LABEL_0"], (1, 0)),
        ("sst2", [1, 0], (1, 0)),
        ("mnli", ["entailment", "neutral", "LABEL_2"], (0, 1, 2)),
        # Not understood: never by position.
        ("sst2", ["bad", "good"], None),
        ("rte", ["entailment", "entailment"], None),
        ("rte", ["entailment", "LABEL_0"], None),
        ("mnli", ["entailment", "neutral"], None),
        ("mnli", ["a", "b", "c"], None),
        ("sst2", ["entailment", "not_entailment"], None),
        ("sst2", [], None),
        ("sst2", ["negative", "positive", "mixed"], None),
        ("sst2", ["mixed", "negative", "positive"], None),
    ],
)
def test_the_order_that_names_say(task, names, order):
    """order[official label] is the model's output."""
    assert label_order(names, TASKS[task]) == order


@pytest.mark.parametrize(
    ("labels", "names", "order"),
    [
        (("-1", "0", "1"), [1, 0, -1], (2, 1, 0)),
        (("C", "C#", "C++"), ["C", "C++", "C#"], (0, 2, 1)),
        (("1.0", "2.0"), ["1.0", "2.0"], (0, 1)),
        (("1", "0"), ["0", "1"], (1, 0)),
        (("1", "2"), ["LABEL_0", "LABEL_1"], (0, 1)),
    ],
)
def test_names_that_are_the_labels_say_the_order(labels, names, order):
    """Also where only signs tell them apart, or where they are numbers."""
    assert label_order(names, replace(TASKS["sst2"], labels=labels, names=())) == order


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.kind is not SCORES])
def test_every_name_of_a_label_is_its_own(task):
    """In any spelling; and official names in official order are left alone."""
    row = TASKS[task]
    assert label_order(row.labels, row) == tuple(range(row.outputs))
    assert len(row.names) in (0, row.outputs)
    for label, names in enumerate(row.names):
        for name in names:
            others = [row.labels[i] for i in range(row.outputs) if i != label]
            order = label_order([name.upper().replace("_", " "), *others], row)
            assert order is not None and order.index(0) == label, name


def test_an_order_that_is_no_order():
    with pytest.raises(UserError, match=r"found positive, good, allowed: each label of SST-2 once"):
        stated_order(["positive", "good"], TASKS["sst2"])
    with pytest.raises(UserError, match="would change nothing: STS-B has no labels"):
        stated_order(["0"], TASKS["stsb"])


# --- in a study -------------------------------------------------------------------------------


def teacher_of(tmp_path, folder, task="sst2", **keys):
    facts.encoder.cache_clear()
    teacher = {"model": str(folder), "finetuned": True, **keys}
    base = {"student": "2L-16-2h-32", "task": task, "knowledge": "logits"}
    study = study_dict(teachers={"t": teacher}, base=base, axes={"seed": [1]})
    (run,) = load_grid(write_study(tmp_path, study)).runs.values()
    return run.teacher


def test_names_of_a_folder_are_understood_at_plan(tmp_path):
    folder = write_encoder(tmp_path / "t", id2label={"0": "POSITIVE", "1": "NEGATIVE"})
    assert teacher_of(tmp_path, folder).order == (1, 0)
    edit(folder / "config.json", id2label={"0": "bad", "1": "good"})
    with pytest.raises(UserError, match=r"teachers\.t: .*config\.json: id2label: found bad, good"):
        teacher_of(tmp_path, folder)
    assert teacher_of(tmp_path, folder, labels=["negative", 1]).order == (0, 1)
    assert teacher_of(tmp_path, folder, labels={"sst2": [1, 0], "rte": [0, 1]}).order == (1, 0)
    edit(folder / "config.json", id2label=None)
    assert teacher_of(tmp_path, folder).order == (0, 1), "LABEL_0 and LABEL_1"


@pytest.mark.parametrize(
    ("label2id", "agrees"),
    [
        ({"POSITIVE": 0, "NEGATIVE": 1}, True),
        ({"pos": "0", "neg": "1"}, True),
        ({"LABEL_0": 0, "LABEL_1": 1}, True),
        ({"good": 1}, True),
        ({"POSITIVE": 1, "NEGATIVE": 0}, False),
        ({"neg": 0}, False),
    ],
)
def test_label2id_that_contradicts_id2label(tmp_path, label2id, agrees):
    names = {"0": "POSITIVE", "1": "NEGATIVE"}
    folder = write_encoder(tmp_path / "t", id2label=names, label2id=label2id)
    if agrees:
        assert teacher_of(tmp_path, folder).order == (1, 0)
    else:
        with pytest.raises(UserError, match=r"config\.json: label2id: found .* id2label calls"):
            teacher_of(tmp_path, folder)
    assert teacher_of(tmp_path, folder, labels=["pos", "neg"]).order == (1, 0)


def test_generic_names_that_label2id_contradicts(tmp_path):
    """id2label's LABEL_0 stands for negative, the first label of SST-2."""
    names = {"0": "LABEL_0", "1": "LABEL_1"}
    folder = write_encoder(tmp_path / "t", id2label=names, label2id={"positive": 0, "negative": 1})
    with pytest.raises(
        UserError, match=r"found positive for output 0, which id2label calls LABEL_0"
    ):
        teacher_of(tmp_path, folder)


def test_a_stated_order_is_part_of_the_id_where_it_changes_something(tmp_path):
    folder = write_encoder(tmp_path / "t", id2label={"0": "POSITIVE", "1": "NEGATIVE"})
    plain = teacher_of(tmp_path, folder)
    assert teacher_of(tmp_path, folder, labels=["pos", "neg"]).id == plain.id
    other = teacher_of(tmp_path, folder, labels=["neg", "pos"])
    assert (other.id != plain.id, other.order) == (True, (0, 1)), "what the study says counts"


def test_labels_of_a_hub_model_are_stated_or_read_when_it_is_loaded(tmp_path):
    plain = teacher_of(tmp_path, "google-bert/bert-base-uncased", "mnli")
    stated = ["contradiction", "entailment", "neutral"]
    other = teacher_of(tmp_path, "google-bert/bert-base-uncased", "mnli", labels=stated)
    assert (plain.order, other.order, plain.id == other.id) == (None, (1, 2, 0), False)


@pytest.mark.parametrize(
    ("keys", "task", "message"),
    [
        ({"labels": "positive"}, "sst2", r"teachers\.t\.labels: found 'positive', allowed: the"),
        ({"labels": []}, "sst2", r"teachers\.t\.labels: found \[\]"),
        ({"labels": [True, False]}, "sst2", r"teachers\.t\.labels: found \[True, False\]"),
        ({"labels": {"sst": [0, 1]}}, "sst2", r"teachers\.t\.labels: task: found 'sst'.*sst2\?"),
        ({"labels": [0]}, "sst2", r"teachers\.t: labels: found 0, allowed: each label of SST-2"),
        ({"labels": [0, 1], "finetuned": False}, "sst2", "only a fine-tuned model has an order"),
    ],
)
def test_labels_that_say_nothing(tmp_path, keys, task, message):
    with pytest.raises(UserError, match=message):
        teacher_of(tmp_path, write_encoder(tmp_path / "t"), task, **keys)


# --- teachers that know nothing ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "record", "words", "unusable"),
    [
        ("sst2", {"score": 0.9, "majority_score": 0.5}, "", False),
        ("sst2", {"score": 0.0, "majority_score": 0.509}, "scores 0.0 on SST-2, below", True),
        ("sst2", {"score": 0.509, "majority_score": 0.509}, "no more than the best", False),
        ("cola", {"score": -0.5, "majority_score": 0.0}, "scores -50.0 on CoLA, below", True),
        ("stsb", {"score": 0.88, "majority_score": 0.0, "r2": 0.7}, "", False),
        ("stsb", {"score": 0.88, "majority_score": 0.0, "r2": -2.3}, "on the scale of", True),
        ("rte", {"score": 0.6}, "", False),
    ],
)
def test_a_teacher_against_the_constant_answer(task, record, words, unusable):
    warning = teacher_warning(TASKS[task], record)
    assert words in warning and bool(warning) == bool(words)
    if "majority_score" in record:
        assert is_unusable(record) == unusable


def test_what_to_check_depends_on_who_trained():
    bad = {"score": 0.1, "majority_score": 0.5}
    assert "order of its labels" in teacher_warning(TASKS["rte"], {**bad, "finetuned": True})
    assert "learning rate" in teacher_warning(TASKS["rte"], {**bad, "finetuned": False})
