"""A record is checked once, for all that read it: damage is a sentence, or a missing run."""

import csv
import warnings

import numpy as np
import pandas as pd
import pytest
from fake_runs import of_study, one_run, three_seeds, write
from slow import slow
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.results.columns import COLUMNS
from kd.results.record import load_record, read_runs
from kd.results.tables.write import make_tables
from kd.runtime.errors import UserError
from kd.study.grid import load_grid

AXES = {"mapping": ["first", "last"], "knowledge": ["logits", "logits+hidden"], "seed": [1, 2, 3]}
COMMANDS = ("tables", "figures", "report", "guideline")


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path, tiny_study(axes=AXES))


@pytest.fixture
def record(study):
    """runs.csv of the study, 9 runs, where the commands look for it."""
    rng = np.random.default_rng(0)
    frame = of_study(study, lambda _: round(0.6 + 0.1 * rng.random(), 3))
    path = study.parent / "results/studies/test/runs.csv"
    path.parent.mkdir(parents=True)
    return write(frame, path)


def edited(record, row, **cells):
    """Write other cells into the row with this number."""
    with record.open(newline="") as handle:
        lines = list(csv.reader(handle))
    for name, value in cells.items():
        lines[row][lines[0].index(name)] = value
    with record.open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(lines)


def test_rows_are_found_by_the_study_in_its_order(study, record):
    grid = load_grid(study)
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join([lines[0], *reversed(lines[3:])]))  # two runs have no row
    found = load_record(record, study)
    assert list(found.runs["run"]) == list(grid.runs)
    assert list(found.runs["status"]) == ["missing"] * 2 + ["done"] * 7
    assert found.runs["error"].iloc[0] == "runs.csv has no row for it"
    assert found.remarks == [
        "runs.csv lacks 2 of the 9 runs that study.yaml plans; they are shown as missing."
    ]
    assert load_record(record).remarks == []  # without the study, nobody knows


def test_runs_are_found_by_their_axes_where_ids_were_made_otherwise(study, record):
    frame = read_runs(record)
    frame["run"] = [f"old-{i}" for i in range(len(frame))]
    found = load_record(write(frame, record), study)
    assert found.remarks == [] and len(found.runs) == 9


def test_a_run_that_the_study_does_not_name_stays_and_is_named(study, record):
    edited(record, 1, run="other-1", mapping="uniform")
    found = load_record(record, study)
    assert len(found.runs) == 10 and found.runs["run"].iloc[-1] == "other-1"
    assert found.remarks[1] == "runs.csv has 1 run that study.yaml does not name (other-1)."


def test_the_record_of_another_study_is_not_filled_up(study, record):
    found = load_record(write(three_seeds(), record), study)
    assert len(found.runs) == 6
    assert found.remarks == [
        "No run of runs.csv is one of study.yaml: is it another study's record?"
    ]


def test_a_teacher_that_is_not_here_leaves_the_record_readable(study, record):
    away = tiny_study(axes=AXES, teachers={"deep": {"model": "/no/such/folder"}})
    found = load_record(record, write_study(study.parent, away))
    assert found.grid is None and len(found.runs) == 9


def test_the_measure_of_equal_size_comes_from_the_study(study, record):
    assert (load_record(record, study).runs["equal_size"] == "").all()
    students = {"iso-params": "2L-48-2h-192", "layers": [2, 3]}
    alike = write_study(study.parent, tiny_study(axes={"student": students, "seed": [1, 2, 3]}))
    assert load_grid(alike).study.equal_size == "params"
    found = load_record(write(of_study(alike, lambda _: 0.6), record), alike)
    assert set(found.runs["equal_size"]) == {"params"} and found.remarks == []
    assert set(load_record(record).runs["equal_size"]) == {""}  # without the study, nobody knows


def test_done_without_a_score_is_missing_and_named(record):
    for i, cell in enumerate(("", "NaN", "inf", " "), 2):
        edited(record, i, score=cell)
    found = load_record(record)
    assert list(found.runs["status"]) == ["done", *["missing"] * 4, *["done"] * 4]
    assert "done according to runs.csv" in found.runs["error"].iloc[1]
    assert any("score is 'inf', which is taken as unknown" in text or "as are 1 more" in text
               for text in found.remarks)  # fmt: skip
    run = found.runs["run"].iloc[1]
    line = f"runs.csv: line 3 (run {run}): done, but its score is blank; it is shown as missing"
    assert f"{line}, as are 3 more." in found.remarks


def test_a_measurement_that_is_not_finite_is_unknown(record):
    edited(record, 3, latency_seconds="inf", history="step=1 2;loss=0.5")
    found = load_record(record)
    assert np.isnan(found.runs["latency_seconds"].iloc[2])
    assert found.runs["history"].iloc[2] == "" and found.runs["status"].iloc[2] == "done"
    assert "latency_seconds is 'inf'" in found.remarks[0]


def test_an_r2_is_below_0_where_the_scale_is_not_the_labels(record):
    lines = record.read_text().splitlines()
    cells = ["r2", "-2.05", *[""] * (len(lines) - 2)]
    record.write_text("".join(f"{a},{b}\n" for a, b in zip(lines, cells, strict=True)))
    found = load_record(record)
    assert found.runs["r2"].iloc[0] == -2.05 and found.remarks == []
    edited(record, 1, r2="1.5")
    with pytest.raises(UserError, match=r"r2: found '1\.5', allowed: a number up to 1"):
        load_record(record)


WRONG = [
    ({"score": "92.2"}, "line 4 .*: score: found '92.2', allowed: a fraction from 0 to 1"),
    ({"score": "-0.1"}, "score: found '-0.1', allowed: a fraction"),
    ({"score": "NA"}, "line 4 .*: score: found 'NA', allowed: a number, or blank"),
    ({"teacher_score": "70"}, "teacher_score: found '70', allowed: a fraction"),
    ({"train_seconds": "-3"}, "train_seconds: found '-3', allowed: a number from 0"),
    ({"status": "Done"}, r"line 4 .*: status: found 'Done', .*\(did you mean done\?\)"),
    ({"status": ""}, "status: found '', allowed: done, running, stopped, failed, missing"),
    ({"run": ""}, "line 4: the column run is blank"),
    ({"task": ""}, "line 4: the column task is blank"),
]


@pytest.mark.parametrize(("cells", "message"), WRONG)
def test_what_cannot_be_is_one_sentence_with_line_and_value(record, cells, message):
    edited(record, 3, **cells)
    with pytest.raises(UserError, match=message) as error:
        load_record(record)
    assert str(error.value).count("\n") == 0


def test_correlations_may_be_negative(record):
    edited(record, 3, task="cola", score="-0.05")
    scores = load_record(record).runs.set_index("task")["score"]
    assert scores.index[0] == "cola" and scores["cola"] == -0.05  # tasks in GLUE's order
    frame = three_seeds().assign(task="stsb", r2=-3.0)  # a regression on another scale
    assert (load_record(write(frame, record)).runs["r2"] == -3).all()
    frame = three_seeds().assign(task="cola", slice_score=-0.02, teacher_slice_score=-0.01)
    runs = load_record(write(frame, record)).runs
    assert (runs["slice_score"] == -0.02).all() and (runs["teacher_slice_score"] == -0.01).all()


def header_only(text):
    return text.splitlines(keepends=True)[0]


def cut(text):
    end = 2 * len(text) // 3
    while text[:end].count('"') % 2:  # not within quotes
        end -= 1
    return text[:end]


def quoted(text):
    return text.replace(",done,", ',"done,', 1)


def a_row_with_more(text):
    return text.replace("\n", "\n", 1).rstrip("\n") + ",1,2\n"


DAMAGE = {
    "header only": header_only,
    "cut": cut,
    "an open quote": quoted,
    "a row too long": a_row_with_more,
    "empty": lambda _: "",
    "no score at all": lambda text: text.replace("done", "failed"),
    "semicolons": lambda text: text.replace(",", ";"),
    "no newline at the end": str.rstrip,
    "windows": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "binary": lambda text: text.replace("done", "\0", 1),
    "a blank line": lambda text: text.replace("\n", "\n\n", 2),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_a_sentence_or_missing_runs(study, record, kind):
    record.write_bytes(DAMAGE[kind](record.read_text()).encode())
    try:
        found = load_record(record, study)
    except UserError as error:
        assert "runs.csv" in str(error) and "\n" not in str(error)
    else:
        assert set(found.runs["run"]) >= set(load_grid(study).runs)
        scored = found.runs["score"].notna()
        assert (found.runs.loc[scored, "status"] == "done").all()
        assert np.isfinite(found.runs.loc[scored, "score"]).all()


@pytest.mark.parametrize(
    "kind",
    [*slow("header only", "cut"), "binary"],
)
def test_no_command_ends_in_a_traceback(study, record, kind, capsys):
    record.write_bytes(DAMAGE[kind](record.read_text()).encode())
    code = 2 if kind == "binary" else 0
    assert {name: main([name, str(study)]) for name in COMMANDS} == dict.fromkeys(COMMANDS, code)
    assert main(["compare", "test", "test"]) == (0 if kind == "cut" else 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    starts = ("error: ", "warning: ")
    assert all(line.startswith(starts) for line in error.splitlines() if line)


@pytest.mark.parametrize("command", [*COMMANDS, "compare"])
def test_every_command_names_what_it_takes_for_missing(study, record, command, capsys):
    write_study(study.parent, tiny_study(axes=AXES, figures=["difference"]))
    edited(record, 2, score="nan")
    assert main([command, *(["test", "test"] if command == "compare" else [str(study)])]) == 0
    run = record.read_text().splitlines()[2].split(",")[0]
    words = f"line 3 (run {run}): done, but its score is 'nan'; it is shown as missing."
    assert capsys.readouterr().err.count(f"warning: runs.csv: {words}\n") == (
        2 if command == "compare" else 1
    )


def test_a_cut_file_is_drawn_with_what_it_lacks_as_missing(study, record):
    record.write_text(cut(record.read_text()))
    found = load_record(record, study)
    assert len(found.runs) == 9 and 2 <= (found.runs["status"] == "missing").sum() <= 4
    assert found.remarks[0].startswith("runs.csv: cut off in line ")
    with pytest.raises(UserError, match="found a header and no runs"):
        record.write_text(header_only(record.read_text()))
        load_record(record)


def test_a_record_of_all_columns_is_read_and_used_without_a_warning(tmp_path):
    """pandas warns of frames whose hundred columns were set one by one."""
    rows = [dict.fromkeys(COLUMNS, "") | one_run({"seed": seed}, 0.6) for seed in "12"]
    path = write(pd.DataFrame(rows), tmp_path / "runs.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.PerformanceWarning)
        assert "cost" in make_tables(read_runs(path))
