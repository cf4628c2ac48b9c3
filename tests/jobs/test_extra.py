"""Extra examples, which the teacher labels: from an augmentation or a transfer set to a student."""

import json
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
import torch
from helpers import save_encoder
from studies import SYNTHETIC, study_dict, write_study
from transformers import AutoModelForMaskedLM

import kd.jobs.extra
from kd.axes.tasks import TASKS
from kd.data.extra import ORIGINAL, TRANSFERRED, key_of, write_extra
from kd.data.extra import with_extras as with_extra_rows
from kd.data.generated import generate
from kd.data.subset import examples_of, with_extras
from kd.data.tokens import labels_tensor, load_split
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.extra import run_extra
from kd.jobs.outputs import run_outputs
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.monitor.plan import plan
from kd.runtime.errors import UserError
from kd.runtime.signals import Stopped
from kd.study.grid import load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import Layout
from kd.study.teacher_outputs import need_of

TRAIN = 16
AUGMENTED = {"augmentation": "word-replacement", "augmentation_factor": 2}
AUGMENTED |= {"augmentation_candidates": 5}
SINGLE = [("word-replacement", "none"), ("none", "texts")]
BASE = {
    "student": "2L-16-2h-32",
    "task": "toy-single",
    "knowledge": "logits",
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tiny encoder with the head of a masked language model, and texts without labels."""
    folder = save_encoder(tmp_path_factory.mktemp("extra") / "deep", "bert").parent
    AutoModelForMaskedLM.from_pretrained(folder / "deep").save_pretrained(folder / "deep")
    rows = generate("toy-single", "train", TRAIN + 34)[TRAIN:]
    own = generate("toy-single", "dev", 1)
    texts = [row["sentence1"] for row in (*rows, rows[0], *own)]
    (folder / "texts.txt").write_text("\n\n".join(texts))
    pairs = [{"a": one, "b": two} for one, two in pairwise(texts)]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    return folder


def study_of(folder, base=None, name="study.yaml", **changes):
    study = {
        "data": {**SYNTHETIC, "train": TRAIN, "dev": 16},
        "teachers": {"deep": {"model": "./deep", "epochs": 1}},
        "transfer": {"texts": {"files": "texts.txt"}},
        "base": {**BASE, **(base or {})},
        "axes": {"augmentation": ["none", "word-replacement"]},
    }
    return write_study(folder, study_dict(**{**study, **changes}), name)


@pytest.fixture(scope="module")
def made(home, tmp_path_factory):
    """The tokens of runs with an augmentation, with a transfer set, with both, and with the set
    alone."""
    base = {k: v for k, v in AUGMENTED.items() if k != "augmentation"}
    axes = {"augmentation": ["none", "word-replacement"], "transfer": ["none", "texts"]}
    include = [{"augmentation": "none", "transfer": "alone:texts", "compare_at": "epochs"}]
    grid = load_grid(study_of(home, base, axes=axes, include=include))
    layout = Layout(tmp_path_factory.mktemp("made"))
    first = next(iter(grid.runs.values()))
    prepare_task(grid, layout, first.task)
    for extra in {extra.id for run in grid.runs.values() for extra in run.extras}:
        run_extra(grid, layout, first.task, extra, threads=1)
    for tokens in {run.tokens_id for run in grid.runs.values()}:
        run_tokenise(grid, layout, first.task, tokens)
    runs = {(r.labels["augmentation"], r.labels["transfer"]): r for r in grid.runs.values()}
    return grid, layout, runs


def train_of(layout, run):
    return load_split(layout.tokens(run.data_id, run.task, run.tokens_id), "train")


def extra_of(layout, run):
    (folder,) = layout.extras(run)
    return pd.read_parquet(folder / "extra.parquet"), folder


def words_of(split, row):
    return split.flat["input_ids"][split.offsets[row] : split.offsets[row + 1]].tolist()


def test_augmented_examples_are_marked_by_what_they_are_made_from(made):
    _, layout, runs = made
    run = runs["word-replacement", "none"]
    frame, _ = extra_of(layout, run)
    text = pd.read_parquet(layout.text(run.data_id, run.task) / "train.parquet")
    by_id = text.set_index("id")["sentence1"]
    counts = frame["made_of"].value_counts()
    assert counts.max() == 2 and len(counts) > 12
    for row in frame.itertuples():
        before, after = by_id[row.made_of].split(), row.sentence1.split()
        assert len(before) == len(after) and before != after
    split = train_of(layout, run)
    assert split.made_of.tolist()[:TRAIN] == [ORIGINAL] * TRAIN
    assert split.made_of[TRAIN:].tolist() == [list(text["id"]).index(i) for i in frame["made_of"]]
    assert len(set(split.ids.tolist())) == len(split)
    original = train_of(layout, runs["none", "none"])
    assert all(words_of(split, row) == words_of(original, row) for row in range(TRAIN))
    dev = [load_split(layout.tokens(r.data_id, r.task, r.tokens_id), "dev") for r in runs.values()]
    assert all(torch.equal(dev[0].flat["input_ids"], d.flat["input_ids"]) for d in dev)


def test_texts_of_the_task_and_repeated_ones_are_left_out_and_counted(made):
    _, layout, runs = made
    frame, folder = extra_of(layout, runs["none", "texts"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (frame["made_of"] == TRANSFERRED).all() and frame["sentence1"].is_unique
    assert manifest["repeated"] == 1 and manifest["left_out_of_task"] >= 1
    assert manifest["examples"] + manifest["left_out_of_task"] + 1 == 36


def test_a_set_of_texts_of_the_task_alone_is_named(home, made):
    _, layout, _ = made
    own = generate("toy-single", "train", TRAIN)
    (home / "own.txt").write_text("\n".join(row["sentence1"] for row in own))
    sets = {"mine": {"files": "own.txt"}}
    axes = {"transfer": ["mine"]}
    grid = load_grid(study_of(home, name="own.yaml", transfer=sets, axes=axes))
    (run,) = grid.runs.values()
    key = r"own.yaml: line \d+: transfer.mine: task toy single: found \d+ examples, all of them"
    with pytest.raises(UserError, match=key):
        run_extra(grid, layout, run.task, run.extras[0].id, threads=1)


@pytest.mark.slow
def test_runs_learn_from_extra_examples(made):
    """In as many steps as without them, or in passes over all examples."""
    grid, layout, runs = made
    first = runs["none", "none"]
    run_tokenise(grid, layout, first.task, first.teacher.tokens_id)
    run_teacher(grid, layout, first.teacher.id, threads=1)
    counts = {}
    for key, run in runs.items():
        run_outputs(grid, layout, run.teacher.id, run.tokens_id, need_of(run), threads=1)
        run_distil(grid, layout, run.id, threads=1)
        run_evaluate(grid, layout, run.id, threads=1)
        record = json.loads((layout.run(run) / "metrics.json").read_text())
        assert (record["teacher_outputs_stored"], record["teacher_outputs_computed"]) == (1, 0)
        counts[key] = record["examples_train"], record.get("examples_extra"), record["steps"]
    augmented, texts = (int((train_of(layout, runs[key]).ids < 0).sum()) for key in SINGLE)
    assert counts["none", "none"] == (TRAIN, None, 2)
    assert counts["word-replacement", "none"] == (TRAIN, augmented, 2)
    assert counts["word-replacement", "texts"] == (TRAIN, augmented + texts, 2)
    assert counts["none", "alone:texts"] == (0, texts, -(-texts // 8))
    history = (layout.run(runs["none", "alone:texts"]) / "history.csv").read_text()
    assert history.startswith("step,learning_rate,loss,logits:kl"), "no label is read"


def test_a_killed_augmentation_comes_to_the_same_bits(home, made, tmp_path, monkeypatch):
    _, whole, runs = made
    run = runs["word-replacement", "none"]
    grid, layout = made[0], Layout(tmp_path)
    prepare_task(grid, layout, run.task)
    (extra,) = run.extras
    asked = []

    def dying(*arguments):
        asked.append(len(arguments[0]))
        if len(asked) == 2:
            raise Stopped("dead")
        return variants(*arguments)

    variants = kd.jobs.extra._variants
    monkeypatch.setattr(kd.jobs.extra, "_PART", 6)
    monkeypatch.setattr(kd.jobs.extra, "_variants", dying)
    with pytest.raises(Stopped):
        run_extra(grid, layout, run.task, extra.id, threads=1)
    run_extra(grid, layout, run.task, extra.id, threads=1)
    assert asked == [6, 6, 6, 4], "the first part is made once"
    again, _ = extra_of(layout, run)
    assert again.equals(extra_of(whole, run)[0])
    assert not list(layout.extending(run.data_id, run.task, extra.id).glob("parts"))


def test_nothing_of_a_held_out_example_is_trained_on(made):
    _, layout, runs = made
    run = runs["word-replacement", "texts"]
    split = train_of(layout, run)
    settings = {**run.values, "held_out": 0.25, "train_fraction": 0.5}
    own = examples_of(split, settings, run.task_row.kind)
    assert len(own) == 6 and int(own.max()) < TRAIN
    rows = with_extras(split, own, alone=False)
    sources = split.made_of[rows]
    assert set(sources[sources >= 0].tolist()) <= set(own.tolist())
    assert (sources == TRANSFERRED).sum() == (split.made_of == TRANSFERRED).sum()
    alone = with_extras(split, own, alone=True)
    assert (split.made_of[alone] == TRANSFERRED).all()
    plain = train_of(layout, runs["none", "none"])
    assert torch.equal(own, examples_of(plain, settings, run.task_row.kind)), "other examples"


# --- identity -----------------------------------------------------------------------------------


def only_run(home, base, **changes):
    (run,) = load_grid(study_of(home, base, "x.yaml", axes={"seed": [1]}, **changes)).runs.values()
    return run


def test_the_identity_is_what_the_numbers_depend_on(home, tmp_path):
    none, plain = only_run(home, {}), only_run(home, AUGMENTED)
    assert "extra" not in none.spec and none.tokens_id != plain.tokens_id
    assert none.teacher.id == plain.teacher.id
    others = [
        {"augmentation_factor": 3},
        {"augmentation_probability": 0.2},
        {"augmentation_candidates": 4},
        {"augmentation_seed": 1},
        {"compare_at": "epochs"},
        {"transfer": "texts"},
    ]
    ids = {only_run(home, {**AUGMENTED, **more}).id for more in others}
    assert len({none.id, plain.id} | ids) == 8
    for same in ({"augmentation_seed": 3}, {"compare_at": "epochs"}):
        assert only_run(home, same).id == none.id, same
    assert only_run(home, {**AUGMENTED, "augmentation_model": "./deep"}).id == plain.id
    alone = {"transfer": "alone:texts"}
    assert only_run(home, {**alone, "hard_weight": 3}).id == only_run(home, alone).id
    assert only_run(home, {"transfer": "texts"}).id != only_run(home, alone).id
    (tmp_path / "moved.txt").write_bytes((home / "texts.txt").read_bytes())
    moved = {"other": {"files": str(tmp_path / "moved.txt")}}
    assert (
        only_run(home, {"transfer": "other"}, transfer=moved).id
        == only_run(home, {"transfer": "texts"}).id
    )


def test_the_control_without_a_teacher_has_no_extra_examples(home):
    axes = {"augmentation": ["none", "word-replacement"], "transfer": ["none", "texts"]}
    (run,) = load_grid(study_of(home, {"knowledge": "none"}, axes=axes)).runs.values()
    assert not run.extras and run.labels["compare_at"] == "-"


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ({**AUGMENTED, "transfer": "alone:texts"}, "is of the training set, whose place"),
        ({"transfer": "alone:texts", "knowledge": "none"}, "there is nothing to learn"),
        ({"transfer": "texts", "task": "toy-pair"}, "has 1 text an example, but task .* has 2"),
        ({**AUGMENTED, "weights": "calibrated"}, "a batch may have only extra examples"),
        ({**AUGMENTED, "teacher": "bare"}, "no masked language model head; augmentation_model"),
        ({**AUGMENTED, "teacher": "made"}, "random weights .scratch.; augmentation_model"),
    ],
)
def test_what_has_no_meaning_is_pruned_with_a_reason(home, base, reason):
    if not (home / "bare").is_dir():
        save_encoder(home / "bare", "bert")
    teachers = {"deep": {"model": "./deep"}, "bare": {"model": "./bare"}}
    teachers["made"] = {"model": "scratch", "shape": "3L-32-2h-64"}
    base = {"teacher": "deep", **base}
    with pytest.raises(UserError, match=reason):
        load_grid(study_of(home, base, "x.yaml", teachers=teachers, axes={"seed": [1]}))


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ({"files": "texts.txt"}, "a set has a name"),
        ({"texts": {"files": "no.txt"}}, r"transfer.texts: .*no\.txt"),
        ({"texts": {"files": "texts.txt", "text": "a"}}, "a line is a text"),
        ({"texts": {"files": "pairs.jsonl"}}, "transfer.texts.text: missing"),
        ({"texts": {"files": "pairs.jsonl", "text": "c"}}, r"x.yaml: line \d+: .*'c' is missing"),
        ({"texts": {"files": "pairs.jsonl", "text": 0}}, "allowed: names of columns"),
        ({"texts": {"files": "texts.txt", "fils": 1}}, "did you mean files"),
        ({"other": {"files": "texts.txt"}}, r"base.transfer: found 'texts', allowed: other"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_runs(home, transfer, message):
    with pytest.raises(UserError, match=message):
        check_inputs(load_grid(study_of(home, {"transfer": "texts"}, "x.yaml", transfer=transfer)))


def test_the_plan_counts_what_is_still_to_be_made(home, made, tmp_path):
    grid, layout, runs = made
    fresh, now = plan(grid, Layout(tmp_path)), plan(grid, layout)
    assert (fresh["jobs"]["extra"], now["jobs"]["extra"]) == (2, 0)
    assert {(e["extra"], e["runs"], e["done"]) for e in now["extras"]} == {
        ("word-replacement", 2, True),
        ("texts", 3, True),
    }
    (run,) = [r for k, r in runs.items() if k == ("word-replacement", "none")]
    assert any("extra-" in step for step in layout.before(run))


@pytest.mark.parametrize(
    ("changes", "labels", "missing"),
    [
        ({}, [1, 0], -1),
        ({"range": (0.0, 5.0)}, [4.5, 1.0], float("nan")),
        ({"multi": True, "labels": ("a", "b", "c")}, [[0, 2], []], [0, 0, 0]),
    ],
)
def test_extra_examples_have_no_label_of_any_kind(tmp_path, changes, labels, missing):
    task = replace(TASKS["cola"], **changes)
    texts = [("A text.",), ("Another text.",)]
    train = pd.DataFrame({"id": [7, 3], "sentence1": [t for (t,) in texts], "sentence2": None})
    examples = [(3, ("another\ntext .",)), (3, ("Another  TEXT.",)), (TRANSFERRED, ("new",))]
    write_extra(tmp_path / "extra", examples, set(map(key_of, texts)), {})
    frame = with_extra_rows(train.assign(label=labels), [tmp_path / "extra"], task)
    assert frame["made_of"].tolist() == [ORIGINAL, ORIGINAL, 1, TRANSFERRED]
    assert frame["id"].tolist() == [7, 3, -1, -2]
    found = labels_tensor(frame["label"].tolist(), task)
    assert torch.equal(found[:2], labels_tensor(labels, task))
    wanted = torch.tensor(missing).expand_as(found[2:])
    assert torch.equal(found[2:].nan_to_num(-9), wanted.to(found.dtype).nan_to_num(-9))
    with pytest.raises(UserError, match="found 1 examples, all of them texts of the task itself"):
        write_extra(tmp_path / "none", examples[1:2], set(map(key_of, texts)), {})
