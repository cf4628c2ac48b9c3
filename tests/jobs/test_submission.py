"""A submission from trained students: who answers, to what, and what is filled."""

import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import torch
from glue_files import GLUE, write_test_set
from helpers import save_encoder
from studies import study_dict, tiny_study, write_study
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kd.axes.leaderboard import SHEETS
from kd.axes.tasks import TASKS
from kd.cli.main import main
from kd.data.text import load_rows
from kd.data.tokens import load_split, unlabelled_split
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.tokenise import run_tokenise
from kd.study.grid import load_grid
from kd.study.paths import Layout

RECIPE = {"epochs": 1, "learning_rate": 1e-3, "max_length": 16}
WORDS = ("film", "plot", "was", "dull", "superb", "the", "not", "anna", "won", "three")


def sentence(number: int) -> str:
    """Some words that the tests' tokenizer knows, and one that it does not."""
    return " ".join([*(WORDS[(number * k) % 10] for k in range(1, 2 + number % 5)), f"x{number}"])


def write_glue(root: Path) -> Path:
    """CoLA, STS-B and MNLI with labels, in a glue_data/ folder; test sets without MNLI-mm."""
    rows = [(i, sentence(i), sentence(i + 3)) for i in range(24)]
    cola = "".join(f"s\t{i % 2}\t*\t{one}\n" for i, one, _ in rows)
    pairs = "index\tsentence1\tsentence2\t"
    stsb = f"{pairs}score\n" + "".join(f"{i}\t{a}\t{b}\t{i % 6}\n" for i, a, b in rows)
    names = TASKS["mnli"].labels
    mnli = f"{pairs}gold_label\n" + "".join(f"{i}\t{a}\t{b}\t{names[i % 3]}\n" for i, a, b in rows)
    for task, text in (("cola", cola), ("stsb", stsb), ("mnli", mnli)):
        folder = root / TASKS[task].folder
        folder.mkdir(parents=True)
        for name in ("train", *(file for _, file in TASKS[task].dev)):
            (folder / f"{name}.tsv").write_text(text)
    write_test_set(root, "CoLA.tsv", *(f"{i}\t{sentence(5 * i)}" for i in (4, 2, 9, 0, 7)))
    row = "{}\tg\tf\t2012\t1\tn\tn\t{}\t{}"
    stsb_rows = [row.format(i, sentence(i), sentence(2 * i)) for i in range(4)]
    write_test_set(root, "STS-B.tsv", *stsb_rows)
    row = "{}\t1\t1\tg\tp\tp\tp\tp\t{}\t{}"
    write_test_set(root, "MNLI-m.tsv", *(row.format(i, sentence(i), "dull") for i in range(3)))
    write_test_set(root, "AX.tsv", *(f"{i}\t{sentence(i)}\tplot" for i in range(6)))
    write_test_set(root, "RTE.tsv", "5\ta\tb", "6\tc\td")
    return root


def train(folder: Path, **changes):
    """Every step of a study up to runs.csv, with the results in `folder`; its file."""
    axes = {"student": ["1L-16-2h-32", "2L-16-2h-32"], "seed": [1, 2]}
    study = study_dict(
        **{
            "teachers": {"own": {"model": str(save_encoder(folder / "own", "bert")), **RECIPE}},
            "base": {"knowledge": "none", "init": "random", **RECIPE},
            "axes": {"task": ["cola", "stsb", "mnli"], **axes},
            **changes,
        }
    )
    path = write_study(folder, study)
    grid, layout = load_grid(path), Layout(folder / "results")
    for task, name in {(run.task, run.tokens_id) for run in grid.runs.values()}:
        prepare_task(grid, layout, task)
        run_tokenise(grid, layout, task, name)
    for run in grid.runs:
        run_distil(grid, layout, run, threads=1)
        run_evaluate(grid, layout, run, threads=1)
    assert main(["collect", str(path), "--results", str(layout.results)]) == 0
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submission")
    glue = write_glue(folder / "glue")
    return train(folder, data={"source": "tsv", "path": str(glue)})


def submit(study: Path, *more: str) -> int:
    return main(["submission", str(study), "--results", str(study.parent / "results"), *more])


def written(study: Path) -> tuple[Path, dict]:
    """The zip of a study, and what its .json says of the files."""
    path = study.parent / "results/studies/test/submission.zip"
    return path, json.loads(path.with_suffix(".json").read_text())["files"]


def answers(path: Path, name: str) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        header, *rows = archive.read(name).decode().splitlines()
    assert header == "index\tprediction"
    return [row.split("\t") for row in rows]


def test_the_best_student_of_each_task_answers(trained, capsys):
    assert submit(trained) == 0
    out, err = capsys.readouterr()
    path, told = written(trained)
    record = pd.read_csv(trained.parent / "results/studies/test/runs.csv")
    means = record.groupby(["task", "student"])["score"].mean()
    for name, task in (("CoLA.tsv", "cola"), ("STS-B.tsv", "stsb"), ("AX.tsv", "mnli")):
        row = record[record["run"] == told[name]["run"]].iloc[0]
        assert row["task"] == task
        assert means[task, row["student"]] == pytest.approx(means[task].max())
        same = record[(record["task"] == task) & (record["student"] == row["student"])]
        assert row["score"] == same["score"].max() == pytest.approx(told[name]["score"])
        assert told[name]["mean"] == pytest.approx(means[task].max()) and told[name]["seeds"] == 2
        assert f"{name}: {row['run']}, dev score {row['score']:.4f}, the best of 2 seeds" in out
    assert told["MNLI-m.tsv"]["run"] == told["AX.tsv"]["run"]
    assert str(path) in out and "11 files, 4 by students" in out
    assert "WNLI.tsv: the study has no finished run on WNLI; every answer is 0" in err
    assert "MNLI-mm.tsv: data.path has no MNLI/test_mismatched.tsv; every answer is ent" in err
    assert "CoLA.tsv: 5 examples, but the official test set has 1063; the leaderboard will" in err


@pytest.mark.parametrize("name", ["CoLA.tsv", "STS-B.tsv", "MNLI-m.tsv", "AX.tsv"])
def test_every_example_is_answered_once_in_the_order_of_the_file(trained, name):
    """As plain transformers answers them, one by one."""
    assert submit(trained) == 0
    path, told = written(trained)
    folder = trained.parent / "results/runs" / told[name]["run"] / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    file = trained.parent / "glue" / SHEETS[name].tsv[0]
    header, *rows = [line.split("\t") for line in file.read_text().lstrip("\ufeff").splitlines()]
    columns = [header.index(column) for column in SHEETS[name].text]
    found = answers(path, name)
    assert [index for index, _ in found] == [row[0] for row in rows]
    for (_, said), row in zip(found, rows, strict=True):
        texts = [row[column].strip() for column in columns]
        inputs = tokenizer(*texts, truncation=True, max_length=16, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0]
        if name == "STS-B.tsv":
            assert float(said) == pytest.approx(min(max(float(logits[0]), 0), 5), abs=1e-3)
        else:
            assert said == SHEETS[name].answers[int(logits.argmax())]


def test_text_is_tokenised_as_that_of_the_training(trained):
    """The dev text, read as if it had no labels, gives the stored tokens of the dev split."""
    grid, layout = load_grid(trained), Layout(trained.parent / "results")
    run = next(run for run in grid.runs.values() if run.task == "mnli")
    rows = [
        {key: row[key] for key in ("id", "sentence1", "sentence2")}
        for row in load_rows(grid.study.data, "mnli", "dev")
    ]
    folder = layout.run(run) / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = unlabelled_split(rows, TASKS["mnli"], tokenizer, model.config, run.values["max_length"])
    stored = load_split(layout.tokens(run.data_id, "mnli", run.tokens_id), "dev")
    assert found.flat.keys() == stored.flat.keys() and found.padding == stored.padding
    for name, flat in stored.flat.items():
        assert torch.equal(found.flat[name], flat)
    assert torch.equal(found.offsets, stored.offsets) and torch.equal(found.ids, stored.ids)
    assert (found.labels == -1).all(), "a metric could be made of these"


def test_a_missing_file_takes_the_numbers_of_its_test_set(trained):
    assert submit(trained) == 0
    path, told = written(trained)
    assert answers(path, "RTE.tsv") == [["5", "entailment"], ["6", "entailment"]]
    assert told["RTE.tsv"]["constant"] == "entailment" and told["RTE.tsv"]["examples"] == 2
    wnli = answers(path, "WNLI.tsv")
    assert [index for index, _ in wnli] == [str(i) for i in range(146)]
    assert {text for _, text in wnli} == {"0"}


def test_the_same_study_gives_the_same_bytes(trained, tmp_path):
    for name in ("one", "two"):
        assert submit(trained, "--out", str(tmp_path / f"{name}.zip")) == 0
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_check(trained, capsys):
    assert submit(trained) == 0
    path, _ = written(trained)
    assert submit(trained, "--check", str(path)) == 0
    assert f"{path}: 11 files as the leaderboard wants them, 5 of them against" in (
        capsys.readouterr().out
    )
    assert main(["submission", "--check", str(path)]) == 2
    out, err = capsys.readouterr()
    assert "CoLA.tsv: found 5 examples, allowed: 1063" in out and "problems" in err


def test_a_student_that_is_not_the_one_that_was_evaluated(trained, capsys, tmp_path):
    assert submit(trained) == 0
    _, told = written(trained)
    copy = tmp_path / "copy"
    shutil.copytree(trained.parent, copy)
    (copy / "results/runs" / told["CoLA.tsv"]["run"] / "model/config.json").write_text("{}")
    assert submit(copy / trained.name) == 2
    assert "damaged (config.json is not as it was written)" in capsys.readouterr().err


def test_generated_tasks_are_refused(tmp_path, capsys):
    assert submit(write_study(tmp_path, tiny_study())) == 2
    assert "data.source is synthetic, allowed for a submission: tsv, hub" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "submission: give a STUDY, or --check ZIP"),
        (["--check", "a.zip", "--out", "b.zip"], "--out and --check exclude each other"),
        (["--out", "a.json"], "--out: found 'a.json', allowed: a name with .zip"),
        (["--check", "nowhere.zip"], "nowhere.zip: not a readable zip"),
    ],
)
def test_mistakes_on_the_command_line(words, message, capsys):
    assert main(["submission", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_official_test_sets(tmp_path, capsys):
    """Tiny students of the first rows of the official files answer whole official test sets."""
    if not (GLUE / "AX").is_dir():
        pytest.skip("the official GLUE files are not beside this checkout")
    tasks = {"cola": "CoLA", "stsb": "STS-B", "rte": "RTE", "wnli": "WNLI", "mnli": "MNLI"}
    for folder in tasks.values():
        (tmp_path / "glue" / folder).mkdir(parents=True)
        for file in (GLUE / folder).glob("*.tsv"):
            lines = file.read_text(encoding="utf-8").split("\n")
            kept = lines if file.stem == "test" else lines[:60]
            (tmp_path / "glue" / folder / file.name).write_text("\n".join(kept))
    mnli = tmp_path / "glue/MNLI"
    shutil.copy(mnli / "dev_matched.tsv", mnli / "dev_mismatched.tsv")
    shutil.copytree(GLUE / "AX", tmp_path / "glue/AX")
    axes = {"task": list(tasks), "seed": [1]}
    base = {"student": "1L-16-2h-32", "knowledge": "none", **RECIPE}
    data = {"source": "tsv", "path": str(tmp_path / "glue")}
    study = train(tmp_path, data=data, axes=axes, base=base)
    assert submit(study) == 0
    path, told = written(study)
    asked = {name for name, facts in told.items() if "run" in facts}
    assert asked == {"CoLA.tsv", "STS-B.tsv", "RTE.tsv", "WNLI.tsv", "AX.tsv"}
    assert "the leaderboard will refuse" not in capsys.readouterr().err
    assert main(["submission", "--check", str(path)]) == 0
