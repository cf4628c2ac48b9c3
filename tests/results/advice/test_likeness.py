"""Which knowledge is most like the teacher, and whether it scores best: worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from fake_runs import grid

from kd.results.advice.likeness import QUESTION, likeness
from kd.results.numbers import NOTHING
from kd.results.record import Record
from kd.results.report.guideline import advice_data, answers, guideline_text
from kd.results.report.likeness import likeness_answer
from kd.results.statistics.pairing import prepare
from kd.results.tables.likeness import likeness_table

SEEDS = ["1", "2", "3", "4"]
WOBBLE = {"1": 0.0, "2": 0.001, "3": -0.001, "4": 0.0005}


def record(agreement, score, noise=1.0):
    """Runs of three kinds of knowledge on one task; values in fractions, a small noise by seed."""
    kinds = list(score)
    frame = grid(
        lambda c: (
            score[c["knowledge"]] + noise * WOBBLE[c["seed"]] * (1 + kinds.index(c["knowledge"]))
        ),
        knowledge=kinds,
        seed=SEEDS,
    )
    alike = [
        agreement[k] + noise * WOBBLE[s] * (3 - kinds.index(k))
        for k, s in zip(frame["knowledge"], frame["seed"], strict=True)
    ]
    return frame.assign(agreement=alike, score_se=np.nan)


SAME = {"none": 0.60, "logits": 0.70, "logits+hidden": 0.65}
ALIKE = {"none": 0.70, "logits": 0.80, "logits+hidden": 0.90}


def found(agreement, score, **more):
    return likeness(prepare(record(agreement, score, **more)), 0.5)


def test_the_most_alike_can_be_worse_in_score():
    alike = found(ALIKE, SAME)
    assert (alike.most_alike, alike.best_score) == ("logits+hidden", "logits")
    assert alike.agreement.strength == "strong"
    assert alike.agreement.others[0].difference == pytest.approx(10.0, abs=0.2)
    assert alike.gap.difference == pytest.approx(-5.0, abs=0.2) and alike.gap.significant
    text = likeness_answer(alike)
    assert text.startswith("`logits+hidden` agrees most with the teacher")
    assert "so the student most like its teacher is not the best one" in text
    assert "4 pairs" in text


def test_the_most_alike_can_be_the_best():
    alike = found({**ALIKE, "logits": 0.95}, SAME)
    assert alike.most_alike == alike.best_score == "logits"
    text = likeness_answer(alike)
    assert "`logits` also has the highest mean score: it is better than `logits+hidden`" in text


def test_what_is_not_significant_is_not_called_equal():
    near = {"none": 0.700, "logits": 0.701, "logits+hidden": 0.7005}
    alike = found(near, {"none": 0.700, "logits": 0.7005, "logits+hidden": 0.701}, noise=20)
    text = likeness_answer(alike)
    assert alike.agreement.strength == "none"
    assert text.count("not significantly different from") == 2
    assert "equal" not in text and "4 pairs" in text and " to " in text


def test_both_measures_are_of_the_same_runs():
    """A run without agreement has no part in the score either."""
    frame = record(ALIKE, SAME)
    hidden = (frame["knowledge"] == "logits") & (frame["seed"] == "1")
    frame.loc[hidden, "score"] = 0.99
    frame.loc[hidden, "agreement"] = np.nan
    alike = likeness(prepare(frame), 0.5)
    assert alike.gap.difference == pytest.approx(-5.0, abs=0.2) and alike.gap.pairs == 3
    assert "3 of 4 pairs" in likeness_answer(alike)


def test_the_question_is_asked_where_it_can_be_answered():
    frame = record(ALIKE, SAME)
    told = [a for a in answers(Record(frame)) if a.question == QUESTION]
    assert len(told) == 1 and told[0].text in guideline_text(Record(frame), "x")
    assert "points of agreement" in told[0].scale
    (data,) = [d for d in advice_data(Record(frame)) if d["measure"] == "agreement"]
    assert data["best"] == "logits+hidden" and data["best_score"] == "logits"
    for other in (frame.assign(agreement=np.nan), frame[frame["knowledge"] == "logits"]):
        assert QUESTION not in [a.question for a in answers(Record(other))]


def test_the_table_has_both_measures_and_their_contrasts():
    table = likeness_table(prepare(record(ALIKE, SAME, noise=0)))
    assert [[*row[:2], row[4], row[7]] for row in table.rows[:3]] == [
        ["none", "70.0", "60.0", "4"],
        ["logits", "80.0", "70.0", "4"],
        ["logits+hidden", "90.0", "65.0", "4"],
    ]
    last = table.rows[-1]
    assert (last[0], last[1], last[4], last[7]) == ("logits+hidden − logits", "+10.0", "−5.0", "4")
    assert likeness_table(prepare(record(ALIKE, SAME).assign(agreement=np.nan))) is None


def test_a_value_that_lacks_a_task_has_no_mean_over_tasks():
    """Its mean over easier tasks would stand beside those over all tasks."""
    easy, hard = record(ALIKE, SAME, noise=0), record(ALIKE, SAME, noise=0)
    hard[["score", "agreement"]] -= 0.2
    hard.loc[hard["knowledge"] == "none", ["score", "agreement"]] = np.nan
    frame = pd.concat([easy, hard.assign(task="cola", run="hard " + hard["run"])])
    table = likeness_table(prepare(frame.reset_index(drop=True)))
    assert [[row[0], row[1], row[4]] for row in table.rows[:3]] == [
        ["none", NOTHING, NOTHING],
        ["logits", "70.0", "60.0"],
        ["logits+hidden", "80.0", "55.0"],
    ]
