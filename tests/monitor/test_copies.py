"""Results that were copied without their times count as finished, unless their contents changed."""

import os
import shutil

import pytest
from studies import tiny_study, write_study

from kd.monitor import copies
from kd.monitor.copies import _jobs, _stamp, _time, settle_times
from kd.monitor.made_from import DRAWN, note_collected, note_drawn
from kd.runtime.errors import Transient
from kd.runtime.files import write_json
from kd.runtime.hashes import model_fingerprint
from kd.runtime.seals import empty_sealed, read_record, sealed_dir, write_record
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import need_of


def sealed(folder, **files):
    with sealed_dir(folder) as made:
        for name, content in files.items():
            if isinstance(content, dict):
                write_json(made / name.replace("_", "."), content)
            else:
                (made / name.replace("_", ".")).write_bytes(content)
    (folder / ".snakemake_timestamp").touch()


@pytest.fixture
def finished(tmp_path):
    """What a finished study leaves: sealed folders, records, a study's files, and their notes."""
    path = write_study(tmp_path, tiny_study(axes={"knowledge": ["none", "logits"], "seed": [1]}))
    grid, layout = load_grid(path), Layout(tmp_path / "results")
    control, run = grid.runs.values()
    assert not control.needs_teacher and run.needs_teacher and need_of(run)
    text = layout.text(run.data_id, run.task)
    sealed(text, manifest_json={"fingerprint": "text"}, train_parquet=b"text")
    tokens = layout.tokens(run.data_id, run.task, run.tokens_id)
    facts = {"fingerprint": "tokens", "text_fingerprint": "text"}
    sealed(tokens, manifest_json=facts, train_safetensors=b"tokens")
    teacher = layout.teacher(run.teacher)
    sealed(teacher / "model", model_safetensors=b"teacher")
    weights = model_fingerprint(teacher / "model")
    taught = {"fingerprint": weights, "data_fingerprint": "text", "score": 0.9}
    write_record(teacher / "metrics.json", taught)
    write_json(layout.need(run), {"stored": ["logits"]})
    for each in (control, run):
        folder = layout.run(each)
        sealed(folder / "model", model_safetensors=each.id.encode())
        made_of = {"teacher_fingerprint": weights} if each is run else {}
        made_of["data_fingerprint"] = "text"
        own = {"model_fingerprint": model_fingerprint(folder / "model"), **made_of}
        write_record(folder / "training.json", own)
        write_json(folder / "spec.json", each.spec)
        (folder / "history.csv").write_text("step,loss\n1,2\n")
        said = {"teacher_score": 0.9} if each is run else {}
        metrics = {"run": each.id, "score": 0.5, **own, **said}
        write_record(folder / "metrics.json", metrics)
    for log in (teacher / "log/teacher", layout.run(run) / "log/distil"):
        log.parent.mkdir(parents=True)
        log.with_suffix(".benchmark.tsv").write_text("s\n1\n")
    study = layout.study("test")
    for name in ("tables", "figures"):
        (study / name).mkdir(parents=True)
        (study / name / "a.csv").write_text(name)
    for name in ("runs.csv", "summary.csv", "report.html", "guideline.md"):
        (study / name).write_text(name)
    note_collected(grid, layout)
    for step in DRAWN:
        note_drawn(study, step)
    return grid, layout


def test_a_student_that_was_not_kept_is_proven_by_its_seal(finished):
    grid, layout = finished
    for run in grid.runs.values():
        empty_sealed(layout.run(run) / "model", "not kept")
    copy_without_times(grid, layout)
    settled = settle_times(grid, layout)
    run = layout.run(next(iter(grid.runs.values())))
    assert run / "model" in settled and run / "metrics.json" in settled
    write_json(run / "model/checksums.json", {"model.safetensors": "of another student"})
    copy_without_times(grid, layout)
    assert run / "metrics.json" not in settle_times(grid, layout)


def copy_without_times(grid, layout):
    """The worst order: what is made was copied before what it is made of."""
    jobs = _jobs(grid, layout)
    paths = dict.fromkeys(p for inputs, outputs, _ in jobs for p in [*inputs, *outputs])
    for i, path in enumerate(filter(os.path.exists, paths)):
        os.utime(_stamp(path), (2_000_000_000 - i, 2_000_000_000 - i))


def outdated(grid, layout):
    """What Snakemake would make again, by name: outputs that are older than an input."""
    found = set()
    for inputs, outputs, _ in _jobs(grid, layout):
        read, made = ([t for p in ps if (t := _time(p)) is not None] for ps in (inputs, outputs))
        if read and made and max(read) > min(made):
            found.add(outputs[0])
    return found


def contents(layout):
    return {p: p.read_bytes() for p in layout.results.rglob("*") if p.is_file()}


def test_a_copy_without_times_is_finished_and_only_its_times_change(finished):
    grid, layout = finished
    copy_without_times(grid, layout)
    assert len(outdated(grid, layout)) == 12  # tokens, teacher, outputs, 2 x 2 of runs, 5
    before = contents(layout)
    assert settle_times(grid, layout)
    assert outdated(grid, layout) == set()
    assert contents(layout) == before
    assert settle_times(grid, layout) == [], "not once more"


def test_what_cannot_be_read_is_left_to_snakemake(finished, monkeypatch):
    grid, layout = finished
    copy_without_times(grid, layout)

    def unreadable(*files):
        raise Transient("tokens: cannot be read (Input/output error)")

    monkeypatch.setattr(copies, "broken_seal", unreadable)
    monkeypatch.setattr(copies, "file_digest", unreadable)
    settle_times(grid, layout)
    assert outdated(grid, layout), "nothing that rests on these files"


def test_a_teacher_whose_record_is_older_than_the_fingerprint_of_its_data(finished):
    grid, layout = finished
    teacher = layout.teacher(next(run.teacher for run in grid.runs.values() if run.needs_teacher))
    record = read_record(teacher / "metrics.json")
    del record["data_fingerprint"]
    write_record(teacher / "metrics.json", record)
    copy_without_times(grid, layout)
    settle_times(grid, layout)
    assert outdated(grid, layout) == set()


@pytest.mark.parametrize("left_out", [["data"], ["teachers"], ["data", "teachers"]])
def test_a_copy_without_data_or_teachers(finished, left_out):
    grid, layout = finished
    copy_without_times(grid, layout)
    for name in left_out:
        shutil.rmtree(layout.results / name)
    assert outdated(grid, layout)
    settle_times(grid, layout)
    assert outdated(grid, layout) == set()


def flip(path):
    path.write_bytes(path.read_bytes().swapcase())


def replace(folder, **files):
    """Another folder in its place, whole and sealed."""
    sealed(folder, **files)


def record(path, **changes):
    write_record(path, {**read_record(path), **changes})


CHANGES = {
    "text damaged": (lambda at: flip(at["text"] / "train.parquet"), {"tokens"}),
    "another text": (
        lambda at: replace(at["text"], manifest_json={"fingerprint": "new"}, train_parquet=b"new"),
        {"tokens"},
    ),
    "tokens damaged": (
        lambda at: flip(at["tokens"] / "train.safetensors"),
        {"tokens", "teacher", "need", "model", "metrics", "control", "control metrics"},
    ),
    "teacher damaged": (
        lambda at: flip(at["teacher"] / "model.safetensors"),
        {"teacher", "need", "model", "metrics"},
    ),
    "another teacher": (
        lambda at: replace(at["teacher"], model_safetensors=b"another"),
        {"teacher", "need", "model", "metrics"},
    ),
    "a teacher's score edited": (
        lambda at: record(at["teacher"].parent / "metrics.json", score=0.1),
        {"metrics"},
    ),
    "a student damaged": (lambda at: flip(at["model"] / "model.safetensors"), {"model", "metrics"}),
    "a training's record edited": (
        lambda at: record(at["model"].parent / "training.json", model_fingerprint="x"),
        {"model", "metrics"},
    ),
    "a run's score edited by hand": (
        lambda at: at["metrics"].write_text(at["metrics"].read_text().replace("0.5", "0.6")),
        {"metrics", "runs"},
    ),
    "a run's score edited well": (lambda at: record(at["metrics"], score=0.6), {"runs"}),
    "another run's metrics": (
        lambda at: at["metrics"].write_bytes(at["control metrics"].read_bytes()),
        {"metrics", "runs"},
    ),
    "another run's spec": (
        lambda at: (at["model"].parent / "spec.json").write_text("{}"),
        {"model", "metrics"},
    ),
    "runs.csv edited": (
        lambda at: flip(at["runs"]),
        {"runs", "summary", "figures", "guideline"},
    ),
    "a table edited": (lambda at: flip(at["tables"] / "a.csv"), {"summary", "report"}),
    "a report edited": (lambda at: flip(at["report"]), {"report"}),
    "a note lost": (lambda at: (at["runs"].parent / "log/figures.made.json").unlink(), {"figures"}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_was_changed_is_left_to_snakemake(finished, case):
    grid, layout = finished
    control, run = grid.runs.values()
    study = layout.study("test")
    at = {
        "text": layout.text(run.data_id, run.task),
        "tokens": layout.tokens(run.data_id, run.task, run.tokens_id),
        "teacher": layout.teacher(run.teacher) / "model",
        "need": layout.need(run),
        "model": layout.run(run) / "model",
        "metrics": layout.run(run) / "metrics.json",
        "control": layout.run(control) / "model",
        "control metrics": layout.run(control) / "metrics.json",
        "runs": study / "runs.csv",
        "summary": study / "summary.csv",
        "tables": study / "tables",
        "figures": study / "figures",
        "report": study / "report.html",
        "guideline": study / "guideline.md",
    }
    change, expected = CHANGES[case]
    change(at)
    copy_without_times(grid, layout)
    before = contents(layout)
    settle_times(grid, layout)
    assert {name for name, path in at.items() if path in outdated(grid, layout)} == expected
    assert contents(layout) == before, "settling marks and makes nothing"


def test_what_is_missing_or_unfinished_is_left_to_snakemake(finished):
    grid, layout = finished
    control, run = grid.runs.values()
    (layout.run(run) / "metrics.json").unlink()
    copy_without_times(grid, layout)
    settle_times(grid, layout)
    runs = {p for p in outdated(grid, layout) if layout.results / "runs" in p.parents}
    assert runs == set(), "one run is finished, the other is trained"
    (layout.run(control) / "training.json").unlink()
    copy_without_times(grid, layout)
    settle_times(grid, layout)
    left = {p for p in outdated(grid, layout) if layout.results / "runs" in p.parents}
    assert left == {layout.run(control) / "model", layout.run(control) / "metrics.json"}
