"""Histories as TensorBoard events; without the package, one sentence."""

import sys

import pytest
from studies import tiny_study, write_study

from kd.monitor.history import history_rows
from kd.monitor.tensorboard import write_events
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.paths import Layout

HISTORY = "step,learning_rate,loss,logits:kl\n5,0.001,0.7,0.1\n10,0.0005,0.6,0.05\n15,0.0"


@pytest.fixture
def study(tmp_path):
    grid = load_grid(write_study(tmp_path, tiny_study(axes={"seed": [1, 2]})))
    layout = Layout(tmp_path / "results")
    folder = layout.run(next(iter(grid.runs.values())))
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text(HISTORY)
    return grid, layout


def test_a_row_that_is_half_written_is_left_out(study):
    grid, layout = study
    rows = history_rows(layout.run(next(iter(grid.runs.values()))) / "history.csv")
    assert rows[0] == {"step": 5, "learning_rate": 0.001, "loss": 0.7, "logits:kl": 0.1}
    assert [row["step"] for row in rows] == [5, 10]


def test_events_hold_every_number(study, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    grid, layout = study
    for _ in range(2):  # the second call replaces what the first wrote
        assert write_events(grid, layout, tmp_path / "events") == 1
    (folder,) = (tmp_path / "events").iterdir()
    assert folder.name in grid.runs and len(list(folder.iterdir())) == 1
    found = events.EventAccumulator(str(folder))
    found.Reload()
    values = [(e.step, e.value) for e in found.Scalars("training/logits:kl")]
    assert values == [(5, pytest.approx(0.1)), (10, pytest.approx(0.05))]


def test_without_tensorboard_or_history_it_is_one_sentence(study, tmp_path, monkeypatch):
    grid, layout = study
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install tensorboard$"):
        write_events(grid, layout, tmp_path / "events")


def test_no_history_yet(tmp_path):
    pytest.importorskip("tensorboard")
    grid = load_grid(write_study(tmp_path, tiny_study(axes={"seed": [1]})))
    with pytest.raises(UserError, match=r"no run has a history\.csv yet"):
        write_events(grid, Layout(tmp_path / "results"), tmp_path / "events")
