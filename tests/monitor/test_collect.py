"""runs.csv: rows in the study's order, history in one cell, nothing lost."""

import csv
import math

import pytest
import torch
import yaml
from studies import tiny_study, write_study

from kd.axes import presets
from kd.axes.terms import parse_knowledge
from kd.monitor.collect import collect, compact_history
from kd.results.figures.curves import curves_of
from kd.runtime.errors import UserError
from kd.runtime.files import write_json
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.training.history import Recorder, write_history


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


def staged(path, knowledge, hard_weight=0, steps=400):
    """The history.csv that a training with these weights writes; its losses are the step."""
    terms = parse_knowledge(knowledge)
    recorder = Recorder(math.ceil(steps / 50))
    for step in range(steps):
        active = [str(term) for term in terms if term.weight.at(step / steps)]
        values = dict.fromkeys(["loss", "hard", *active], torch.tensor(float(step + 1)))
        recorder.add(step + 1, step + 1 == steps, 1e-3, values)
    write_history(path, recorder.rows)
    return compact_history(path)


STAGED = {
    "two": "hidden*1%0-50+logits*1%50-100",
    "two, off the edge of a row": "hidden*1%0-51+logits*1%51-100",
    "a fade": "hidden*1..0%0-50+logits*0..1",
    "late": "hidden+logits*1%90-100",
    "a gap": "hidden*1%0-30+logits*1%60-100",
    **{
        name: yaml.safe_load((presets.FOLDER / f"{name}.yaml").read_text())["run"]["knowledge"]
        for name in ("tinybert", "mobilebert")
    },
}


@pytest.mark.parametrize("knowledge", STAGED.values(), ids=STAGED)
def test_a_staged_training_has_full_curves_and_its_terms_where_they_count(tmp_path, knowledge):
    curves = curves_of(staged(tmp_path / "history.csv", knowledge))
    steps = curves["step"]
    assert len(steps) == 17 and steps[-1] == 400, "stretches are missing"
    # Stretches of 24 steps: the mean of the steps is 11.5 before the last.
    assert curves["loss"][:-1] == [step - 11.5 for step in steps[:-1]] == curves["hard"][:-1]
    for term in parse_knowledge(knowledge):
        seen = [not math.isnan(value) for value in curves[str(term)]]
        ends = [0, *steps]
        wanted = [
            any(term.weight.at(s / 400) for s in range(int(a), int(b)))
            for a, b in zip(ends, steps, strict=False)
        ]
        assert seen == wanted, f"{term}: measured elsewhere than where it counts"


def test_a_stretch_that_is_partly_active_is_the_mean_of_what_was_measured(tmp_path):
    text = staged(tmp_path / "history.csv", "hidden*1%0-50+logits*1%50-100", steps=40)
    curves = curves_of(text)
    assert curves["step"][9:11] == [20, 22]
    assert curves["loss"][9:11] == [19.5, 21.5]
    assert curves["hidden*1%0-50"][9] == 19.5 and curves["logits*1%50-100"][10] == 21.5
    odd = staged(tmp_path / "history.csv", "hidden*1%0-52.5+logits", steps=40)
    assert curves_of(odd)["hidden*1%0-52.5"][10] == 21, "of steps 21 and 22 only 21 counted"


@pytest.mark.parametrize("tail", ["3,1e-3,", "3,1e-3,0.", "3,1e-3,0.5,0.", "3", "3,1e-3,0.5,"])
def test_a_last_row_that_is_cut_short_is_left_out(tmp_path, tail):
    rows = [{"step": i, "learning_rate": 1e-3, "loss": 2, "logits:kl": 3} for i in (1, 2)]
    path = history(tmp_path / "history.csv", rows)
    whole = compact_history(path)
    path.write_text(path.read_text() + tail)
    assert compact_history(path) == whole == "step=1 2;loss=2 2;logits:kl=3 3"


def test_a_damaged_history_stops_nothing(tmp_path):
    path = tmp_path / "history.csv"
    path.write_bytes(b"step,loss\n1,2\n\xff\xfe,3\n2,x\n3,4,5,6\n4,1\n")
    assert compact_history(path) == "step=1 4;loss=2 1"
    path.write_bytes(b"")
    assert compact_history(path) == ""


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
    record = tmp_path / "runs.csv"
    for mark in (b"", b"\xef\xbb\xbf"):  # a spreadsheet may put a byte order mark before it
        record.write_bytes(mark + record.read_bytes())
        with pytest.raises(UserError, match="has the results of "):
            collect(grid, layout, record)


def test_what_was_done_is_not_lost_when_the_study_no_longer_names_it(study, tmp_path):
    """The grid that collects is another one; only what has no metrics.json any more is kept."""
    grid, layout = study
    here, gone, *_ = grid.runs.values()
    out = tmp_path / "runs.csv"
    out.write_text(f"run,status\n{here.id},done\n{gone.id},done\n{gone.id}-2,failed\n")
    metrics = layout.run(here) / "metrics.json"
    metrics.parent.mkdir(parents=True)
    write_json(metrics, {"run": here.id, "score": 0.5})
    before = out.read_bytes()
    axes = {"student": ["1L-16-2h-32"], "knowledge": ["none"]}
    other = load_grid(write_study(tmp_path, tiny_study(axes=axes)))
    with pytest.raises(UserError, match=f"has the results of {gone.id}, whose"):
        collect(other, layout, out)
    assert out.read_bytes() == before
    (layout.run(gone)).mkdir()
    write_json(layout.run(gone) / "metrics.json", {"run": gone.id, "score": 0.5})
    assert collect(other, layout, out)["missing"] == 1
