"""Variances of paired differences: by hand, with planted parts, and where a record has few."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_runs import frame_of, grid, one_run

from kd.results.answers import TaskAnswers
from kd.results.power import variances
from kd.results.power.variances import Known, Variance, components, known_from, table_of
from kd.results.statistics.examples import Answers

KNOWLEDGE = ["logits", "logits+hidden", "logits+attention"]
STUDENTS = ["3L-384-12h-1536", "6L-768-12h-3072"]


def planted(seeds, students=STUDENTS, value=0.01, run=0.02, start=0, **axes):
    """Noise of each value and seed, which the students share, and noise of each run."""
    rng = np.random.default_rng(start)
    shared: dict[tuple[str, ...], float] = {}

    def score(cell):
        key = (cell["task"], cell["knowledge"], cell["seed"])
        return 0.5 + shared.setdefault(key, rng.normal(0, value)) + rng.normal(0, run)

    return grid(score, knowledge=KNOWLEDGE, student=students,
                seed=[str(i) for i in range(seeds)], **axes)  # fmt: skip


def test_a_complete_table_gives_the_variance_of_the_means_of_its_seeds():
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(4, 3)) + np.arange(4)[:, None])
    total, common = components(wide)
    assert total == pytest.approx(wide.var().mean())
    assert Variance(total, common, 3, "").of_mean(3) == pytest.approx(wide.mean(axis=1).var())


def test_lost_runs_leave_the_parts_unbiased():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        wide = pd.DataFrame(rng.normal(size=(5, 1)) + 2 * rng.normal(size=(5, 3)))
        wide.iloc[0, 0] = wide.iloc[3, 2] = np.nan
        found.append(components(wide))
    total, common = np.mean(found, axis=0)
    assert total == pytest.approx(5, abs=0.4) and common == pytest.approx(1, abs=0.4)


def test_planted_parts_are_found_and_say_what_more_settings_bring():
    noise = {"value": 0.02, "run": 0.01}
    own = known_from(planted(40, **noise), {}, "pilot").axes["knowledge", "rte"]
    assert own.total == pytest.approx(2 * (0.02**2 + 0.01**2), rel=0.3)
    assert own.common == pytest.approx(2 * 0.02**2, rel=0.4)
    assert own.freedom == 2 * 39
    more = [f"{n}L-384-12h-1536" for n in (2, 3, 4, 5, 6)]
    many = known_from(planted(40, more, start=1, **noise), {}, "study").axes["knowledge", "rte"]
    assert own.of_mean(5) == pytest.approx(many.of_mean(5), rel=0.5)


def test_without_a_second_setting_more_settings_bring_nothing():
    own = known_from(planted(5, STUDENTS[:1]), {}, "pilot").axes["knowledge", "rte"]
    assert np.isnan(own.common) and own.of_mean(10) == own.total


def test_a_contrast_has_its_own_variance_with_ten_seeds_and_that_of_its_axis_with_fewer():
    def score(cell):
        calm = cell["knowledge"] != "logits+attention"
        return 0.5 + rng.normal(0, 0.001 if calm else 0.1)

    for seeds in (9, 10):
        rng = np.random.default_rng(2)
        names = [str(i) for i in range(seeds)]
        known = known_from(grid(score, knowledge=KNOWLEDGE, seed=names), {}, "pilot")
        calm, wild = (known.variance("knowledge", "logits", b, "rte") for b in KNOWLEDGE[1:])
        assert (calm.total < 0.01 * wild.total) == (seeds == 10)
        assert calm.freedom == (9 if seeds == 10 else 16)


def test_another_axis_then_single_runs_then_nothing():
    known = known_from(planted(3), {}, "pilot")
    other = known.variance("mapping", "first", "last", "rte")
    both = [known.axes[axis, "rte"] for axis in ("knowledge", "student")]
    assert min(v.total for v in both) < other.total < max(v.total for v in both)
    assert "other axes" in other.source
    assert known.variance("mapping", "first", "last", "cola") is None
    alone = frame_of(*(one_run({"seed": str(i)}, 0.6 + 0.01 * i) for i in range(3)))
    single = known_from(alone, {}, "pilot").variance("mapping", "first", "last", "rte")
    assert single.total == pytest.approx(2 * 0.01**2) and single.freedom == 2
    assert "single runs" in single.source
    assert known_from(alone[:1], {}, "pilot").axes == {}, "one seed has no spread"


def test_noise_of_examples_is_measured_where_there_are_answers_and_bounded_elsewhere():
    """In each seed 20 of 100 answers are right for one cell alone."""
    names = ["1", "2", "3"]
    frame = grid(lambda c: 0.6 + 0.01 * int(c["seed"]) * (c["knowledge"] == "logits"),
                 knowledge=KNOWLEDGE[:2], seed=names)  # fmt: skip
    frame = frame.assign(score_se=0.04)
    bound = known_from(frame, {}, "pilot").noise("knowledge", *KNOWLEDGE[:2], "rte")
    assert not bound.measured and bound.error == pytest.approx(0.04 * np.sqrt(2))
    labels = np.arange(100) % 2
    right = {run: np.arange(100) < (80 if knowledge == "logits" else 60)
             for run, knowledge in zip(frame["run"], frame["knowledge"], strict=True)}  # fmt: skip
    values = {run: np.where(ok, labels, 1 - labels) for run, ok in right.items()}
    answers = {"rte": TaskAnswers([Answers(labels, values, 2)], ["accuracy"])}
    own = known_from(frame, answers, "pilot").noise("knowledge", *KNOWLEDGE[:2], "rte")
    assert own.measured and own.examples == 100
    assert own.error == pytest.approx(np.sqrt(0.2 * 0.8 / 100), rel=0.1)


def test_the_shipped_table_keeps_what_a_record_says(tmp_path, monkeypatch):
    known = known_from(planted(4, task=["rte", "cola"]).assign(score_se=0.03), {}, "pilot")
    path = tmp_path / "shipped.csv"
    path.write_text(table_of({"pilot": known}), encoding="utf-8")
    monkeypatch.setattr(variances, "SHIPPED", path)
    read = variances.shipped.__wrapped__()
    assert read.axes.keys() == known.axes.keys() and read.bound.keys() == known.bound.keys()
    for key, own in known.axes.items():
        assert read.axes[key].of_mean(2) == pytest.approx(own.of_mean(2), rel=1e-4)
        assert read.axes[key].freedom == own.freedom
    assert read.bound["rte"].error == pytest.approx(known.bound["rte"].error, rel=1e-4)
    assert {own.source for own in read.axes.values()} == {"shipped record pilot"}


def test_a_shipped_record_that_varies_the_axis_comes_before_one_that_does_not(
    tmp_path, monkeypatch
):
    first = known_from(planted(4, task=["rte"]), {}, "first")
    axis = next(iter(first.axes))[0]
    second = Known("second", {("another", "rte"): replace(first.axes[axis, "rte"], total=0.5)})
    path = tmp_path / "shipped.csv"
    path.write_text(table_of({"first": first, "second": second}), encoding="utf-8")
    monkeypatch.setattr(variances, "SHIPPED", path)
    read = variances.shipped.__wrapped__()
    own, other = (read.variance(name, "a", "b", "rte") for name in ("another", "a third"))
    assert (own.total, own.source) == (0.5, "shipped record second")
    assert "other axes" in other.source and own.total > other.total
