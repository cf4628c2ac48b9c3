"""Two records side by side."""

import json

import pytest
from fake_runs import grid, three_seeds, write

from kd.cli.main import main
from kd.results.compare_records import compare, compare_text, find_record
from kd.runtime.errors import UserError


@pytest.fixture
def records(tmp_path):
    """The same study from two machines: one score differs, one run is missing in b."""
    a, b = three_seeds(), three_seeds()
    b.loc[1, "score"] += 0.02
    b.loc[5, ["score", "status"]] = [None, "failed"]
    b["device"], b["torch_version"] = "H100", "2.14.0"
    paths = tmp_path / "a.csv", tmp_path / "b.csv"
    return write(a, paths[0]), write(b, paths[1])


def test_same_study_from_two_machines(records):
    found = compare(*records)
    assert (found["a"]["done"], found["b"]["done"], found["shared"], found["equal"]) == (6, 5, 5, 4)
    assert found["mean"] == pytest.approx(0.4) and found["largest"] == pytest.approx(2)
    (gap,) = found["differences"]
    assert (gap["a"], gap["b"], gap["points"]) == pytest.approx((0.61, 0.63, 2))
    assert len(found["only_a"]) == 1 and not found["only_b"]
    assert {row["what"]: (row["a"], row["b"]) for row in found["environment"]} == {
        "device": (["cpu"], ["H100"]),
        "torch_version": (["2.13.0"], ["2.14.0"]),
    }
    text = compare_text(found)
    assert "scores: 4 of 5 equal to the last digit; b less a: mean +0.40 points" in text
    assert "61.00 -> 63.00  (+2.00)" in text and "device: cpu -> H100" in text


def test_an_evaluation_on_another_machine_is_no_other_training(tmp_path):
    one, two = (write(three_seeds(), tmp_path / f"{name}.csv") for name in "ab")
    two = write(three_seeds().assign(evaluated_on="H100"), two)
    (difference,) = compare(one, two)["environment"]
    assert difference == {"what": "evaluated_on", "a": ["cpu"], "b": ["H100"]}


def test_other_studies_are_compared_by_their_best_cells(records, tmp_path):
    other = write(grid(lambda c: 0.7, mapping=["last"], seed=["1", "2"]), tmp_path / "c.csv")
    found = compare(records[0], other)
    assert found["shared"] == 0 and found["mean"] is None
    (best,) = found["best"]
    assert best["a"] == "logits+hidden: 64.0 ± 2.0 (3)"
    assert best["a_control"] == "logits: 62.0 ± 2.6 (3)" and best["b_control"] == ""
    assert "done in both: 0; only in a: 6; only in b: 2" in compare_text(found)


def test_a_record_is_found_by_path_folder_or_name(tmp_path):
    folder = tmp_path / "results/studies/mine"
    folder.mkdir(parents=True)
    path = write(three_seeds(), folder / "runs.csv")
    results = tmp_path / "results"
    for text in (str(path), str(folder), "mine", "mine.yaml"):
        assert find_record(text, results) == path
    with pytest.raises(UserError, match=r"yours: no record of runs; looked for"):
        find_record("yours", results)


def test_command(records, capsys):
    assert main(["compare", *map(str, records), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shared"] == 5
    assert main(["compare", str(records[0]), "nowhere"]) == 2
    assert "no record of runs" in capsys.readouterr().err


def test_every_tried_value_of_a_tuned_study_counts(tmp_path):
    """Although the records choose different learning rates."""
    paths = []
    for best in ("0.001", "5e-05"):
        frame = grid(
            lambda c: 0.6, knowledge=["logits", "logits+hidden"], learning_rate=["0.001", "5e-05"],
            seed=["1", "2"],
        )  # fmt: skip
        frame["slice_score"] = [0.7 if rate == best else 0.6 for rate in frame["learning_rate"]]
        tuned = {"axes": {"learning_rate": ["5e-05", "0.001"]}, "cells": ["task", "knowledge"]}
        frame["select"] = json.dumps(tuned)
        paths.append(write(frame, tmp_path / f"{best}.csv"))
    found = compare(*paths)
    assert (found["a"]["done"], found["shared"], found["equal"]) == (8, 8, 8)
    assert not found["only_a"] and not found["only_b"]
