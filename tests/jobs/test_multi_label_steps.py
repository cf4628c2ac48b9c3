"""A multi-label task of the user's own, from its files to an exported student."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import transformers
from helpers import save_encoder
from sklearn.metrics import f1_score
from studies import study_dict, write_study

from kd.cli.main import main
from kd.data.generated import generate
from kd.data.tokens import load_split
from kd.results.answers import read_answers
from kd.results.statistics.examples import resampled_scores
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.training.predictions import read_predictions


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two students, one of them taught logits, on texts with none to three of the labels."""
    folder = tmp_path_factory.mktemp("sets")
    save_encoder(folder / "model", "bert")
    rows = [row["sentence1"] for row in generate("toy-single", "train", 72)]
    tags = [";".join(n for j, n in enumerate("abc") if i % (j + 2) == 0) for i in range(72)]
    frame = pd.DataFrame({"text": rows, "tags": tags})
    frame[:48].to_csv(folder / "train.csv", index=False)
    frame[48:].to_csv(folder / "dev.csv", index=False)
    recipe = {"epochs": 1, "learning_rate": 1e-3}
    study = study_dict(
        study="sets",
        tasks={"tags": {
            "train": "train.csv", "dev": "dev.csv", "text": "text",
            "labels": {"from": "tags", "multi": True},
            "metrics": ["micro-f1", "macro-f1", "subset-accuracy", "auc"],
        }},
        teachers={"t": {"model": "model", **recipe}},
        base={"student": "1L-16-2h-32", "task": "tags", "train_fraction": 0.5, **recipe},
        axes={"knowledge": ["none", "logits"], "probability_shift": [False, True]},
    )  # fmt: skip
    path = str(write_study(folder, study))
    options = ["--results", str(folder / "results")]
    grid = load_grid(path)
    (run, *_) = grid.runs.values()
    assert main(["data", path, "--task", run.task, *options]) == 0
    assert main(["tokenise", path, "--task", run.task, "--tokens", run.tokens_id, *options]) == 0
    assert main(["teacher", path, "--teacher", run.teacher.id, *options]) == 0
    for name in grid.runs:
        assert main(["distil", path, "--run", name, *options]) == 0
        assert main(["evaluate", path, "--run", name, *options]) == 0
    assert main(["collect", path, *options]) == 0
    return folder, grid, Layout(folder / "results")


def test_runs_that_learn_a_part_have_other_ids_than_those_of_earlier_versions(done):
    """They saw another part."""
    folder, grid, _ = done
    assert all(run.spec["label_sets"] == 2 for run in grid.runs.values())
    text = (folder / "study.yaml").read_text()
    for fraction, held_out, marked in ((1, 0, 0), (1, 0.1, 1), (0.3, 0, 1)):
        new = text.replace(
            "train_fraction: 0.5", f"train_fraction: {fraction}\n  held_out: {held_out}"
        )
        (folder / "other.yaml").write_text(new)
        runs = load_grid(folder / "other.yaml").runs.values()
        assert {"label_sets" in run.spec for run in runs} == {bool(marked)}
        taught = {run.spec["teacher"].get("label_sets") for run in runs if run.needs_teacher}
        assert taught == {2 if held_out else None}


def rows_of(layout):
    with (layout.study("sets") / "runs.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_the_record_has_the_metrics_of_sets(done):
    _, grid, layout = done
    assert len(grid.runs) == 3, "probability_shift without logits is no other run"
    for row in rows_of(layout):
        found = read_predictions(layout.run(grid.runs[row["run"]]) / "predictions.parquet")["dev"]
        said, gold = found.logits > 0, found.labels > 0
        assert gold.shape == (24, 3)
        parts = [f1_score(gold, said, average=a, zero_division=0) for a in ("micro", "macro")]
        parts.append((said == gold).all(axis=1).mean())
        assert float(row["score"]) == pytest.approx(np.mean(parts))
        assert float(row["subset_accuracy"]) == pytest.approx(parts[2])
        p = 1 / (1 + np.exp(-found.logits.astype(float)))
        assert float(row["nll"]) == pytest.approx(-np.log(np.where(gold, p, 1 - p)).mean())
        assert float(row["brier"]) == pytest.approx(((p - gold) ** 2).mean())
        assert (row["task_kind"], row["classes"]) == ("labels", "3")
        assert row["metrics"] == "micro-f1+macro-f1+subset-accuracy" and row["auc"]
        assert 0 < float(row["agreement"]) <= 1 and float(row["teacher_kl"]) > 0
        assert 0 < float(row["score_se"]) < 0.2 and 0 < float(row["majority_score"]) < 1
        assert int(row["examples_train"]) == pytest.approx(24, abs=2)


def test_the_answers_of_the_study_are_sets(done):
    _, grid, layout = done
    record = layout.study("sets") / "runs.csv"
    ((_, answers),) = read_answers(record).items()
    scores = resampled_scores(answers.splits, answers.metrics)
    by_run = {row["run"]: float(row["score"]) for row in rows_of(layout)}
    assert {run: values[0] for run, values in scores.items()} == pytest.approx(by_run)
    (run, *_) = grid.runs.values()
    split = load_split(layout.tokens(run.data_id, run.task, run.tokens_id), "dev")
    assert answers.splits[0].labels.tolist() == (split.labels > 0).tolist()


def test_the_export_works_with_plain_transformers(done, tmp_path):
    folder, grid, _ = done
    run = next(run for run in grid.runs.values() if run.terms)
    out = tmp_path / "student"
    assert main(["export", run.id, str(out), "--results", str(folder / "results")]) == 0
    config = json.loads((out / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}
    facts = json.loads((out / "export.json").read_text())
    assert facts["metrics"]["pytorch"]["score"] == pytest.approx(facts["record"]["score"])
    classify = transformers.pipeline("text-classification", model=str(out), top_k=None)
    found = {entry["label"]: entry["score"] for entry in classify("the old man")[0]}
    inputs = classify.tokenizer("the old man", return_tensors="pt")
    wanted = classify.model(**inputs).logits.sigmoid()[0].tolist()
    assert [found[name] for name in "abc"] == pytest.approx(wanted, abs=1e-5)
    card = (out / "README.md").read_text()
    for said in (
        "gives each of `a`, `b` and `c` a probability", "without the sigmoid",
        "the binary cross-entropy of each label", "p = sigmoid(z/tau) and 1 - p",
        "of all labels of all examples",
    ):  # fmt: skip
        assert said in card, said
    (block, *_) = [b.split("```")[0] for b in card.split("```python\n")[1:]]
    printed = []
    code = block.replace('folder = "student"', f'folder = "{out}"')
    exec(code, {"print": printed.append})
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    chosen = (model(**classify.tokenizer("a sentence", return_tensors="pt")).logits > 0)[0]
    assert printed == [[[name for name, yes in zip("abc", chosen, strict=True) if yes]]]
