"""Advice follows from the numbers, and where they give none, it says so."""

import numpy as np
import pytest
from fake_runs import grid, write

from kd.guideline import STRENGTH, advise, guideline_text, write_guideline

TASKS = ["rte", "cola", "mrpc"]
SEEDS = ["1", "2", "3"]
KNOWLEDGE = ["none", "logits", "logits+hidden", "logits+attention"]


def noisy(effect, noise=0.002, start=0, **axes):
    """A grid whose score is 0.6 and the cell's effect, with seeds that spread by `noise`."""
    rng = np.random.default_rng(start)
    return grid(lambda c: 0.6 + effect(c) + rng.normal(0, noise), **axes)


def of(frame, axis):
    (found,) = [advice for advice in advise(frame) if advice.axis == axis]
    return found


def test_a_clear_winner_is_strong_and_comes_with_its_numbers():
    gain = {"none": -0.04, "logits": 0, "logits+hidden": 0.03, "logits+attention": 0.01}
    frame = noisy(lambda c: gain[c["knowledge"]], task=TASKS, knowledge=KNOWLEDGE, seed=SEEDS,
                  mapping=["first", "last"])  # fmt: skip
    advice = of(frame, "knowledge")
    assert advice.strength == "strong"
    assert advice.recommendation.startswith("Take knowledge **logits+hidden**: it beats none")
    assert advice.evidence[0].startswith("logits+hidden − logits+attention: +1.8 points")
    assert "leads on 3 of 3 tasks" in " ".join(advice.evidence)
    assert "distillation of the logits alone: +3.9 points" in " ".join(advice.evidence)
    assert not advice.limits


def test_no_difference_is_not_decided():
    frame = noisy(lambda c: 0, task=TASKS, mapping=["first", "last", "uniform"], seed=SEEDS)
    advice = of(frame, "mapping")
    assert advice.strength == "none"
    assert advice.recommendation.startswith("The data do not decide: the highest mean")


def test_no_effect_is_seldom_recommended():
    """Of 20 studies without any effect, about one may be taken in."""
    wrong = 0
    for seed in range(20):
        frame = noisy(lambda c: 0, start=seed, task=TASKS[:2], mapping=["first", "last", "emd"],
                      seed=SEEDS)  # fmt: skip
        wrong += of(frame, "mapping").strength != "none"
    assert wrong <= 4


def test_two_that_tie_are_both_named_and_the_simplest_pointed_at():
    gain = {"none": -0.05, "logits": 0, "logits+hidden": 0, "logits+attention": 0}
    frame = noisy(lambda c: gain[c["knowledge"]], task=TASKS, knowledge=KNOWLEDGE, seed=SEEDS)
    advice = of(frame, "knowledge")
    assert advice.strength == "weak" and "beats none" in advice.recommendation
    assert "simplest of them is logits" in advice.recommendation or "**logits**" in (
        advice.recommendation
    )


def test_where_it_does_not_hold_is_named():
    def effect(c):
        good = 0.05 if c["task"] != "rte" else -0.02
        return good * (c["mapping"] == "last")

    frame = noisy(effect, task=TASKS, mapping=["first", "last"], seed=SEEDS)
    advice = of(frame, "mapping")
    assert advice.strength == "strong"  # on two of three tasks
    assert any(text.startswith("It does not lead on rte (−") for text in advice.limits)
    assert any("depends on task" in text for text in advice.evidence)


def test_shape_is_judged_at_equal_size():
    students = ["2L-744-12h-2976", "12L-300-12h-1200", "1L-128-2h-512"]
    layers = {"2": 0.0, "12": 0.03, "1": -0.2}
    frame = noisy(lambda c: layers[c["student"].split("L")[0]], task=TASKS, student=students,
                  seed=SEEDS)  # fmt: skip
    advice = of(frame, "student")
    assert advice.recommendation == (
        "At 13.1 million parameters without embeddings, take student **12L-300-12h-1200**: "
        "it beats 2L-744-12h-2976."
    )
    assert any("Pareto front" in text and "1L-128" in text for text in advice.evidence)


def test_one_seed_decides_nothing_and_what_was_not_asked_is_open():
    frame = noisy(lambda c: 0.1 * (c["mapping"] == "last"), mapping=["first", "last"])
    assert "one seed" in of(frame, "mapping").recommendation
    assert of(frame, "mapping").strength == "none"
    assert of(frame, "init").strength == "open"
    assert "initialisation is teacher-uniform in all its runs" in of(frame, "init").recommendation


def test_nothing_done_decides_nothing():
    frame = grid(lambda c: None, mapping=["first", "last"], seed=SEEDS)
    advice = of(frame, "mapping")
    assert advice.strength == "open" and "Missing runs: first 3 of 3" in advice.limits[0]
    assert "From 0 of 6 runs" in guideline_text(frame, "lost")


def test_missing_runs_are_told():
    frame = grid(lambda c: None if (c["mapping"], c["seed"]) == ("last", "1") else 0.5,
                 mapping=["first", "last"], seed=SEEDS)  # fmt: skip
    assert any("Missing runs: last 1 of 3." in text for text in of(frame, "mapping").limits)


def test_the_file_is_the_same_each_time_and_answers_every_question(tmp_path):
    frame = noisy(lambda c: 0.01 * len(c["knowledge"]), task=TASKS, knowledge=KNOWLEDGE, seed=SEEDS)
    source = write(frame, tmp_path / "runs.csv")
    write_guideline(source, tmp_path / "guideline.md", "mine", "What helps?")
    first = (tmp_path / "guideline.md").read_bytes()
    write_guideline(source, tmp_path / "guideline.md", "mine", "What helps?")
    assert first == (tmp_path / "guideline.md").read_bytes()
    text = first.decode()
    assert text.startswith("# Guideline from the study mine\n\nWhat helps?\n")
    for question in ("Which knowledge", "Which teacher layer", "Wide or deep", "weights start"):
        assert text.count(f"## {question}") + text.count(f"{question}") >= 1
    assert "so is the choice of what is best" in text
    assert all(advice.strength in STRENGTH for advice in advise(frame))
    assert "rte 2.8 (277 examples)" in text  # about sqrt(0.68 · 0.32 / 277)


@pytest.mark.parametrize("axis", ["mapping", "knowledge"])
def test_every_number_of_the_evidence_is_in_the_runs(axis):
    """The gap that is told is the mean of the paired differences of the runs."""
    values = {"mapping": ["first", "last"], "knowledge": ["logits", "logits+hidden"]}[axis]
    frame = noisy(lambda c: 0.02 * (c[axis] == values[1]), task=TASKS, **{axis: values})
    wide = frame.pivot(index="task", columns=axis, values="score")
    gap = 100 * (wide[values[1]] - wide[values[0]]).mean()
    assert f"{gap:+.1f} points" in of(frame, axis).evidence[0]
