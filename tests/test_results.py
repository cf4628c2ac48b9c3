"""runs.csv: rows in the study's order, history in one cell, nothing lost."""

import csv

import pytest
from studies import tiny_study, write_study

from kd.errors import UserError
from kd.figures.curves import curves_of
from kd.files import write_json
from kd.grid import load_grid
from kd.layout import Layout
from kd.results import collect, compact_history


def history(path, rows):
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["step", "learning_rate", "loss", "logits:kl"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_history_is_averaged_over_stretches_and_can_be_read_back(tmp_path):
    rows = [{"step": i, "learning_rate": 1e-3, "loss": i, "logits:kl": 2} for i in range(1, 51)]
    text = compact_history(history(tmp_path / "history.csv", rows))
    found = curves_of(text)
    assert set(found) == {"step", "loss", "logits:kl"}
    assert len(found["step"]) == 17 and found["step"][:2] == [3, 6] and found["step"][-1] == 50
    assert found["loss"][:2] == [2, 5]  # the mean of 1, 2, 3 and of 4, 5, 6
    assert "," not in text and '"' not in text


def test_a_history_that_is_not_there_or_still_growing(tmp_path):
    assert compact_history(tmp_path / "none.csv") == ""
    path = history(tmp_path / "history.csv", [{"step": 1, "learning_rate": 1, "loss": 2,
                                               "logits:kl": 3}])  # fmt: skip
    with path.open("a") as handle:
        handle.write("2,1,")
    assert compact_history(path) == "step=1;loss=2;logits:kl=3"


@pytest.fixture
def study(tmp_path):
    axes = {"student": ["10L-16-2h-32", "2L-16-2h-32"], "knowledge": ["none", "logits"]}
    return load_grid(write_study(tmp_path, tiny_study(axes=axes))), Layout(tmp_path / "results")


def test_rows_stand_in_the_order_of_the_study(study, tmp_path):
    grid, layout = study
    assert collect(grid, layout, tmp_path / "runs.csv")["missing"] == 4
    with (tmp_path / "runs.csv").open() as handle:
        rows = [(row["student"][:3], row["knowledge"]) for row in csv.DictReader(handle)]
    assert rows == [("10L", "none"), ("10L", "logits"), ("2L-", "none"), ("2L-", "logits")]


def test_what_was_done_is_not_lost(study, tmp_path):
    grid, layout = study
    run = next(iter(grid.runs.values()))
    metrics = layout.run(run) / "metrics.json"
    metrics.parent.mkdir(parents=True)
    write_json(metrics, {"run": run.id, "score": 0.5})
    assert collect(grid, layout, tmp_path / "runs.csv")["done"] == 1
    metrics.unlink()
    with pytest.raises(UserError, match="has the results of 1 runs"):
        collect(grid, layout, tmp_path / "runs.csv")
