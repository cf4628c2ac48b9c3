"""What the tables say, cell by cell, and that their files are whole."""

import csv
import subprocess

import numpy as np
import pandas as pd
import pytest
from fake_runs import grid, one_run, write

from kd.results.answers import TaskAnswers
from kd.results.numbers import NOTHING, interval, p_text, plain, points
from kd.results.statistics.examples import Answers
from kd.results.statistics.runs import teacher_names
from kd.results.tables.table import Table
from kd.results.tables.write import make_tables, write_summary, write_tables

SCORES = {
    ("logits", "rte"): [0.60, 0.62],
    ("logits+hidden", "rte"): [0.64, 0.68],
    ("logits", "cola"): [-0.10, 0.10],
    ("logits+hidden", "cola"): [None, None],
}


@pytest.fixture
def frame():
    frame = grid(
        lambda c: SCORES[c["knowledge"], c["task"]][int(c["seed"]) - 1],
        task=["rte", "cola"],
        knowledge=["logits", "logits+hidden"],
        seed=["1", "2"],
    )
    frame.loc[frame.score.isna() & (frame.seed == "1"), "status"] = "failed"
    return frame


def test_the_speed_of_a_student_does_not_depend_on_what_it_learned():
    """One knowledge was run on the task of short texts alone, where the student is faster."""
    frame = grid(lambda c: 0.6, task=["rte", "cola"], knowledge=["logits", "logits+hidden"])
    short = frame["task"] == "cola"
    times = {"latency_seconds": np.where(short, 0.01, 0.04), "teacher_latency_seconds": 0.08}
    frame = frame.assign(**times)[short | (frame["knowledge"] == "logits")]
    tables = make_tables(frame)
    scores, cost = tables["scores"], tables["cost"]
    assert len({row[-1] for row in scores.rows if row[-1] not in ("1.0×", NOTHING)}) == 1
    column = cost.header.index("ms")
    assert [row[column] for row in cost.rows[1:]] == ["10.0", "10.0"], "on the task of both"


def test_one_teacher_of_tasks_with_fractions_of_their_own(frame):
    """Only teachers of one task that saw other fractions are two."""
    own = frame["task"].map({"rte": "1", "cola": "0.1"})
    frame = frame.assign(train_fraction=own, teacher_data="same")
    assert set(teacher_names(frame)) == {"bert-base"}
    half = frame.assign(train_fraction="0.5")
    assert len(set(teacher_names(pd.concat([frame, half])))) == 3


def test_points():
    assert points(0.8123, 0.004, 3, 3) == "81.2 ± 0.4 (3)"
    assert points(0.8123, float("nan"), 1, 3) == "81.2 (1/3)"
    assert points(-0.012, 0.01, 2, 2, signed=True) == "−1.2 ± 1.0 (2)"
    assert points(float("nan"), float("nan"), 0, 3) == "–"


def test_score_table(frame):
    table = make_tables(frame)["scores"]
    assert table.header == ["knowledge", "rte", "cola", "average", "size", "speed-up"]
    assert table.rows == [
        ["teacher bert-base", "70.0", "70.0", "70.0", "109.5 M", "1.0×"],
        ["constant answer", "50.0", "50.0", "50.0", "–", "–"],
        ["logits", "61.0 ± 1.4 (2)", "0.0 ± 14.1 (2)", "30.5 ± 7.8 (2)", "65.9 M", "2.0×"],
        ["logits+hidden", "66.0 ± 2.8 (2)", "–", "–", "65.9 M", "2.0×"],
    ]
    assert table.bold == {(3, 1), (2, 2), (2, 3)}  # best of the students; never the teacher
    notes = "\n".join(table.notes)
    assert "logits+hidden on cola: 2 of 2 missing (1 failed)" in notes
    assert "rte: accuracy; cola: Matthews" in notes


def test_a_teacher_on_a_fraction_of_the_examples_has_a_row_of_its_own():
    frame = grid(
        lambda c: 0.6 + float(c["train_fraction"]) / 10,
        train_fraction=["0.1", "0.5", "1"],
        knowledge=["logits", "logits+hidden"],
        seed=["1", "2"],
    )
    part = frame["train_fraction"] != "1"
    frame.loc[part, "teacher_data"] = "same"
    frame.loc[part, "teacher_score"] = frame.loc[part, "train_fraction"].map(float)
    found = {row[0]: row[2] for row in make_tables(frame)["scores"].rows if "teacher" in row[0]}
    assert found == {
        "teacher bert-base": "70.0",
        "teacher bert-base, train_fraction 0.1": "10.0",
        "teacher bert-base, train_fraction 0.5": "50.0",
    }


def test_a_cell_with_missing_runs_is_not_called_best():
    frame = grid(
        lambda c: 0.9 if c["mapping"] == "last" else 0.5, mapping=["first", "last"], seed=["1", "2"]
    )
    frame.loc[(frame.mapping == "last") & (frame.seed == "2"), ["score", "status"]] = [
        None,
        "missing",
    ]
    table = make_tables(frame)["scores"]
    assert table.rows[3][:2] == ["last", "90.0 (1/2)"]
    assert table.bold == {(2, 1)}


def test_axis_table_has_scores_then_differences(frame):
    table = make_tables(frame)["axis-knowledge"]
    assert [row[:3] for row in table.rows] == [
        ["logits (control)", "score", "61.0 ± 1.4 (2)"],
        ["logits+hidden", "score", "66.0 ± 2.8 (2)"],
        ["logits+hidden", "difference to logits", "+5.0 ± 1.4 (2)"],
    ]


def test_cost_table(frame):
    table = make_tables(frame)["cost"]
    assert table.rows[0][:3] == ["teacher bert-base", "", "109.5 M"]
    # 12 * 6 * 768**2 = 42.5 M; 2 * 128 times that, and attention; 4 runs of 100 s
    student = ["6L-768-12h-3072", "logits", "65.9 M", "42.5 M", "11.2", "42.5"]
    assert table.rows[1] == [*student, "4", "100", "0.11", "50.0"]
    assert table.rows[2][6] == "2/4"
    assert "missing runs: 6L-768-12h-3072, logits+hidden: 2 of 4" in table.notes


def test_times_are_compared_on_the_tasks_that_all_rows_have():
    """The slow task failed for one knowledge: it must not look twice as fast."""
    frame = grid(lambda c: 0.5, task=["rte", "qnli"], knowledge=["logits", "logits+hidden"])
    slow = frame["task"] == "qnli"
    frame = frame.assign(train_seconds=np.where(slow, 300.0, 100.0))
    lost = slow & (frame["knowledge"] == "logits+hidden")
    frame.loc[lost, ["score", "train_seconds", "examples_per_second"]] = np.nan
    frame.loc[lost, "status"] = "failed"
    table = make_tables(frame)["cost"]
    column = table.header.index("seconds a run")
    assert [row[column] for row in table.rows[1:]] == ["100", "100"]
    assert any("without 1 run, because some rows have no run on the same" in n for n in table.notes)


def test_times_are_compared_on_the_devices_that_all_rows_have():
    frame = grid(lambda c: 0.5, task=["rte", "qnli"], knowledge=["logits", "logits+hidden"])
    fast = (frame["task"] == "qnli") & (frame["knowledge"] == "logits")
    frame = frame.assign(
        train_seconds=np.where(fast, 10.0, 100.0), device=np.where(fast, "H200", "cpu")
    )
    table = make_tables(frame)["cost"]
    column = table.header.index("seconds a run")
    assert [row[column] for row in table.rows[1:]] == ["100", "100"]


def test_a_combination_that_was_not_planned_is_told_from_a_missing_one(frame):
    frame = frame[(frame.task == "rte") | (frame.knowledge == "logits")]
    table = make_tables(frame)["scores"]
    assert table.rows[3][2] == "–"
    assert any("not planned: logits+hidden on cola" in note for note in table.notes)


def test_a_long_list_of_missing_cells_says_how_many_it_leaves_out():
    frame = grid(lambda c: None, epochs=[str(n) for n in range(20)])
    assert any(
        note.endswith("; and 8 more, see summary.csv")
        for note in make_tables(frame)["scores"].notes
    )


def test_study_of_one_run_and_of_no_run():
    tables = make_tables(pd.DataFrame([one_run({}, 0.5)]))
    assert list(tables) == ["scores", "cost"]
    assert tables["scores"].rows[2][:2] == ["logits+hidden", "50.0 (1)"]
    assert make_tables(pd.DataFrame([one_run({}, 0.5)])[:0])["scores"].rows == [
        ["constant answer", "–", "–"]
    ]


TRICKY = Table(
    "A_b & 5 %", ["x|y", "rte"], [["a*b_c|d", "−1.0 ± 0.5 (2)"], ["–", "2"]], bold={(0, 1)}
)


def test_markdown_marks_the_best_and_escapes():
    text = TRICKY.markdown()
    assert r"a\*b_c\|d" in text and "**−1.0 ± 0.5 (2)**" in text


def test_latex_is_booktabs_and_escaped():
    text = TRICKY.latex()
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert r"\caption{A\_b \& 5 \%}" in text
    assert r"a*b\_c\textbar{}d & \textbf{$-$1.0}{\tiny$\pm$0.5 (2)} \\" in text
    assert "±" not in text and "–" not in text


def nine_tasks():
    tasks = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    return grid(
        lambda c: 0.6 + 0.01 * c["knowledge"].count("+") + 0.002 * (tasks.index(c["task"]) % 7),
        task=tasks,
        knowledge=["none", "logits", "logits+hidden", "logits+query-relation+value-relation"],
        mapping=[f"explicit {i}" for i in range(30)],
        seed=["1", "2", "3"],
    )


@pytest.mark.latex
@pytest.mark.parametrize("kind", ["small", "nine tasks, more rows than a page"])
def test_latex_compiles_as_it_stands_and_fits(frame, tmp_path, kind):
    source = write(frame if kind == "small" else nine_tasks(), tmp_path / "runs.csv")
    write_tables(source, tmp_path / "tables")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    run = subprocess.run(command, cwd=tmp_path / "tables", capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull" not in run.stdout and "too large" not in run.stdout


def test_latex_of_many_rows_keeps_the_best_and_says_what_it_leaves_out():
    table = Table("A", ["x", "y"], [[f"row {i}", f"{i}"] for i in range(60)],
                  first=list(range(59, -1, -1)))  # fmt: skip
    text = table.latex()
    assert "row 59 &" in text and "row 14 &" not in text and "row 15 &" in text
    assert "15 more rows are in the CSV file." in text


def test_what_is_within_noise_of_the_best_is_underlined():
    """Pooled sd 1 point over 4 cells of 3 seeds: t(0.975, 8) · 1 · sqrt(2/3) = 1.88 points."""
    level = {"a": 0.70, "b": 0.685, "c": 0.68, "d": 0.60}
    frame = grid(lambda c: level[c["mapping"]] + 0.01 * (int(c["seed"]) - 2),
                 mapping=list(level), seed=["1", "2", "3"])  # fmt: skip
    table = make_tables(frame)["scores"]
    names = {table.rows[i][0] for i, j in table.bold if j == 1}
    near = {table.rows[i][0] for i, j in table.underlined if j == 1}
    assert (names, near) == ({"a"}, {"b"})
    single = make_tables(frame[frame["seed"] == "1"])["scores"]
    assert not single.underlined  # one seed: the noise is unknown


def test_effects_contrasts_and_ranks_are_there_where_they_make_sense(frame):
    tables = make_tables(frame)
    assert list(tables) == ["scores", "axis-knowledge", "effects", "contrasts", "cost"]
    row = tables["contrasts"].rows[0]
    assert row[:3] == ["knowledge", "logits+hidden − logits", "+5.0"]
    assert row[5:] == ["2/4", "2"]
    whole = make_tables(grid(lambda c: 0.5 + 0.1 * len(c["knowledge"]) / 30, task=["rte", "cola"],
                             knowledge=["logits", "logits+hidden", "logits+cls"]))  # fmt: skip
    assert whole["ranks"].rows[0][:2] == ["logits+hidden", "1.0"]
    assert any("cannot reach 0.05" in note for note in whole["ranks"].notes)
    assert any("nothing is tested" in note for note in whole["effects"].notes)


def test_p_and_interval_as_text():
    assert [p_text(p) for p in (0.0004, 0.0123, float("nan"))] == ["<0.001", "0.012", "–"]
    assert interval(-0.001, 0.0204) == "−0.1 to +2.0" and interval(float("nan"), 1) == ""
    assert plain(-0.0001, 1, True) == "0.0"


def test_the_cost_table_says_where_runs_were_trained_and_where_they_were_timed():
    frame = grid(lambda c: 0.5, knowledge=["none", "logits"])
    where = "device: cpu (2 runs)"
    assert where in make_tables(frame)["cost"].notes
    assert not any("ms of" in note for note in make_tables(frame)["cost"].notes)
    frame["device"] = frame["teacher_evaluated_on"] = "H100"
    notes = make_tables(frame)["cost"].notes
    assert "device: H100 (2 runs)" in notes
    assert "ms of the students measured on: cpu (2 runs)" in notes
    assert "ms of teachers measured on: H100 (2 runs)" in notes


def test_files(frame, tmp_path):
    runs, out = write(frame, tmp_path / "runs.csv"), tmp_path / "tables"
    out.mkdir()
    (out / "stale.csv").write_text("from an older study")
    names = write_tables(runs, out)
    assert names == ["scores", "axis-knowledge", "effects", "contrasts", "cost"]
    files = {f"{n}.{e}" for n in names for e in ("csv", "md", "tex")}
    assert {p.name for p in out.iterdir()} == files | {"all.tex"}
    with (out / "scores.csv").open() as handle:
        assert next(csv.DictReader(handle)) == {
            "knowledge": "teacher bert-base",
            "rte": "70.0",
            "cola": "70.0",
            "average": "70.0",
            "size": "109.5 M",
            "speed-up": "1.0×",
        }
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    write_tables(runs, out)
    assert before == {p.name: p.read_bytes() for p in out.iterdir()}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs.csv", "tables"]


def test_summary_file(frame, tmp_path):
    write_summary(write(frame, tmp_path / "runs.csv"), tmp_path / "summary.csv")
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert len(summary) == 6  # 2 cells x (2 tasks and their average)
    assert summary.loc[summary.n == 0, "missing"].tolist() == ["2 of 2 missing (1 failed)"] * 2


def answered(frame, examples=200):
    """Answers of the runs of rte whose share of right ones is their score, and that score."""
    labels = np.arange(examples) % 2
    scores = frame.set_index("run").query("task == 'rte'")["score"].dropna()
    right = {run: np.arange(examples) < round(score * examples) for run, score in scores.items()}
    values = {run: np.where(ok, labels, 1 - labels) for run, ok in right.items()}
    return {"rte": TaskAnswers([Answers(labels, values, 2)], ["accuracy"])}


def test_the_table_of_examples_has_both_intervals_side_by_side(frame):
    """By seed +4 and +6 points on rte; cola has no answers."""
    assert "examples" not in make_tables(frame)
    table = make_tables(frame, answered(frame))["examples"]
    head = ["task", "knowledge", "difference", "over seeds", "over seeds and examples"]
    assert table.header[:5] == head
    (row,) = table.rows
    assert row[:4] == ["rte", "logits+hidden", "+5.0", "−7.7 to +17.7"]  # 12.706 · 1
    # 5 ± √((12.706 · 1)² + (1.972 · 0.9)²)
    assert row[4:] == ["−7.8 to +17.8", "2", "200", "1.0", "0.9"]


def test_runs_without_answers_are_left_out_of_the_table_of_examples_and_counted(frame):
    answers = answered(frame)
    (split,) = answers["rte"].splits
    gone = frame.query("task == 'rte' and seed == '2' and knowledge == 'logits'")["run"].iloc[0]
    fewer = {run: values for run, values in split.values.items() if run != gone}
    table = make_tables(
        frame, {"rte": TaskAnswers([Answers(split.labels, fewer, 2)], ["accuracy"])}
    )
    (row,) = table["examples"].rows
    assert row[2:6] == ["+4.0", "–", "–", "1"]
    assert "rows with fewer seeds than were run: 1" in table["examples"].notes[-1]


def test_where_not_all_contrasts_fit_the_most_significant_are_shown():
    """As text, `<0.001` comes after `1.000`."""
    gains = {"first": 0.0, "last": 0.1, "uniform": 0.001, "emd": 0.002}
    rng = np.random.default_rng(0)
    frame = grid(lambda c: 0.5 + gains[c["mapping"]] + rng.normal(0, 0.004),
                 mapping=list(gains), seed=["1", "2", "3", "4"])  # fmt: skip
    table = make_tables(frame)["contrasts"]
    shown = [table.rows[i][4] for i in table.first]
    assert shown[0] == "<0.001" and float(shown[-1]) > 0.5
    assert sorted(table.first) == list(range(6))
