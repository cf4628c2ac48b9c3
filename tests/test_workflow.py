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

import jsonschema
import pytest
from faults import Place, environment, status
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


def planned(text):
    """The rules of a dry run, but for the one that only asks for all."""
    rules = re.findall(r"^(?:local)?rule (\w+):", text, flags=re.MULTILINE)
    return sorted(set(rules) - {"all"})


def read(path):
    return json.loads(path.read_text())


def metrics(folder):
    return {
        path.parent.name: read(path)
        for path in sorted((folder / "results/runs").glob("*/metrics.json"))
    }


ALL = "logits+hidden+attention"
# Four runs: three on a classification, one on a regression.
GRID = {
    "axes": {"knowledge": ["none", "logits", ALL], "seed": [1]},
    "include": [{"task": "toy-similarity", "knowledge": ALL}],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder where the study below has run."""
    folder = tmp_path_factory.mktemp("workflow")
    path = write_study(folder, tiny_study(**GRID))
    plan = kd(folder, "plan", path)
    snakemake(folder, path)
    return folder, path, plan


def test_plan_says_what_then_runs(finished):
    folder, path, plan = finished
    assert plan["jobs"] == {
        "data": 2,
        "tokenise": 2,
        "teacher": 2,
        "outputs": 3,
        "distil": 4,
        "evaluate": 4,
        "collect": 1,
        "tables": 1,
        "figures": 1,
        "report": 1,
        "guideline": 1,
    }
    assert (plan["cells"], plan["runs"], plan["done"], plan["pruned"]) == (4, 4, 0, [])
    after = kd(folder, "plan", path)
    assert after["done"] == 4
    assert not any(after["jobs"].values())
    assert after["device_hours"] == after["disk_bytes"] == 0
    assert kd(folder, "status", path)["done"] == 4


def test_every_promised_file_is_there(finished):
    folder, path, _ = finished
    study = folder / "results/studies/test"
    for name in ("runs.csv", "summary.csv", "report.html"):
        assert (study / name).stat().st_size > 0
    assert list((study / "tables").glob("*.tex"))
    assert list((study / "figures").glob("*.png"))
    assert list((study / "figures").glob("*.pdf"))
    for run in kd(folder, "runs", path):
        files = {p.name for p in (folder / "results/runs" / run["id"]).iterdir()}
        assert {"spec.json", "metrics.json", "model", "log", "history.csv"} <= files
        assert "state.json" not in files
        spec = json.loads((folder / "results/runs" / run["id"] / "spec.json").read_text())
        assert spec == run["spec"]
    with (study / "runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["status"] for row in rows] == ["done"] * 4
    scores = {run: record["score"] for run, record in metrics(folder).items()}
    assert {row["run"]: float(row["score"]) for row in rows} == scores


def test_nothing_is_pickled_or_left_over(finished):
    folder, _, _ = finished
    names = [p.name for p in (folder / "results").rglob("*")]
    assert not [n for n in names if n.endswith((".bin", ".pt", ".pkl", ".tmp"))]


def test_asked_again_nothing_runs(finished):
    folder, path, _ = finished
    assert "Nothing to be done" in snakemake(folder, path).stdout


@pytest.mark.parametrize("records", [True, False], ids=["with", "without .snakemake"])
def test_a_copy_without_times_is_finished_and_a_change_in_it_is_seen(finished, tmp_path, records):
    folder = tmp_path / "copy"
    leave = shutil.ignore_patterns(*([] if records else [".snakemake"]), "locks")
    # As `cp -r` does; what is made is copied before what it is made of.
    shutil.copytree(finished[0], folder, copy_function=shutil.copyfile, ignore=leave)
    for i, part in enumerate(["studies", "runs", "teachers", "data"]):
        for path in (folder / "results" / part).rglob("*"):
            os.utime(path, (2_000_000_000 + i, 2_000_000_000 + i))
    path = folder / finished[1].name
    assert "Nothing to be done" in snakemake(folder, path, "--dry-run").stdout
    record = next((folder / "results/runs").glob("*logits*/metrics.json"))
    record.write_text(record.read_text().replace('"score"', '"scores"'))
    again = snakemake(folder, path, "--dry-run").stdout
    assert "Nothing to be done" not in again and "collect" in again


def test_what_is_freed_is_asked_for_by_no_finished_run(finished, tmp_path):
    """Finished runs stay finished without the store; a new one gets what it reads, no more."""
    folder = shutil.copytree(finished[0], tmp_path / "copy")  # with Snakemake's own records
    path = folder / finished[1].name
    assert not kd(folder, "free", path)["removed"]
    assert list(folder.glob("results/teachers/*/*/outputs/*/*.npy")), "removed without being told"
    freed = kd(folder, "free", path, "--yes")["files"]
    names = {Path(file).name for file in freed}
    assert {"logits.npy", "hidden-3.npy", "query-3.npy"} <= names
    left = {file.name[:5] for file in folder.glob("results/teachers/*/*/outputs/*/[!.]*")}
    assert left == {"need-"}
    assert kd(folder, "free", path)["files"] == {}
    assert kd(folder, "status", path)["done"] == 4
    assert "Nothing to be done" in snakemake(folder, path, "--dry-run").stdout

    # One temperature more is one new run. It reads the logits that a finished one has read.
    axes = {"knowledge": ["logits"], "temperature": [2, 4], "seed": [1]}
    wider = write_study(folder, tiny_study(axes=axes, study="wider"), "wider.yaml")
    text = snakemake(folder, wider, "--until", "evaluate").stdout
    counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    assert (counts["distil"], counts["evaluate"]) == ("1", "1")
    assert not {"teacher", "outputs"} & set(counts)
    new = set(metrics(folder)) - set(metrics(finished[0]))
    assert [metrics(folder)[run]["teacher_outputs_stored"] for run in new] == [1]
    stored = {file.name for file in folder.glob("results/teachers/*/*/outputs/*/*.npy")}
    assert stored == {"logits.npy"}
    again = snakemake(folder, wider, "--until", "evaluate", "--dry-run").stdout
    assert planned(again) == []


def test_an_axis_at_its_default_and_a_new_value_train_only_what_is_new(finished):
    folder, path, _ = finished
    study = tiny_study(**{**GRID, "axes": {**GRID["axes"], "temperature": [2, 4]}})
    # Only logits are softened: two cells of the new temperature are new runs.
    path = write_study(folder, study, "wider.yaml")
    plan = kd(folder, "plan", path)
    assert (plan["runs"], plan["done"]) == (6, 4)
    text = snakemake(folder, path, "--dry-run").stdout
    counts = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    assert counts["distil"] == "2"
    assert "teacher" not in counts


def test_the_same_run_twice_gives_the_same_bits(finished, tmp_path):
    """Once by Snakemake, each job in a process of its own; once by calls, all in this one."""
    folder, path, _ = finished
    axes = {"task": ["toy-similarity"], "knowledge": [ALL], "seed": [1]}
    again = Place(write_study(tmp_path, tiny_study(axes=axes))).make().numbers()
    assert len(again) == 3  # the run's record and history, the teacher's record
    first = Place(path, folder / "results").numbers()
    assert again == {name: first[name] for name in again}


@pytest.mark.parametrize("answers", [True, False])
def test_all_that_is_drawn_comes_from_runs_csv_alone(finished, tmp_path, answers):
    """Only the table of intervals over examples needs the answers of the runs too."""
    folder, path, _ = finished
    csv_file = tmp_path / "results/studies/test/runs.csv"
    csv_file.parent.mkdir(parents=True)
    shutil.copy(folder / "results/studies/test/runs.csv", csv_file)
    if answers:
        shutil.copytree(folder / "results/studies/test/answers", csv_file.parent / "answers")
    text = snakemake(tmp_path, path, *DRAWN, "--dry-run").stdout
    assert planned(text) == sorted(DRAWN)
    with chdir(tmp_path):
        for step in DRAWN:
            assert main([step, str(path)]) == 0
    made = tmp_path / "results/studies/test"
    original = folder / "results/studies/test"
    for name in ("summary.csv", "guideline.md", *["report.html"] * answers):
        assert (made / name).read_bytes() == (original / name).read_bytes(), name
    for folder in ("figures", "tables"):
        for file in (original / folder).iterdir():
            with_examples = folder == "tables" and (
                file.suffix != ".csv" or file.stem == "examples"
            )
            if not file.name.startswith(".") and (answers or not with_examples):
                assert file.read_bytes() == (made / folder / file.name).read_bytes(), file.name
    assert not (tmp_path / "results/runs").exists()


def test_every_key_of_a_record_is_documented(finished):
    folder, _, _ = finished
    for record in metrics(folder).values():
        jsonschema.validate(record, metrics_schema())
        assert 0 < record["latency_seconds"] < 10
    with (folder / "results/studies/test/runs.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == list(COLUMNS)
    assert all(row["history"].startswith("step=") for row in rows)


def test_drawing_trains_nothing_even_where_metrics_are_newer(finished, tmp_path):
    folder, path, _ = finished
    shutil.copytree(folder / "results", tmp_path / "results")
    next((tmp_path / "results/runs").glob("*/metrics.json")).touch()
    text = snakemake(tmp_path, path, "--forceall", "--dry-run", "tables", "figures").stdout
    assert planned(text) == ["figures", "tables"]


def test_a_record_without_its_runs_is_not_overwritten(finished, tmp_path):
    folder, path, _ = finished
    record = tmp_path / "results/studies/test/runs.csv"
    record.parent.mkdir(parents=True)
    shutil.copy(folder / "results/studies/test/runs.csv", record)
    command = [sys.executable, "-m", "kd", "collect", path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2
    assert "has the results of 4 runs" in run.stderr
    assert record.read_bytes() == (folder / "results/studies/test/runs.csv").read_bytes()


# The steps of the runs that are not done, by calls.
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
"""


def test_a_failure_stops_no_other_run_and_is_named(finished, tmp_path):
    folder, _, _ = finished
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
    assert snakemake(tmp_path, path, "--until", "evaluate", check=False).returncode != 0
    found = kd(tmp_path, "status", path)
    assert (found["done"], found["failed"], found["missing"]) == (1, 1, 0)
    assert found["axes"]["teacher"] == {"deep": {"done": 1}, "broken": {"failed": 1}}
    assert all("its weights lack" in failure["error"] for failure in found["failures"])
    # The profile tries it again, which would end the same.
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
    subprocess.run(
        [sys.executable, "-c", RESTART, str(path)], check=True, env=environment(), cwd=tmp_path
    )
    assert status(tmp_path, path)["done"] == 2
    given = {
        read(p)["score"] for p in (tmp_path / "results/teachers").glob("*/toy-single/metrics.json")
    }
    assert len(given) == 1, "a model that is fine-tuned already is taken as it is"


def test_the_student_loads_with_plain_transformers(finished):
    folder, path, _ = finished
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
