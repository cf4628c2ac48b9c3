"""Each cell at the value that is best on the slice: worked out by hand, and never by dev scores."""

import json
import random

import pandas as pd
import pytest
from fake_runs import frame_of, one_run, write

from kd.results.best_students import best_students
from kd.results.record import load_record
from kd.results.report.guideline import guideline_text
from kd.results.statistics.cells import summarise
from kd.results.statistics.runs import axes
from kd.results.tables.write import make_tables
from kd.runtime.errors import UserError

RATES = ["0.0001", "0.0003", "0.001"]
SELECT = json.dumps({"axes": {"learning_rate": RATES}, "cells": ["task", "knowledge"]})

# (knowledge, learning rate): by seed (slice score, dev score).
# On the slice logits are best at 0.0001 and logits+hidden at 0.0003; on dev both are at 0.001.
SCORES = {
    ("logits", "0.0001"): [(0.80, 0.60), (0.70, 0.62)],
    ("logits", "0.0003"): [(0.70, 0.61), (0.70, 0.63)],
    ("logits", "0.001"): [(0.60, 0.90), (0.60, 0.92)],
    ("logits+hidden", "0.0001"): [(0.50, 0.50), (0.55, 0.50)],
    ("logits+hidden", "0.0003"): [(0.90, 0.70), (0.80, 0.72)],
    ("logits+hidden", "0.001"): [(0.85, 0.80), (0.80, 0.82)],
}


def runs_of(scores, select=SELECT):
    """Rows of runs.csv; a pair of None is a run that is missing."""
    rows = []
    for (knowledge, rate), pairs in scores.items():
        for seed, pair in enumerate(pairs, 1):
            cell = {"knowledge": knowledge, "learning_rate": rate, "seed": str(seed)}
            cell |= {"held_out": "0.1", "held_out_seed": "0"}
            on_slice, on_dev = pair or (None, None)
            rows.append(one_run(cell, on_dev, slice_score=on_slice, select=select))
    return frame_of(*rows)


def record_of(tmp_path, scores, **changes):
    return load_record(write(runs_of(scores, **changes), tmp_path / "runs.csv"))


def chosen(record):
    return {c.cell[1]: c.value[0] for c in record.selection.candidates if c.chosen}


def candidate(record, knowledge, rate):
    (found,) = [
        c for c in record.selection.candidates if (c.cell[1], c.value[0]) == (knowledge, rate)
    ]
    return found


def test_every_cell_is_at_its_own_best_value_on_the_slice(tmp_path):
    record = record_of(tmp_path, SCORES)
    assert chosen(record) == {"logits": "0.0001", "logits+hidden": "0.0003"}
    best = candidate(record, "logits+hidden", "0.0003")
    assert best.slice_score == pytest.approx(0.85) and best.dev_score == pytest.approx(0.71)
    assert (best.seeds, best.lost) == (2, 0)
    assert len(record.every) == 12 and len(record.runs) == 4
    assert list(record.runs["score"]) == [0.60, 0.62, 0.70, 0.72]


def test_matchings_that_are_written_into_one_knowledge_are_cells_of_their_own(tmp_path):
    """`knowledge: [logits+hidden:mse, logits+hidden:cka]` is one knowledge and no axis matching."""
    best = {"mse": "0.0001", "cosine": "0.0003", "cka": "0.001"}
    rows = []
    for matching, rate in ((m, r) for m in best for r in RATES):
        for seed in "12":
            cell = {"knowledge": "logits+hidden", "matching": matching, "learning_rate": rate}
            on_slice = 0.9 if best[matching] == rate else 0.8
            more = {"slice_score": on_slice, "select": SELECT}
            rows.append(one_run({**cell, "seed": seed, "held_out": "0.1"}, 0.5, **more))
    record = load_record(write(frame_of(*rows), tmp_path / "runs.csv"))
    assert record.selection.cells == ["task", "knowledge", "matching"]
    assert {c.cell[2]: c.value[0] for c in record.selection.candidates if c.chosen} == best
    assert dict(zip(record.runs["matching"], record.runs["chosen"], strict=True)) == {
        matching: f"learning_rate {rate}" for matching, rate in best.items()
    }


def test_dev_scores_have_no_part_in_the_choice(tmp_path):
    """Any other dev scores, and the same runs are chosen."""
    turned = {
        key: [(on_slice, 1 - on_dev) for on_slice, on_dev in pairs] for key, pairs in SCORES.items()
    }
    first, second = record_of(tmp_path, SCORES), record_of(tmp_path, turned)
    assert set(first.runs["run"]) == set(second.runs["run"])
    best = first.runs.groupby("knowledge")["score"].mean().max()
    assert best < first.every["score"].max(), "the frame does not tell dev from slice"


def test_the_tuned_axis_is_no_axis_of_comparison(tmp_path):
    record = record_of(tmp_path, SCORES)
    assert "learning_rate" in axes(record.every)
    assert axes(record.runs) == ["knowledge", "seed"]
    tables = make_tables(record.runs, None, record.selection)
    assert "axis-knowledge" in tables and "axis-learning_rate" not in tables
    assert "learning_rate" not in tables["scores"].header
    assert "best on the held-out slice" in " ".join(tables["scores"].notes)
    summary = summarise(record.runs)
    assert list(summary["chosen"]) == ["learning_rate 0.0001", "learning_rate 0.0003"]
    assert list(summary["mean"]) == pytest.approx([0.61, 0.71])


def test_a_student_to_ship_is_one_of_the_chosen_runs(tmp_path):
    record = record_of(tmp_path, SCORES)
    best = best_students(record.runs)["rte"]
    assert best.cells == 2 and best.mean == pytest.approx(0.71), "dev would have chosen 0.001"


def test_the_table_shows_every_value_and_the_equal_budget(tmp_path):
    record = record_of(tmp_path, SCORES)
    table = make_tables(record.runs, None, record.selection)["selected"]
    assert table.header == [
        *("task", "knowledge", "learning_rate", "slice score", "dev score", "seeds", "note")
    ]
    assert table.rows[0] == [
        *("rte", "logits", "0.0001", "75.0", "61.0", "2"),
        "chosen; the smallest learning_rate that was tried",
    ]
    assert table.rows[4] == ["rte", "logits+hidden", "0.0003", "85.0", "71.0", "2", "chosen"]
    assert "equal budgets: each of 2 cells tried 3 values" in table.notes


def test_a_best_value_at_the_end_of_the_range_is_a_warning(tmp_path):
    record = record_of(tmp_path, SCORES)
    told = record.selection.remarks[0]
    assert told.startswith("In 1 of 2 cells the best learning_rate is the smallest")
    assert told in record.remarks and told in guideline_text(record, "x")
    at_top = {**SCORES, ("logits", "0.001"): [(0.9, 0.1), (0.9, 0.1)]}
    assert "the largest that was tried" in record_of(tmp_path, at_top).selection.remarks[0]


def test_the_ends_of_the_range_are_counted_among_the_cells_with_a_choice(tmp_path):
    scores = {**SCORES, ("logits+hidden", "0.0003"): [None, None]}
    told = record_of(tmp_path, scores).selection.remarks
    assert any(t.startswith("In 1 of 1 cell the best learning_rate is the smallest") for t in told)


def test_a_choice_within_the_noise_of_the_slice_is_said(tmp_path):
    """Paired: each seed of 0.0003 is 0.01 better or worse, and 0.001 is far below."""
    pairs = {
        "0.0001": [(0.70, 0.5), (0.80, 0.5)],
        "0.0003": [(0.72, 0.6), (0.79, 0.6)],
        "0.001": [(0.10, 0.9), (0.20, 0.9)],
    }
    record = record_of(tmp_path, {("logits", rate): own for rate, own in pairs.items()})
    text = "In 1 of 1 cell another learning_rate is as good on the held-out slice: within two"
    assert [t.startswith(text) for t in record.selection.remarks] == [True]
    pairs["0.0001"] = [(0.60, 0.5), (0.671, 0.5)]
    record = record_of(tmp_path, {("logits", rate): own for rate, own in pairs.items()})
    assert record.selection.remarks == []


@pytest.mark.parametrize("order", [RATES, RATES[::-1]])
def test_of_equal_values_the_first_of_the_study_is_chosen(tmp_path, order):
    pairs = [(0.7, 0.5), (0.8, 0.5)], [(0.8, 0.6), (0.7, 0.6)], [(0.1, 0.9), (0.1, 0.9)]
    scores = {("logits", rate): values for rate, values in zip(RATES, pairs, strict=True)}
    select = json.dumps({"axes": {"learning_rate": order}, "cells": ["task", "knowledge"]})
    first = next(rate for rate in order if rate != RATES[2])
    assert chosen(record_of(tmp_path, scores, select=select)) == {"logits": first}


def test_values_are_compared_on_the_seeds_that_all_of_them_have(tmp_path):
    """On all its seeds 0.0001 has a mean of 0.75; on seed 2 alone, which 0.0003 has too, 0.65."""
    scores = {
        ("logits", "0.0001"): [(0.85, 0.5), (0.65, 0.5)],
        ("logits", "0.0003"): [None, (0.70, 0.5)],
        ("logits", "0.001"): [(0.6, 0.5), (0.6, 0.5)],
    }
    record = record_of(tmp_path, scores)
    assert chosen(record) == {"logits": "0.0003"}
    found = candidate(record, "logits", "0.0003")
    assert (found.seeds, found.lost) == (1, 1)
    assert candidate(record, "logits", "0.0001").slice_score == pytest.approx(0.65)
    assert any("compared on the seeds that all of them have" in text for text in record.remarks)
    note = make_tables(record.runs, None, record.selection)["selected"].rows[1][-1]
    assert note == "chosen; 1 run missing"
    assert sorted(record.runs["status"]) == ["done", "missing"], "the lost run is shown"


def test_a_cell_without_a_common_seed_is_left_out_visibly(tmp_path):
    scores = {**SCORES, ("logits", "0.0001"): [(0.9, 0.9), None], ("logits", "0.001"): [None] * 2}
    record = record_of(tmp_path, scores)
    assert chosen(record) == {"logits+hidden": "0.0003"}
    missing = "1 cell is shown as missing, because no seed is done for all values of learning_rate"
    assert f"{missing}: logits." in record.remarks
    assert not any("of 2 cells" in text for text in record.remarks), "one cell has no choice"
    kept = record.runs[record.runs["knowledge"] == "logits"]
    assert len(kept) == 2 and kept["score"].isna().all() and set(kept["status"]) == {"missing"}
    table = make_tables(record.runs, None, record.selection)["scores"]
    assert any("logits on rte: 2 of 2 missing" in note for note in table.notes)
    row = table.rows[2]
    assert row[:2] == ["logits", "–"]


def test_fewer_values_for_one_method_is_said(tmp_path):
    fewer = {key: pairs for key, pairs in SCORES.items() if key != ("logits", "0.001")}
    record = record_of(tmp_path, fewer)
    assert any(
        t == "The budgets differ: logits had fewer values of learning_rate than the 3 of others."
        for t in record.remarks
    )
    notes = make_tables(record.runs, None, record.selection)["selected"].notes
    assert "unequal budgets: cells tried 2 to 3 values" in notes


def test_two_axes_are_chosen_together(tmp_path):
    rows = []
    # Best together is (0.0003, 1); by the mean over the other axis it would be (0.0001, 3).
    table = {("0.0001", "1"): 0.5, ("0.0001", "3"): 0.8, ("0.0003", "1"): 0.9, ("0.0003", "3"): 0.3}
    select = {"axes": {"learning_rate": RATES, "epochs": ["1", "3"]}, "cells": ["knowledge"]}
    for (rate, epochs), score in table.items():
        cell = {"knowledge": "logits", "learning_rate": rate, "epochs": epochs}
        rows.append(one_run(cell, 0.5, slice_score=score, select=json.dumps(select)))
    record = load_record(write(frame_of(*rows), tmp_path / "runs.csv"))
    assert list(record.runs["chosen"]) == ["learning_rate 0.0003, epochs 1"]


def test_a_run_that_stands_for_two_values_is_in_the_cell_of_each(tmp_path):
    """At seed 1 the random mapping is the uniform one; each chooses its own rate."""
    rows = []
    scores = {
        ("uniform = random", "1"): {"0.0001": 0.6, "0.0003": 0.6},
        ("uniform", "2"): {"0.0001": 0.9, "0.0003": 0.1},
        ("random", "2"): {"0.0001": 0.1, "0.0003": 0.9},
    }
    for (mapping, seed), by_rate in scores.items():
        for rate, score in by_rate.items():
            cell = {"mapping": mapping, "seed": seed, "learning_rate": rate}
            rows.append(one_run(cell, 0.5, slice_score=score))
    select = json.dumps({"axes": {"learning_rate": RATES[:2]}, "cells": ["task", "mapping"]})
    frame = frame_of(*rows).assign(select=select)
    runs = load_record(write(frame, tmp_path / "runs.csv")).runs
    found = set(zip(runs["mapping"], runs["seed"], runs["chosen"], strict=True))
    assert found == {
        ("uniform", "1", "learning_rate 0.0001"),
        ("uniform", "2", "learning_rate 0.0001"),
        ("random", "1", "learning_rate 0.0003"),
        ("random", "2", "learning_rate 0.0003"),
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_changes_nothing(tmp_path, seed):
    """Also where scores are so close that the order of a sum would decide."""
    draw = random.Random(seed)
    near = [0.1, 0.2, 0.3, 0.7]
    scores = {
        (knowledge, rate): [(slices, draw.random()) for slices in draw.sample(near, 4)]
        for knowledge in ("logits", "logits+hidden")
        for rate in RATES
    }
    frame = runs_of(scores)
    mixed = frame.sample(frac=1, random_state=seed)
    first, second = (load_record(write(f, tmp_path / "runs.csv")) for f in (frame, mixed))
    assert set(first.runs["run"]) == set(second.runs["run"])
    assert chosen(first) == chosen(second) == dict.fromkeys(("logits", "logits+hidden"), RATES[0])
    assert set(first.selection.candidates) == set(second.selection.candidates)


def test_a_record_without_the_column_is_not_reduced(tmp_path):
    frame = runs_of(SCORES).drop(columns="select")
    record = load_record(write(frame, tmp_path / "runs.csv"))
    assert record.selection is None and len(record.runs) == 12
    pd.testing.assert_frame_equal(record.runs, record.every)


@pytest.mark.parametrize("text", ["{", "[]", '{"axes": {"rate": []}, "cells": []}'])
def test_a_broken_column_is_an_error(tmp_path, text):
    with pytest.raises(UserError, match=r"select: found .*, allowed: what `kd collect` writes"):
        record_of(tmp_path, SCORES, select=text)
