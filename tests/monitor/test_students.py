"""Which students lose their weights when their runs are done, and that the runs stay finished."""

import pytest
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.encoders.folder import model_config
from kd.monitor.students import remove_students, remove_unrecorded
from kd.runtime.errors import UserError
from kd.runtime.files import write_json
from kd.runtime.locks import only_one
from kd.runtime.progress import LOCK
from kd.runtime.seals import EMPTIED, check_seal, emptied, sealed_dir
from kd.study.grid import load_grid
from kd.study.paths import Layout


def study_of(tmp_path, keep, **changes):
    axes = {"mapping": ["first", "last"], "seed": [1, 2]}
    study = tiny_study(axes=axes, study=keep, keep={"students": keep}, **changes)
    return write_study(tmp_path, study, f"{keep}.yaml")


def finish(layout, run, score):
    with sealed_dir(layout.run(run) / "model") as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    write_json(layout.run(run) / "metrics.json", {"run": run.id, "score": score})


def left(grid, layout):
    return [run.labels["mapping"] + run.labels["seed"] for run in grid.runs.values()
            if not emptied(layout.run(run) / "model")]  # fmt: skip


def test_the_best_run_stays_once_all_are_done(tmp_path, capsys):
    path = study_of(tmp_path, "best")
    grid, layout = load_grid(path), Layout(tmp_path / "results")
    *three, last = grid.runs.values()
    for run, score in zip(three, (0.9, 0.1, 0.7), strict=True):
        finish(layout, run, score)
    collect = ["collect", str(path), "--results", str(layout.results)]
    assert main(collect) == 0
    assert "all are kept until every run is done" in capsys.readouterr().out
    assert len(left(grid, layout)) == 4, "a run that is missing might be the best"
    finish(layout, last, 0.8)
    assert main(collect) == 0
    assert left(grid, layout) == ["last2"], "the best seed of the cell with the best mean"
    assert "removed the weights of 3 (keep: best)" in capsys.readouterr().out
    assert main(["status", str(path), "--results", str(layout.results)]) == 0
    assert "4 done" in " ".join(capsys.readouterr().out.split())


def test_a_reader_is_told_how_to_make_a_removed_student_again(tmp_path):
    path = study_of(tmp_path, "none")
    grid, layout = load_grid(path), Layout(tmp_path / "results")
    for run in grid.runs.values():
        finish(layout, run, 0.5)
    run, other, busy, free = grid.runs.values()
    model = layout.run(run) / "model"
    time = model.stat().st_mtime_ns
    record = layout.study("other") / "runs.csv"
    record.parent.mkdir(parents=True)
    record.write_text(f"run,status\n{other.id},done\n")
    with only_one(layout.run(busy) / LOCK, print):
        assert main(["collect", str(path), "--results", str(layout.results)]) == 0
    kept = {r.id for r in grid.runs.values() if not emptied(layout.run(r) / "model")}
    assert kept == {other.id, busy.id}, "another study has it; a process works on it"
    assert model.stat().st_mtime_ns == time, "Snakemake would evaluate it again"
    told = rf"keep: \{{students: none\}}.*`kd retrain {path} {run.id}` trains it again"
    for read in (check_seal, model_config):
        with pytest.raises(UserError, match=told):
            read(model)
    assert remove_unrecorded(grid, layout) == []
    (layout.run(free) / "metrics.json").unlink()  # as Snakemake does where an evaluation was killed
    assert remove_unrecorded(grid, layout) == [layout.run(free) / "model"]
    assert not (layout.run(free) / "model").exists()


def test_a_removal_that_was_killed_is_completed(tmp_path):
    """The note is written first, so that a reader never finds half a model."""
    path = study_of(tmp_path, "none")
    grid, layout = load_grid(path), Layout(tmp_path / "results")
    run, *_ = grid.runs.values()
    finish(layout, run, 0.5)
    (layout.run(run) / "model" / EMPTIED).write_text("because\n")
    assert remove_students(grid, layout, []) == [run.id]
    assert not (layout.run(run) / "model/model.safetensors").exists()
    assert remove_students(grid, layout, []) == []
