"""The key `tasks` of a study: its errors, and the ids of its runs."""

import pandas as pd
import pytest
from model_files import write_encoder
from studies import study_dict, write_study

from kd.data.own_tasks import own_facts, own_identity
from kd.runtime.errors import UserError
from kd.study import tasks
from kd.study.check import load_study
from kd.study.grid import load_grid
from kd.study.run import Run
from kd.study.schema import study_schema

ROWS = [(f"a {i}", f"b {i % 7}", i % 3, i % 5) for i in range(60)]
MINE = {"train": "train.csv", "dev": "dev.csv", "text": "text", "label": "label"}


def own_study(tmp_path, teacher=None, name="study.yaml", **task):
    """A study over a task of its own, whose files lie beside it."""
    frame = pd.DataFrame(ROWS, columns=["text", "other", "label", "score"])
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[:20].to_csv(tmp_path / "dev.csv", index=False)
    if not (tmp_path / "model").exists():
        write_encoder(tmp_path / "model")
    keys = {k: v for k, v in {**MINE, **task}.items() if v is not None}
    study = study_dict(
        tasks={"mine": keys},
        teachers={"t": {"model": "model", **(teacher or {})}},
        base={"student": "1L-16-2h-32", "task": "mine"},
        axes={"knowledge": ["none", "logits"]},
    )
    return write_study(tmp_path, study, name)


def runs_of(path) -> list[Run]:
    return list(load_grid(path).runs.values())


def test_a_run_knows_its_task(tmp_path):
    run = runs_of(own_study(tmp_path))[0]
    assert run.labels["task"] == "mine" and run.task_row.labels == ("0", "1", "2")
    assert (run.task_row.examples, run.task_row.outputs) == (60, 3)
    assert run.id.startswith(f"{run.task}-1l-16-none-") and run.task.startswith("label-")
    assert run.spec["data"]["source"] == "files" and str(tmp_path) not in str(run.spec)


def test_ids_do_not_depend_on_paths_or_names(tmp_path):
    first = [run.id for run in runs_of(own_study(tmp_path))]
    other = tmp_path / "elsewhere"
    other.mkdir()
    path = own_study(other)
    (other / "train.csv").rename(other / "renamed.csv")
    text = path.read_text().replace("train.csv", "renamed.csv").replace("mine", "theirs")
    path.write_text(text)
    assert [run.id for run in runs_of(path)] == first
    (other / "renamed.csv").write_text((other / "renamed.csv").read_text() + "new,b,0,1\n")
    for remembered in (own_identity, own_facts, tasks._whole):
        remembered.cache_clear()
    assert not {run.id for run in runs_of(path)} & set(first)


def test_what_the_labels_of_a_multi_label_task_cannot_be_taught_is_pruned(tmp_path):
    """They are no classes of which one is right."""
    path = own_study(tmp_path, **sets("label"))
    axes = "axes:\n  temperature_schedule: [constant, flsw]\n"
    study = path.read_text().replace("- none", "- logits:dkd").replace("axes:\n", axes)
    path.write_text(study)
    grid = load_grid(path)
    reasons = sorted({reason for _, reason in grid.pruned})
    assert len(grid.runs) == 1 and len(grid.pruned) == 3
    assert reasons[0].startswith(
        "logits of a multi-label task has no matching dkd, which needs one right class for an "
        "example (it has kl, ce, mse, "
    )
    assert reasons[1].startswith("temperature_schedule flsw reads the classes of an example")


def test_keys_that_say_the_same_are_one_run(tmp_path):
    """`labels: {from}` is another spelling of `label`; several labels are another task."""
    plain = {run.id for run in runs_of(own_study(tmp_path))}
    assert {
        run.id for run in runs_of(own_study(tmp_path, **SETS, labels={"from": "label"}))
    } == plain
    assert not {run.id for run in runs_of(own_study(tmp_path, **sets("label")))} & plain


def test_what_has_no_meaning_is_pruned(tmp_path):
    """As for GLUE: a regression has no classes to compare."""
    path = own_study(tmp_path, label="score", regression=[0, 4])
    text = path.read_text().replace("- none", "- logits:kl")
    path.write_text(text)
    grid = load_grid(path)
    assert (
        len(grid.pruned) == 1 and "logits of a regression has no matching kl" in grid.pruned[0][1]
    )
    assert next(iter(grid.runs.values())).task_row.outputs == 1


SETS = {"label": None}


def sets(column, **keys):
    """The keys of a multi-label task."""
    return SETS | {"labels": {"from": column, "multi": True, **keys}}


WRONG = {
    "key": ({"txt": "a"}, r"tasks\.mine: key: found 'txt', allowed: .* \(did you mean text\?\)"),
    "missing": ({"label": None}, r"tasks\.mine: label: missing"),
    "metric": ({"metrics": ["acuracy"]}, r"metrics: found .acuracy., .*mean accuracy\?"),
    "kind": ({"metrics": ["pearson"]}, r"metrics: found 'pearson', allowed: accuracy"),
    "no score": ({"metrics": ["auc"]}, r"metrics: found auc, none of which can be the score"),
    "two": ({"metrics": ["f1"]}, r"metrics: f1 is of two labels, and the task has 3"),
    "format": ({"train": "train.csv.bak", "dev": "train.csv.bak"}, r"format: missing; the name"),
    "formats": ({"dev": "dev.tsv"}, r"format: the files are of several: csv, tsv"),
    "named": ({"format": "cvs"}, r"format: found 'cvs', .*\(did you mean csv\?\)"),
    "encoding": ({"encoding": "utf8x"}, r"encoding: found 'utf8x', allowed: a name such as"),
    "share": ({"dev": {"share": 1}}, r"dev\.share: found 1, allowed: a number above 0 to 0\.9"),
    "dev": ({"dev": {"hard": "dev.csv"}}, r"dev: none is named dev, whose score is the task's"),
    "texts": ({"text": ["a", "b", "c"]}, r"text: found .*, allowed: one column, or a list of two"),
    "range": ({"regression": [5, 1]}, r"regression: found \[5, 1\], allowed: \[lowest, highest\]"),
    "both": ({"regression": [0, 1], "labels": ["a", "b"]}, r"labels: a regression has none"),
    "labels": ({"labels": "a"}, r"labels: found 'a', allowed: a list .* or keys with values: from"),
    "named twice": ({"labels": {"from": "label"}}, r"label: labels.from names the column already"),
    "label key": (SETS | {"labels": {"form": "label"}}, r"labels: key: found 'form', .*mean from"),
    "no column": (SETS | {"labels": {"multi": True}}, r"labels.from: missing"),
    "multi": (SETS | {"labels": {"from": "x", "multi": 1}}, r"labels.multi: found 1, allowed: tr"),
    "separator": (SETS | {"labels": {"from": "x", "separator": "|"}}, r"separator: it needs multi"),
    "no mark": (sets("x", separator=""), r"labels.separator: found '', allowed: text such as ;"),
    "marked": (sets(["a", "b"], separator="|"), r"labels.separator: it is for one column alone"),
    "flags": (SETS | {"labels": {"from": ["a", "b"]}}, r"several columns need multi: true"),
    "flag": (sets(["a"]), r"labels.from: found \['a'\], allowed: two columns or more"),
    "flag twice": (sets(["a", "a"]), r"labels.from: found .*: a column is there twice"),
    "names": (sets(["a", "b"], names=["x", "y", "z"]), r"found 3 names, and .* has 2 columns"),
    "name": (sets("label", names=["x"]), r"labels.names: found .*, allowed: a list of two names"),
    "of sets": ({**sets("label"), "metrics": ["accuracy"]}, r"found 'accuracy', allowed: macro-f1"),
    "of classes": ({"metrics": ["subset-accuracy"]}, r"metrics: found 'subset-accuracy', allowed"),
    "train": ({"dev": {"dev": "dev.csv", "train": "dev.csv"}}, r"dev: found train, .*another name"),
    "no encoding": ({"encoding": "hex"}, r"encoding: found 'hex', allowed: a name such as utf-8"),
    "NUL": ({"encoding": "a\0b"}, r"encoding: found 'a\\x00b', allowed: a name such as utf-8"),
    "hub": ({"hub": "a/b"}, r"train: it is for files alone"),
    "splits": ({"splits": {}}, r"splits: it is for a dataset of the hub \(key hub\) alone"),
    "column": ({"text": "txet"}, r"train\.csv: column 'txet' is missing; .*mean text\?"),
    "file": ({"train": "gone.csv"}, r"gone\.csv: missing; mine needs it as its train split"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_each_mistake_is_one_sentence(tmp_path, case):
    change, message = WRONG[case]
    with pytest.raises(UserError, match=message) as error:
        load_grid(own_study(tmp_path, **change))
    first, *more = str(error.value).split("\n")
    assert all("tasks.mine: " in line for line in more or [first]), error.value
    assert len(more) in (0, 2), "train and dev, where the task names a dataset of the hub"


def test_names_of_tasks(tmp_path):
    path = own_study(tmp_path)
    text = path.read_text()
    for name, message in (
        ("rte", "tasks.rte: the name of a task that is there already"),
        ("My Task", "tasks: found 'My Task', allowed: names of"),
    ):
        path.write_text(text.replace("mine:", f"{name}:"))
        with pytest.raises(UserError, match=message):
            load_study(path)
    path.write_text(text.replace("task: mine", "task: mien"))
    with pytest.raises(UserError, match=r"base\.task: found 'mien'.*\(did you mean mine\?\)"):
        load_study(path)


def test_scratch_has_no_words_for_real_text(tmp_path):
    with pytest.raises(UserError, match="scratch has a vocabulary only for generated tasks"):
        load_grid(own_study(tmp_path, {"model": "scratch", "shape": "2L-16-2h-32"}))


def test_a_study_is_read_where_its_files_are_not(tmp_path):
    """Its results are drawn on machines that lack them."""
    path = own_study(tmp_path)
    (tmp_path / "train.csv").unlink()
    assert load_study(path).tasks["mine"].metrics == ("accuracy",)


def test_a_hub_dataset_needs_a_commit(tmp_path):
    hub = {"train": None, "dev": None, "hub": "a/b", "splits": {"train": "train", "dev": "test"}}
    with pytest.raises(UserError, match="revision: found 'main', allowed: a commit of 40 hex"):
        load_study(own_study(tmp_path, **hub, revision="main"))
    source = load_study(own_study(tmp_path, **hub, revision="0" * 40)).tasks["mine"].source
    assert source.splits == (("train", "train"), ("dev", "test")) and source.hub == "a/b"


def test_the_schema_accepts_what_the_code_accepts(tmp_path):
    import jsonschema
    import yaml

    every = [
        {}, {"dev": {"share": 0.1}}, {"text": [0, 1], "label": 2, "header": False},
        {"dev": {"dev": "dev.csv", "hard": "dev.csv"}, "labels": [0, 1, 2]},
        {"label": "score", "regression": [0, 4], "metrics": ["pearson", "mse"]},
        sets("label"), sets(["label", "score"]),
    ]  # fmt: skip
    for keys in every:
        path = own_study(tmp_path, **keys)
        load_study(path)
        jsonschema.validate(yaml.safe_load(path.read_text()), study_schema())
    with pytest.raises(jsonschema.ValidationError):
        content = yaml.safe_load(own_study(tmp_path, txt="a").read_text())
        jsonschema.validate(content, study_schema())
