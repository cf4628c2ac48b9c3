"""The whole DAG on tiny models, as a user runs it: Snakemake in a process of its own."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
from faults import Place, environment
from safetensors.torch import load_file, save_file
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.results.columns import COLUMNS, metrics_schema

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def snakemake(folder, study, *arguments, check=True):
    """Run the workflow in `folder`; the terminal's text comes back."""
    command = [BIN / "snakemake", "-s", ROOT / "Snakefile", "--directory", folder]
    command += ["--configfile", study, "--cores", "2", *arguments]
    run = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert not check or run.returncode == 0, run.stdout
    return run


def kd(folder, *arguments):
    """A command of `kd`, in `folder`; its JSON."""
    with chdir(folder), redirect_stdout(io.StringIO()) as out:
        assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(out.getvalue())


DRAWN = ("tables", "figures", "report", "guideline")


def job_counts(text):
    """The table of jobs that Snakemake prints: `{rule: count}`."""
    lines = (line.split() for line in text.splitlines())
    rows = [line for line in lines if len(line) == 2 and line[0].isidentifier()]
    return {
        rule: int(count)
        for rule, count in rows
        if count.isdecimal() and rule not in ("all", "total")
    }


def planned(text):
    """The rules of a dry run, but for `all`. Those of a group are indented."""
    rules = re.findall(r"^ *(?:local)?rule (\w+):", text, flags=re.MULTILINE)
    return sorted(set(rules) - {"all"})


def read(path):
    return json.loads(path.read_text())


def metrics(folder):
    return {
        path.parent.name: read(path)
        for path in sorted((folder / "results/runs").glob("*/metrics.json"))
    }


def metrics_of_cells(folder):
    """The ids in the study's runs.csv."""
    with (folder / "results/studies/test/runs.csv").open(newline="") as file:
        return [row["run"] for row in csv.DictReader(file)]


ALL = "logits+hidden+attention"
# Four runs: three on a classification, one on a regression.
AXES = {"knowledge": ["none", "logits", ALL], "seed": [1]}
GRID = {"axes": AXES, "include": [{"task": "toy-similarity", "knowledge": ALL}]}


class Finished(NamedTuple):
    """A folder where the study above has run, and what was said before and while it ran."""

    folder: Path
    path: Path
    plans: list[dict]  # of the empty folder, and of the one with three runs
    text: str  # of Snakemake


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three runs by calls in this process, then the fourth by Snakemake: one job of each rule."""
    folder = tmp_path_factory.mktemp("workflow")
    path = write_study(folder, tiny_study(**GRID))
    plans = [kd(folder, "plan", path)]
    three = Place(write_study(folder, tiny_study(axes=AXES, study="three"), "three.yaml"))
    three.make("data", "tokenise", "teacher").store_outputs().finish_runs()
    plans.append(kd(folder, "plan", path))
    return Finished(folder, path, plans, snakemake(folder, path).stdout)


DRAWN_ONCE = {"collect": 1, "tables": 1, "figures": 1, "report": 1, "guideline": 1}


def test_plan_says_what_then_runs(finished):
    folder, path, (empty, plan), text = finished
    trained = {"data": 2, "tokenise": 2, "teacher": 2, "outputs": 3, "distil": 4, "evaluate": 4}
    assert empty["jobs"] == trained | {"extra": 0, "corpus": 0, "stage": 0} | DRAWN_ONCE
    assert (empty["cells"], empty["runs"], empty["done"], empty["pruned"]) == (4, 4, 0, [])
    assert plan["done"] == 3
    jobs = {rule: count for rule, count in plan["jobs"].items() if count}
    assert job_counts(text) == jobs == dict.fromkeys(trained, 1) | DRAWN_ONCE
    after = kd(folder, "plan", path)
    assert after["done"] == 4
    assert not any(after["jobs"].values())
    assert after["device_hours"] == after["disk_bytes"] == 0
    assert kd(folder, "status", path)["done"] == 4


@pytest.mark.slow
def test_snakemake_alone_comes_to_the_same_numbers(finished, tmp_path):
    path = Path(shutil.copy(finished.path, tmp_path))
    plan = finished.plans[0]["jobs"]
    text = snakemake(tmp_path, path).stdout
    assert job_counts(text) == {rule: count for rule, count in plan.items() if count}
    assert Place(path).numbers() == Place(finished.path).numbers()


@pytest.mark.slow
def test_a_chain_of_teacher_assistants_is_trained_in_its_order_and_kept(tmp_path):
    """Two assistants, of which one is a cell of the study too; no other student is kept."""
    teachers = {
        **tiny_study()["teachers"],
        "middle": {"run": {"student": "2L-32-2h-64", "teacher": "deep"}},
        "lower": {"run": {"student": "2L-16-2h-32", "teacher": "middle"}},
    }
    axes = {"teacher": ["middle", "lower"], "student": ["2L-16-2h-32", "1L-16-2h-32"]}
    exclude = [{"teacher": "lower", "student": "2L-16-2h-32"}]
    keep = {"students": "none"}
    study = tiny_study(teachers=teachers, axes=axes, exclude=exclude, keep=keep)
    path = write_study(tmp_path, study)
    plan = kd(tmp_path, "plan", path)
    assert (plan["runs"], plan["jobs"]["distil"], plan["jobs"]["teacher"]) == (3, 4, 3)
    text = snakemake(tmp_path, path).stdout
    assert job_counts(text) == {rule: count for rule, count in plan["jobs"].items() if count}
    assert "Nothing to be done" in snakemake(tmp_path, path, "--dry-run").stdout
    weights = {p.parents[1].name for p in tmp_path.glob("results/runs/*/model/*.safetensors")}
    assert weights == {row["run"] for row in plan["assistants"]}
    # The run of an assistant is not asked for again, once its student is a teacher.
    for run in weights - set(metrics_of_cells(tmp_path)):
        shutil.rmtree(tmp_path / "results/runs" / run)
    more = write_study(tmp_path, {**study, "axes": {**axes, "seed": [1, 2]}}, "more.yaml")
    jobs = {rule: count for rule, count in kd(tmp_path, "plan", more)["jobs"].items() if count}
    assert jobs == {"distil": 3, "evaluate": 3} | DRAWN_ONCE
    assert job_counts(snakemake(tmp_path, more, "--dry-run").stdout) == jobs


def test_every_promised_file_is_there(finished):
    folder, path, _, text = finished
    study = folder / "results/studies/test"
    for name in ("runs.csv", "summary.csv", "report.html"):
        assert (study / name).stat().st_size > 0
    assert list((study / "tables").glob("*.tex"))
    assert list((study / "figures").glob("*.png"))
    assert list((study / "figures").glob("*.pdf"))
    for run in kd(folder, "runs", path):
        files = {p.name for p in (folder / "results/runs" / run["id"]).iterdir()}
        assert {"spec.json", "metrics.json", "model", "history.csv"} <= files
        assert ("log" in files) == (f"run={run['id']}\n" in text), "Snakemake's jobs have logs"
        assert "state.json" not in files
        spec = json.loads((folder / "results/runs" / run["id"] / "spec.json").read_text())
        assert spec == run["spec"]
    with (study / "runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["status"] for row in rows] == ["done"] * 4
    scores = {run: record["score"] for run, record in metrics(folder).items()}
    assert {row["run"]: float(row["score"]) for row in rows} == scores


def test_nothing_is_pickled_or_left_over(finished):
    folder = finished.folder
    names = [p.name for p in (folder / "results").rglob("*")]
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pkl", ".tmp"))]


def test_asked_again_nothing_runs(finished):
    assert "Nothing to be done" in snakemake(finished.folder, finished.path).stdout


@pytest.mark.parametrize("records", [True, False], ids=["with", "without .snakemake"])
def test_a_copy_without_times_is_finished_and_a_change_in_it_is_seen(finished, tmp_path, records):
    folder = tmp_path / "copy"
    leave = shutil.ignore_patterns(*([] if records else [".snakemake"]), "locks")
    # As `cp -r` does; what is made is copied before what it is made of.
    shutil.copytree(finished.folder, folder, copy_function=shutil.copyfile, ignore=leave)
    for i, part in enumerate(["studies", "runs", "teachers", "data"]):
        for path in (folder / "results" / part).rglob("*"):
            os.utime(path, (2_000_000_000 + i, 2_000_000_000 + i))
    path = folder / finished.path.name
    assert "Nothing to be done" in snakemake(folder, path, "--dry-run").stdout
    record = next((folder / "results/runs").glob("*logits*/metrics.json"))
    record.write_text(record.read_text().replace('"score"', '"scores"'))
    again = snakemake(folder, path, "--dry-run").stdout
    assert "Nothing to be done" not in again and "collect" in again


@pytest.mark.slow
def test_missing_runs_are_planned_where_only_stored_outputs_are_older_than_their_teacher(
    finished, tmp_path
):
    folder = shutil.copytree(finished.folder, tmp_path / "copy")
    for name in ("runs", "studies"):
        shutil.rmtree(folder / "results" / name)
    for model in folder.glob("results/teachers/*/*/model"):
        with (model / "config.json").open("a") as handle:
            handle.write(" ")
        os.utime(model)
    text = snakemake(folder, folder / finished.path.name, "--dry-run").stdout
    assert {"outputs", "distil", "evaluate", "report"} <= set(planned(text)), text


@pytest.mark.slow
def test_what_is_freed_is_asked_for_by_no_finished_run(finished, tmp_path):
    """Finished runs stay finished without the store, in a study with a further axis too. A new run
    gets what it reads, no more.
    """
    folder = shutil.copytree(finished.folder, tmp_path / "copy")  # with Snakemake's own records
    path = folder / finished.path.name
    assert not kd(folder, "free", path)["removed"]
    assert list(folder.glob("results/teachers/*/*/outputs/*/*.npy")), "removed without being told"
    freed = kd(folder, "free", path, "--yes")["files"]
    names = {Path(file).name for file in freed}
    assert {"logits.npy", "hidden-3.npy", "query-3.npy"} <= names
    left = {file.name[:5] for file in folder.glob("results/teachers/*/*/outputs/*/[!.]*")}
    assert left == {"need-"}
    assert kd(folder, "free", path)["files"] == {}
    assert kd(folder, "status", path)["done"] == 4

    # The axis `temperature` at its default, and one run at another value.
    wider = {"base": tiny_study()["base"] | {"temperature": 2}, **GRID}
    wider["include"] = [*GRID["include"], {"knowledge": "logits", "temperature": 4}]
    wider = write_study(folder, tiny_study(**wider), "wider.yaml")
    plan = kd(folder, "plan", wider)
    assert (plan["runs"], plan["done"]) == (5, 4)
    text = snakemake(folder, wider, "--until", "evaluate").stdout
    assert job_counts(text) == {"distil": 1, "evaluate": 1}
    new = set(metrics(folder)) - set(metrics(finished.folder))
    assert [metrics(folder)[run]["teacher_outputs_stored"] for run in new] == [1]
    stored = {file.name for file in folder.glob("results/teachers/*/*/outputs/*/*.npy")}
    assert stored == {"logits.npy"}
    again = snakemake(folder, wider, "--until", "evaluate", "--dry-run").stdout
    assert planned(again) == []


def test_the_same_run_twice_gives_the_same_bits(finished, tmp_path):
    """Once by Snakemake, each job in a process of its own; once by calls, all in this one."""
    axes = {"task": ["toy-similarity"], "knowledge": [ALL], "seed": [1]}
    again = Place(write_study(tmp_path, tiny_study(axes=axes))).make().numbers()
    assert len(again) == 3  # the run's record and history, the teacher's record
    first = Place(finished.path).numbers()
    assert again == {name: first[name] for name in again}


@pytest.mark.slow
def test_all_that_is_drawn_comes_from_runs_csv_alone(finished, tmp_path):
    """But for the intervals over examples, which need the runs' answers, and the ends of logs."""
    original, made = (f / "results/studies/test" for f in (finished.folder, tmp_path))
    made.mkdir(parents=True)
    shutil.copy(original / "runs.csv", made)
    text = snakemake(tmp_path, finished.path, *DRAWN, "--dry-run").stdout
    assert planned(text) == sorted(DRAWN)

    def draw(*steps):
        with chdir(tmp_path):
            for step in steps:
                assert main([step, str(finished.path)]) == 0

    def same(*patterns):
        files = [file for pattern in patterns for file in original.glob(pattern)]
        assert files
        for file in files:
            assert file.read_bytes() == (made / file.relative_to(original)).read_bytes(), file.name

    draw(*DRAWN)
    same("summary.csv", "guideline.md", "figures/[!.]*", "tables/[!.e]*.csv", "tables/effects.csv")
    assert not (made / "tables/examples.csv").exists()
    shutil.copytree(original / "answers", made / "answers")
    draw("tables", "guideline")
    same("summary.csv", "guideline.md", "tables/[!.]*")
    assert not (tmp_path / "results/runs").exists()
    for log in (finished.folder / "results/runs").glob("*/log"):
        shutil.copytree(log, tmp_path / log.relative_to(finished.folder))
    draw("report")
    same("report.html")


def test_every_key_of_a_record_is_documented(finished):
    folder = finished.folder
    for record in metrics(folder).values():
        jsonschema.validate(record, metrics_schema())
        assert 0 < record["latency_seconds"] < 10
    with (folder / "results/studies/test/runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == list(COLUMNS)
    assert all(row["history"].startswith("step=") for row in rows)


def test_drawing_trains_nothing_even_where_metrics_are_newer(finished, tmp_path):
    shutil.copytree(finished.folder / "results", tmp_path / "results")
    next((tmp_path / "results/runs").glob("*/metrics.json")).touch()
    asked = ("--forceall", "--dry-run", "tables", "figures")
    text = snakemake(tmp_path, finished.path, *asked).stdout
    assert planned(text) == ["figures", "tables"]


def test_a_record_without_its_runs_is_not_overwritten(finished, tmp_path, capsys):
    original = finished.folder / "results/studies/test/runs.csv"
    record = tmp_path / "results/studies/test/runs.csv"
    record.parent.mkdir(parents=True)
    shutil.copy(original, record)
    with chdir(tmp_path):
        assert main(["collect", str(finished.path)]) == 2
    assert "has the results of 4 runs" in capsys.readouterr().err
    assert record.read_bytes() == original.read_bytes()


# The steps of the runs that are not done, by calls; then what `kd status` says.
RESTART = """
import sys
from kd.cli.main import main
from kd.study.grid import load_grid
from kd.study.paths import Layout
study = sys.argv[1]
for run in load_grid(study).runs.values():
    if not (Layout().run(run) / "metrics.json").exists():
        need = Layout().need(run).stem
        teacher = ["--teacher", run.teacher.id]
        for tokens in {run.tokens_id, run.teacher.tokens_id}:
            if not Layout().tokens(run.data_id, run.task, tokens).exists():
                assert main(["tokenise", study, "--task", run.task, "--tokens", tokens]) == 0
        assert main(["teacher", study, *teacher]) == 0
        assert main(["outputs", study, *teacher, "--tokens", run.tokens_id, "--need", need]) == 0
        assert main(["distil", study, "--run", run.id]) == 0
        assert main(["evaluate", study, "--run", run.id]) == 0
assert main(["status", study]) == 0
"""


@pytest.mark.slow
def test_a_failure_stops_no_other_run_and_is_named(finished, tmp_path):
    folder = finished.folder
    shutil.copytree(folder / "results", tmp_path / "results")
    good = next((folder / "results/teachers").glob("*/toy-single/model"))
    broken = shutil.copytree(good, tmp_path / "broken")
    weights = broken / "model.safetensors"
    tensors = load_file(weights)
    del tensors["bert.encoder.layer.0.output.dense.bias"]
    save_file(tensors, weights, metadata={"format": "pt"})
    axes = {"teacher": ["deep", "broken"], "knowledge": ["logits"], "seed": [2]}
    study = tiny_study(axes=axes, figures=[])
    study["teachers"]["broken"] = {"model": str(broken), "finetuned": True}
    path = write_study(tmp_path, study)

    # What is drawn after a failure is test_hooks'; here a call of each step shows what it says.
    # One retry, where the profile has three.
    asked = ("--until", "evaluate", "--retries", "1")
    assert snakemake(tmp_path, path, *asked, check=False).returncode != 0
    found = kd(tmp_path, "status", path)
    assert (found["done"], found["failed"], found["missing"]) == (1, 1, 0)
    assert found["axes"]["teacher"] == {"deep": {"done": 1}, "broken": {"failed": 1}}
    assert all("its weights lack" in failure["error"] for failure in found["failures"])
    # Snakemake tries it again, which would end the same.
    logs = [p.read_text() for p in tmp_path.glob("results/teachers/*/*/log/teacher.log")]
    assert sum("an automatic retry would end the same" in log for log in logs) == 1
    with chdir(tmp_path):
        for step in ("collect", "tables", "figures", "report"):
            assert main([step, str(path)]) == 0
    with (tmp_path / "results/studies/test/runs.csv").open() as handle:
        assert sorted(row["status"] for row in csv.DictReader(handle)) == ["done", "failed"]
    assert "failed" in (tmp_path / "results/studies/test/report.html").read_text()

    # With its weights back, the missing steps are done, in a process that has not seen the others.
    shutil.copy(good / "model.safetensors", weights)
    command = [sys.executable, "-c", RESTART, path]
    said = subprocess.run(
        command, check=True, env=environment(), cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert "2 runs: 2 done" in said
    given = {
        read(p)["score"] for p in (tmp_path / "results/teachers").glob("*/toy-single/metrics.json")
    }
    assert len(given) == 1, "a model that is fine-tuned already is taken as it is"


def test_the_student_loads_with_plain_transformers(finished):
    folder, path = finished.folder, finished.path
    run = next(r for r in kd(folder, "runs", path) if r["labels"]["knowledge"] == "logits")
    model = folder / "results/runs" / run["id"] / "model"
    text = folder / "results/data"
    code = f"""
import sys, pandas, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained({str(model)!r}).eval()
tokenizer = AutoTokenizer.from_pretrained({str(model)!r})
frame = pandas.read_parquet(next(__import__("pathlib").Path({str(text)!r}).glob(
    "*/{run["spec"]["task"]}/text/dev.parquet")))
inputs = tokenizer(frame["sentence1"].tolist(), padding=True, return_tensors="pt")
with torch.no_grad():
    predicted = model(**inputs).logits.argmax(-1).numpy()
print((predicted == frame["label"].to_numpy()).mean())
assert not any(name.startswith("kd") for name in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert float(done.stdout) == pytest.approx(metrics(folder)[run["id"]]["accuracy"])


@pytest.mark.parametrize(
    ("axis", "arguments", "message"),
    [
        ("maping", [], "found 'maping'.*did you mean mapping"),
        ("mapping", ["--config", "study=other"], "--config changes nothing"),
        ("mapping", ["--configfile", "{study}", "{study}"], "one study at a time"),
    ],
)
def test_a_users_mistake_is_one_sentence(tmp_path, axis, arguments, message):
    path = write_study(tmp_path, tiny_study(axes={axis: ["first"]}))
    arguments = [a.replace("{study}", str(path)) for a in arguments]
    run = snakemake(tmp_path, path, *arguments, check=False)
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("error: ")]
    assert re.search(message, line)
    assert not (tmp_path / "results").exists()
