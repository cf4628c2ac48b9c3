"""`kd export`: the folder that is shipped, and that what its card states was measured."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from snippets import snippet
from studies import tiny_study, write_study

from kd.axes.tasks import TASKS
from kd.cli.main import main
from kd.jobs import export as exporting
from kd.runtime.files import write_json

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export`")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a study of two students and two seeds that is done, collected."""
    place = tmp_path_factory.mktemp("export")
    study = tiny_study(
        study="ship",
        base={"student": "2L-16-2h-32", "knowledge": "none", "task": "toy-pair", "epochs": 1},
        axes={"student": ["2L-16-2h-32", "1L-16-2h-32"], "seed": [1, 2]},
    )
    path = str(write_study(place, study))
    options = ["--results", str(place / "results")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        from kd.study.grid import load_grid

        runs = list(load_grid(path).runs.values())
        assert main(["data", path, "--task", "toy-pair", *options]) == 0
        tokens = ["--task", "toy-pair", "--tokens", runs[0].tokens_id]
        assert main(["tokenise", path, *tokens, *options]) == 0
        for run in runs:
            assert main(["distil", path, "--run", run.id, *options]) == 0
            assert main(["evaluate", path, "--run", run.id, *options]) == 0
        assert main(["collect", path, *options]) == 0
    return place


@pytest.fixture(scope="module")
def shipped(place):
    """The exported folder, made once; its study's name."""
    assert main(["export", str(place / "study.yaml"), "--best", *results(place)]) == 0
    return place / "results/studies/ship/export/toy-pair"


def results(place):
    return ["--results", str(place / "results")]


def record(place):
    frame = pd.read_csv(place / "results/studies/ship/runs.csv")
    means = frame.groupby("student")["score"].mean()
    smallest = min(means.index[means == means.max()])  # "1L" before "2L"
    best = frame[frame["student"] == smallest]
    return best.loc[best["score"].idxmax()], means.max()


def test_the_best_students_files_are_those_of_its_run(place, shipped):
    row, mean = record(place)
    facts = json.loads((shipped / "export.json").read_text())
    assert facts["record"]["run"] == row["run"]
    assert facts["metrics"]["pytorch"]["score"] == pytest.approx(row["score"])
    card = (shipped / "README.md").read_text()
    assert f"score {100 * mean:.1f} on average" in card and row["run"] in card


def test_a_plain_onnx_script_gives_the_predictions_of_pytorch(shipped):
    texts = (["the old man", "a dog"], ["a young man", "a dog or the old man"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(shipped)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(shipped).eval()
    wanted = model(**tokenizer(*texts, padding=True, return_tensors="pt")).logits.detach().numpy()
    session = onnxruntime.InferenceSession(shipped / "onnx/model.onnx")
    for rows in ([0, 1], [1]):
        inputs = tokenizer(
            *([column[i] for i in rows] for column in texts), padding=True, return_tensors="np"
        )
        names = [node.name for node in session.get_inputs()]
        found = session.run(["logits"], {n: inputs[n].astype("int64") for n in names})[0]
        np.testing.assert_allclose(found, wanted[rows], atol=1e-4)


def test_the_python_of_the_page_runs(shipped, tmp_path, monkeypatch, capsys):
    """docs/shipping.md, with this folder in the place of `student`."""
    page = (Path(__file__).parents[2] / "docs/shipping.md").read_text()
    (tmp_path / "student").symlink_to(shipped)
    monkeypatch.chdir(tmp_path)
    exec(snippet("docs/shipping.md", "python", 0), {})
    labels = set(json.loads((shipped / "config.json").read_text())["label2id"])
    assert eval(capsys.readouterr().out)[0]["label"] in labels
    names: dict[str, Any] = {}
    exec(snippet("docs/shipping.md", "python", 1), names)
    assert set(eval(capsys.readouterr().out)) <= labels
    tokenizer = transformers.AutoTokenizer.from_pretrained(shipped)
    own = tokenizer(["a text", "another one"], padding=True, return_tensors="np")
    for name, found in names["inputs"].items():
        assert found.tolist() == own[name].tolist()
    listed = set(re.findall(r"`([\w/]+\.\w+)`", page.split("## Run it")[0]))
    made = {str(path.relative_to(shipped)) for path in shipped.rglob("*") if path.is_file()}
    assert made <= listed, "a file of the folder that the page does not name"


def test_the_score_of_int8_is_of_its_own_predictions(place, shipped):
    facts = json.loads((shipped / "export.json").read_text())
    (text,) = place.glob("results/data/*/toy-pair/text/dev.parquet")
    frame = pd.read_parquet(text)
    tokenizer = transformers.AutoTokenizer.from_pretrained(shipped)
    session = onnxruntime.InferenceSession(shipped / "onnx/model_quantized.onnx")
    columns = [frame[name].tolist() for name in ("sentence1", "sentence2")]
    inputs = tokenizer(*columns, padding=True, truncation=True, return_tensors="np")
    names = [node.name for node in session.get_inputs()]
    logits = session.run(["logits"], {n: inputs[n].astype("int64") for n in names})[0]
    right = (logits.argmax(-1) == frame["label"]).mean()
    assert facts["metrics"]["int8"]["accuracy"] == pytest.approx(right, abs=1.5 / len(frame))


def test_the_card_says_how_well_the_student_is_calibrated(shipped):
    """A control has no teacher in its record, so nothing is said of one."""
    facts = json.loads((shipped / "export.json").read_text())
    card = (shipped / "README.md").read_text()
    assert f"calibration error is {100 * facts['record']['ece']:.1f} points" in card
    assert "its teacher's class" not in card


def test_the_works_behind_the_model_are_cited(shipped):
    """Labels alone, random weights, BERT's architecture."""
    works = (shipped / "citations.bib").read_text()
    assert "devlin2019bert" in works and works in (shipped / "README.md").read_text()


def test_the_card_is_what_the_hub_reads(shipped):
    card = (shipped / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["library_name"] == "transformers" and head["metrics"] == ["accuracy"]
    (result,) = head["model-index"][0]["results"]
    facts = json.loads((shipped / "export.json").read_text())
    accuracy = facts["metrics"]["pytorch"]["accuracy"]
    assert result["metrics"][0]["value"] == pytest.approx(accuracy, abs=1e-4)
    for row in facts["latency"]:
        assert f"{1e3 * row['seconds']:.2f}" in card


def test_labels_are_words_for_people():
    assert TASKS["mrpc"].words == ("not_equivalent", "equivalent")
    assert TASKS["cola"].words == ("unacceptable", "acceptable")
    assert TASKS["rte"].words == ("entailment", "not_entailment")


def test_labels_of_the_shipped_config_are_words(place, tmp_path):
    (folder,) = list(place.glob("results/runs/*2l*"))[:1]
    exporting._write_model(folder / "model", TASKS["qqp"], tmp_path / "out", 64)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["id2label"] == {"0": "not_duplicate", "1": "duplicate"}
    assert (
        json.loads((tmp_path / "out/tokenizer_config.json").read_text())["model_max_length"] == 64
    )


def test_what_differs_from_pytorch_is_not_shipped(place, tmp_path, monkeypatch, capsys):
    (run,) = list((place / "results/runs").iterdir())[:1]
    real = exporting.OnnxModel
    monkeypatch.setattr(
        exporting, "OnnxModel", lambda *args: lambda inputs: real(*args)(inputs) + 2e-4
    )
    assert main(["export", run.name, str(tmp_path / "out"), *results(place)]) == 2
    assert "ONNX differs from PyTorch by 0.0002" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("metrics", "metrics.json: missing; only a run that is done can be exported"),
        ("text", "the text of toy-pair with the fingerprint"),
        ("weights", "damaged"),
    ],
)
def test_what_is_not_whole_is_one_sentence(place, tmp_path, capsys, broken, sentence):
    shutil.copytree(place / "results", tmp_path / "results")
    (run,) = list((tmp_path / "results/runs").iterdir())[:1]
    if broken == "metrics":
        (run / "metrics.json").unlink()
    elif broken == "text":
        shutil.rmtree(tmp_path / "results/data")
    else:
        weights = run / "model/model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    assert main(["export", run.name, str(tmp_path / "out"), *results(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_not_replaced(place, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out/mine.json", 1)
    (run,) = list((place / "results/runs").iterdir())[:1]
    assert main(["export", run.name, str(tmp_path / "out"), *results(place)]) == 2
    assert "no earlier export" in capsys.readouterr().err and (tmp_path / "out/mine.json").is_file()


def test_a_folder_that_only_has_an_export_below_it_is_not_replaced(place, tmp_path, capsys):
    (tmp_path / "models/earlier").mkdir(parents=True)
    kept = [tmp_path / "models/earlier/export.json", tmp_path / "models/thesis.txt"]
    for path in kept:
        path.write_text("{}")
    (run,) = list((place / "results/runs").iterdir())[:1]
    assert main(["export", run.name, str(tmp_path / "models"), *results(place)]) == 2
    assert "no earlier export" in capsys.readouterr().err and all(p.is_file() for p in kept)
    study = str(place / "study.yaml")
    assert main(["export", study, str(tmp_path / "models/earlier"), "--best", *results(place)]) == 2
    assert "has the export of one run" in capsys.readouterr().err and all(p.is_file() for p in kept)


def test_the_best_students_take_the_place_of_their_own_folders_alone(place, tmp_path):
    """One task of two can be exported again, also into a folder that has other files."""
    (tmp_path / "out/other-task").mkdir(parents=True)
    (tmp_path / "out/toy-pair").mkdir()
    kept = tmp_path / "out/other-task/export.json"
    for path in (kept, tmp_path / "out/toy-pair/export.json"):
        path.write_text("{}")
    study = str(place / "study.yaml")
    assert main(["export", study, str(tmp_path / "out"), "--best", *results(place)]) == 0
    assert kept.read_text() == "{}"
    assert json.loads((tmp_path / "out/toy-pair/export.json").read_text())["record"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other-task", "toy-pair"]


def test_missing_packages_are_named(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (run,) = list((place / "results/runs").iterdir())[:1]
    assert main(["export", run.name, str(tmp_path / "out"), *results(place)]) == 2
    assert "pip install 'kd-grid[export]'" in capsys.readouterr().err
