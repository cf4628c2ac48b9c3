"""The sentences say what the numbers say: nothing false, every number that of the runs."""

import dataclasses
import json
import re

import numpy as np
import pytest
from fake_runs import grid, of_study, write
from planted import KNOWLEDGE, TASKS, by, lose, noisy, open_leader
from studies import study_dict, write_study

from kd.cli.main import main
from kd.results.advice.advice import advise
from kd.results.advice.verdict import Step
from kd.results.record import Record, load_record
from kd.results.report.answers import answer, price_sentences
from kd.results.report.cautions import cautions, dev_noise
from kd.results.report.evidence import evidence, limits
from kd.results.report.guideline import (
    STRENGTH,
    advice_data,
    answers,
    guideline_text,
    write_guideline,
)
from kd.results.tables.write import make_tables


def of(frame, axis):
    (found,) = [advice for advice in advise(frame) if advice.axis == axis]
    return found


def test_a_clear_winner_with_its_numbers():
    frame = noisy(by("knowledge", none=-0.04, hidden=0.03, attention=0.01), knowledge=KNOWLEDGE)
    advice = of(frame, "knowledge")
    text = answer(advice)
    assert text.startswith("Use `logits+hidden`. It is better than `logits+attention` by ")
    assert "after correction for 6 comparisons" in text
    assert text.endswith("It is also better than `logits` and `none`.")
    assert "on 3 of 3 tasks, and the highest on 3 of them" in " ".join(evidence(advice))
    assert limits(advice) == []


def test_a_task_on_which_a_value_has_no_pair_is_no_lead():
    frame = noisy(by("knowledge", none=-0.04, hidden=0.03, attention=0.01), knowledge=KNOWLEDGE)
    lost = lose(frame, knowledge="none", task="rte")
    text = " ".join(evidence(of(lost, "knowledge")))
    assert "on 2 of 2 finished tasks, and the highest on 2 of them" in text


def test_without_a_task_that_has_all_values_nothing_is_said_of_leads():
    frame = noisy(by("knowledge", none=-0.04, hidden=0.03, attention=0.01), knowledge=KNOWLEDGE)
    for task in frame["task"].unique():
        frame = lose(frame, knowledge="none", task=task)
    advice = of(frame, "knowledge")
    assert advice.breadth and advice.breadth.tasks_done == 0
    assert "The mean of" not in " ".join(evidence(advice))


def test_a_better_value_with_few_pairs_does_not_lead_and_is_named():
    frame = noisy(by("mapping", last=0.05), mapping=["first", "last", "emd"])
    for task in TASKS[1:]:
        frame = lose(frame, mapping="last", task=task)
    advice = of(frame, "mapping")
    assert advice.best != "last" and advice.higher == ("last",)
    text = answer(advice)
    assert "has the highest mean of the values that have half of their pairs or more" in text
    assert re.search(r"better, but with fewer pairs: `last` \(a lead of 4\.\d points", text)
    told = " ".join(evidence(advice))
    assert f"Significantly better than `{advice.best}`, with few pairs: `last` +" in told
    assert "`last`" not in told.split("Not shown to be worse")[1].split(".")[0]


def test_how_sure_leaves_out_tasks_at_the_constant_answer():
    """As the answers do: noise of a task that shows nothing would hide a difference."""
    rng = np.random.default_rng(0)
    effect = by("knowledge", hidden=0.05)
    frame = noisy(effect, task=["rte", "cola"], knowledge=["logits", "logits+hidden"])
    low = frame["task"] == "cola"
    frame.loc[low, "score"] = 0.5 + rng.normal(0, 0.05, low.sum())
    text = guideline_text(Record(frame), "x")
    assert "Use `logits+hidden`" in text
    assert "1 is significantly better than it and none is worse" in text
    told = make_tables(frame)["contrasts"].notes  # the tables have all tasks, and say so
    assert "the answers leave out cola, where no student is above the constant answer" in told


def test_equal_means_are_shared():
    scores = {"first": (0.60, 0.62, 0.58), "last": (0.62, 0.58, 0.60)}
    frame = grid(
        lambda c: scores[c["mapping"]][int(c["seed"]) - 1],
        mapping=["first", "last"], seed=["1", "2", "3"],
    )  # fmt: skip
    text = answer(of(frame, "mapping"))
    assert text.startswith("Undecided: `first` shares the highest mean with `last`, but is not ")


def test_a_significant_difference_that_is_small_is_not_said_to_matter():
    frame = open_leader()
    small = answer(of(frame, "mapping"), margin=4.0)
    assert "The choice matters" not in small
    assert "One difference is significant, but within 4 points: `first` is better" in small


def test_what_is_not_shown_to_be_worse_comes_with_gap_interval_and_pairs():
    frame = noisy(by("mapping", first=-0.2, last=0.01), noise=0.02,
                  mapping=["first", "last", "emd"])  # fmt: skip
    frame = lose(frame, mapping="emd", task="rte", seed="1")
    text = answer(of(frame, "mapping"))
    assert re.match(
        r"Undecided: `last` has the highest mean, but is not significantly better than `emd` "
        r"\(a lead of \d\.\d points; −\d\.\d to \+\d\.\d; 8 of 9 pairs\)\. "
        r"Significantly worse: `first`\.$",
        text,
    )
    assert "or as well" not in text


def test_nothing_significant_is_undecided_and_equal_values_are_called_so():
    mappings = ["first", "last", "emd"]
    wide = answer(of(noisy(lambda c: 0, noise=0.03, mapping=mappings), "mapping"))
    assert re.match(r"Undecided: `\w+` has the highest mean, but is not significantly better", wide)
    equal = answer(of(noisy(lambda c: 0, noise=0.001, mapping=mappings), "mapping"))
    assert equal.startswith("No difference: all values are within 0.5 points of ")


def test_no_difference_is_never_said_beside_a_significant_one():
    text = answer(of(open_leader(), "mapping"))
    assert "No difference" not in text and text.startswith("Undecided: `emd` has the highest mean")
    assert "The choice matters: `first` is better than `last` by 3.0 points" in text


def test_clear_but_small_and_too_few_seeds():
    frame = noisy(by("mapping", last=0.002), noise=0.0003, mapping=["first", "last"])
    advice = of(frame, "mapping")
    assert "Clear but small: `last` is better than `first` by 0.2 points" in answer(advice)
    assert any("smaller than the standard error" in text for text in limits(advice))
    two = frame[frame["seed"] != "3"]
    assert "2 seeds are too few" in answer(of(two, "mapping"))
    assert "Only 2 seeds: recommendations need three or more." in limits(of(two, "mapping"))
    assert answer(of(frame[frame["seed"] == "1"], "mapping")) == (
        "Undecided: one seed gives no measure of chance. `last` has the highest mean."
    )


def test_a_larger_teacher_helps_by_so_much():
    rng = np.random.default_rng(0)
    frame = grid(lambda c: 0.65 + 0.01 * (c["teacher"] == "bert-large") + rng.normal(0, 0.001),
                 task=TASKS, teacher=["bert-base", "bert-large"], seed=["1", "2", "3"])  # fmt: skip
    large = frame["teacher"] == "bert-large"
    frame.loc[large, "teacher_parameters"] = 3.3e8
    text = answer(of(frame, "teacher"))
    assert re.match(r"Yes: use `bert-large`\. It is better than `bert-base` by 1\.0 points", text)
    frame["score"] = frame["score"].where(large, frame["score"] + 0.02)
    assert answer(of(frame, "teacher")).startswith("No: use `bert-base`.")


def test_the_price_of_size_where_no_two_students_are_alike():
    sizes = {"1L-128-2h-512": -0.08, "2L-256-4h-1024": 0.0, "6L-768-12h-3072": 0.001}
    text = answer(of(noisy(lambda c: sizes[c["student"]], student=list(sizes)), "student"))
    assert text.startswith(
        "No two students are of equal size, so shape cannot be judged apart from size. "
        "The cheapest, `1L-128-2h-512`, scores"
    )
    gain = r"`2L-256-4h-1024` gives \+[78]\.\d points \([^)]*\) for 7\.\d times the FLOPs"
    assert re.search(gain, text)


def test_a_long_pareto_front_is_told_in_a_few_steps():
    """Twelve students, each better than the cheaper ones: three steps, and the rest in one."""
    sizes = [f"{layers}L-{64 * layers}-{layers}h-{256 * layers}" for layers in range(1, 13)]
    steps = [Step(s, cost=2.0**k, score=60.0 + k, lead=None) for k, s in enumerate(sizes)]
    advice = dataclasses.replace(of(noisy(lambda c: 0, student=sizes[:2]), "student"), steps=steps)
    text = price_sentences(advice, {})
    assert text.startswith("The cheapest, `1L-64-1h-256`, scores 60.0 at 1 GFLOPs. `2L-128-2h-512`")
    assert text.count("times the FLOPs") == 3 and "`5L" not in text
    assert (
        "8 further steps lead to `12L-768-12h-3072`, which gives +8.0 points over "
        "`4L-256-4h-1024` for 256.0 times its FLOPs. Each of these scores higher than every "
        "other student of equal or lower cost" in text
    )


def test_limits_name_lost_runs_and_where_the_best_does_not_lead():
    def effect(c):
        return (0.05 if c["task"] != "rte" else -0.02) * (c["mapping"] == "last")

    frame = noisy(effect, noise=0.001, mapping=["first", "last"])
    advice = of(lose(frame, mapping="last", task="qnli", seed="1"), "mapping")
    told = " ".join(limits(advice))
    assert "Missing runs: `last` 1 of 9." in told
    assert re.search(r"`last` is below the average of the others on rte \(−[12]\.\d points\)", told)
    assert any("depends on the task" in text for text in evidence(advice))


def test_a_run_that_stands_for_two_values_is_counted_for_both():
    frame = noisy(lambda c: 0, mapping=["uniform", "random"], knowledge=["logits", "logits+hidden"])
    frame.loc[(frame["seed"] == "1") & (frame["mapping"] == "uniform"), "mapping"] = (
        "uniform = random"
    )
    frame = frame[~((frame["seed"] == "1") & (frame["mapping"] == "random"))]
    frame = lose(frame.reset_index(drop=True), mapping="uniform = random", task="rte")
    assert limits(of(frame, "mapping"))[0] == "Missing runs: `uniform` 1 of 9 and `random` 1 of 9."


def test_a_study_at_chance_says_so_first():
    frame = noisy(lambda c: -0.14, mapping=["first", "last"]).assign(teacher_score=0.51)
    text = guideline_text(Record(frame), "chance")
    first = next(line for line in text.splitlines()[1:] if line)
    assert first.startswith("- This study cannot answer its question: no student is clearly above")
    assert "constant answer 50.0, standard error 3.0" in first
    assert "The teacher bert-base is not clearly above the constant answer" in text
    warned = frame.assign(teacher_warning="it scores 50.0 on RTE, no more than the constant answer")
    told = " ".join(cautions(Record(warned)))
    assert "The teacher bert-base has learned nothing: it scores 50.0 on RTE" in told
    assert "The teacher bert-base is not clearly above" not in told
    assert "This study cannot answer: no student is clearly above" in answer(of(frame, "mapping"))


def test_the_error_of_the_dev_split_is_each_metrics_own():
    frame = noisy(lambda c: 0, mapping=["first", "last"], task=["cola"])
    assert dev_noise(frame) == ""  # Matthews' correlation: not known from the score
    assert dev_noise(frame.assign(score_se=0.03)).endswith(
        "so a score has a standard error: 3.0 points on cola (277 examples). Paired differences "
        "have smaller ones."
    )


def test_few_seeds_and_good_teachers_are_remarked():
    frame = noisy(lambda c: 0.1, mapping=["first", "last"], seed=["1"])
    told = cautions(Record(frame))
    assert told[0].startswith("Only one seed has finished")
    assert (
        told[1]
        == "The students of 6 cells (on rte, qnli and sst2) score higher than their teacher."
    )
    plain = noisy(lambda c: 0, mapping=["first", "last"])
    assert cautions(Record(plain)) == []
    chain = {"teacher": "ta", "teacher_run": "rte-6l", "teacher_chain": "12L-768 > 6L-384"}
    (told,) = cautions(Record(plain.assign(**chain)))
    assert told.startswith("The teacher ta is a teacher assistant (12L-768 > 6L-384).")


def test_teachers_of_one_recipe_with_other_weights_are_remarked():
    """A study that went on where its teachers were trained again, on another kind of machine."""
    plain = noisy(lambda c: 0, mapping=["first", "last"], seed=["1", "2", "3"])
    same = plain.assign(teacher="big", teacher_id="big-1", teacher_fingerprint="aa")
    assert cautions(Record(same)) == []
    (told,) = cautions(
        Record(same.assign(teacher_fingerprint=same["teacher_fingerprint"].where(
            (same["task"] != "rte") | (same["mapping"] == "first"), "bb")))
    )  # fmt: skip
    assert told.startswith("rte: the runs learned from 2 trainings of the teacher big")
    by_seed = same.assign(teacher_id="big-" + same["seed"], teacher_fingerprint=same["seed"])
    assert cautions(Record(by_seed)) == []  # a teacher of its own for each seed


def test_pruned_values_are_named(tmp_path):
    study = study_dict(
        axes={"knowledge": ["logits", "logits+attention", "attention"], "seed": [1, 2, 3]},
        base={"student": "4L-256", "task": "rte"},
    )
    path = write_study(tmp_path, study)
    frame = of_study(path, lambda _: 0.65)
    record = load_record(write(frame, tmp_path / "runs.csv"), path)
    assert any(text.startswith("Never run: knowledge `logits+attention` (attention:kl compares")
               for text in cautions(record))  # fmt: skip


STUDENTS = ["bert-tiny", "bert-mini"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    axes = {"student": STUDENTS, "knowledge": ["logits", "none"], "seed": [1, 2, 3]}
    path = write_study(tmp_path, study_dict(axes=axes, base={"task": "rte"}, margin=0.8))
    rng = np.random.default_rng(0)

    def score(cell):
        better = 0.05 * (cell["knowledge"] == "logits") + 0.04 * (cell["student"][:2] == "4L")
        return 0.6 + better + rng.normal(0, 0.01)

    frame = of_study(path, score)
    (tmp_path / "results/studies/test").mkdir(parents=True)
    write(frame, tmp_path / "results/studies/test/runs.csv")
    return path


def test_the_same_advice_as_data(study, capsys):
    assert main(["guideline", str(study), "--json"]) == 0
    found = {row["axis"]: row for row in json.loads(capsys.readouterr().out)}
    row = found["knowledge"]
    keys = {"axis", "question", "best", "equal", "not_worse", "worse", "strength", "difference",
            "interval", "p", "limits"}  # fmt: skip
    assert keys <= set(row) and all(keys <= set(other) for other in found.values())
    assert row["best"] == "logits" and row["worse"] + row["not_worse"] == ["none"]
    assert row["difference"] == pytest.approx(5, abs=1.5) and row["margin"] == 0.8
    assert row["interval"][0] < row["difference"] < row["interval"][1]
    assert found["init"]["best"] is None and found["init"]["strength"] == "open"
    assert not (study.parent / "results/studies/test/guideline.md").exists()


def test_values_are_named_as_the_study_writes_them(study):
    path = study.parent / "results/studies/test/runs.csv"
    text = guideline_text(load_record(path, study), "test")
    assert "`bert-tiny`" in text and "`bert-mini`" in text
    assert "within 0.8 points" in text
    assert "`2L-128-2h-512`" in guideline_text(load_record(path), "test")


def test_the_file_is_the_same_each_time_and_answers_every_question(study, tmp_path):
    source = tmp_path / "results/studies/test/runs.csv"
    write_guideline(source, tmp_path / "guideline.md", study)
    first = (tmp_path / "guideline.md").read_bytes()
    write_guideline(source, tmp_path / "guideline.md", study)
    assert first == (tmp_path / "guideline.md").read_bytes()
    text = first.decode()
    assert text.startswith("# Guideline from the study test\n")
    assert text.count("## ") == 4  # two questions, what is not answered, how sure
    open_ = text[text.index("## Not answered") : text.index("## How sure")]
    assert open_.count("\n- ") == 4  # a line each
    assert "so its lead is optimistic" in text
    assert all(a.strength in STRENGTH for a in answers(load_record(source, study)))
    assert "2.9 points on rte (277 examples)" in text


def test_nothing_done_decides_nothing():
    frame = grid(lambda c: None, mapping=["first", "last"], seed=["1", "2", "3"])
    advice = of(frame, "mapping")
    assert answer(advice).startswith("Not answered: no two values have finished runs")
    assert limits(advice)[0] == "Missing runs: `first` 3 of 3 and `last` 3 of 3."
    text = guideline_text(Record(frame), "lost")
    assert "rest on 0 of 6 runs" in text and "No run has finished" in text
    assert advice_data(Record(frame))


@pytest.mark.parametrize("axis", ["mapping", "knowledge"])
def test_every_number_of_the_evidence_is_in_the_runs(axis):
    """The gap that is stated is the mean of the paired differences of the runs."""
    values = {"mapping": ["first", "last"], "knowledge": ["logits", "logits+hidden"]}[axis]
    frame = noisy(lambda c: 0.02 * (c[axis] == values[1]), **{axis: values}, seed=["1"])
    wide = frame.pivot(index="task", columns=axis, values="score")
    gap = 100 * (wide[values[0]] - wide[values[1]]).mean()
    assert f"`{values[0]}` {gap:+.1f} (".replace("-", "−") in evidence(of(frame, axis))[0]


def test_a_perfect_accuracy_has_no_error_of_its_own():
    """All answers are right: the examples say nothing of how far off that may be."""
    frame = grid(lambda c: 1.0, knowledge=["none", "logits"], seed=["1", "2"])
    assert dev_noise(frame) == ""


def test_two_seeds_of_a_contrast_recommend_nothing_whatever_other_values_have():
    frame = grid(
        lambda c: 0.6 + 0.05 * (c["mapping"] == "last") + 0.001 * int(c["seed"]),
        task=["rte", "sst2", "mrpc"], mapping=["first", "last"], seed=["1", "2", "3"],
    )  # fmt: skip
    frame.loc[frame["seed"] == "2", "score"] += 0.0001 * (frame["mapping"] == "last")
    frame = lose(frame, mapping="last", seed="3")
    advice = of(frame, "mapping")
    assert advice.strength == "weak" and advice.seeds == 2
    assert "2 seeds are too few" in answer(advice)
    assert "Only 2 seeds: recommendations need three or more." in limits(advice)


def test_a_value_that_was_not_compared_is_not_called_worse_or_equal():
    def runs(effects, start=0):
        rng = np.random.default_rng(start)
        frame = grid(
            lambda c: 0.6 + effects.get((c["hard_weight"], c["temperature"]), 0)
            + rng.normal(0, 0.001),
            task=["rte", "sst2", "mrpc"], hard_weight=["0.5", "1"], temperature=["1", "2", "4"],
            seed=["1", "2", "3", "4"],
        )  # fmt: skip
        kept = [cell in effects for cell in zip(frame["hard_weight"], frame["temperature"])]  # noqa: B905
        return frame[kept].reset_index(drop=True)

    ahead = {("1", "1"): 0.0, ("1", "2"): 0.05, ("0.5", "1"): -0.1, ("0.5", "4"): -0.04}
    advice = of(runs(ahead), "temperature")
    assert (advice.best, advice.apart, advice.strength) == ("4", ("2",), "weak")
    assert "but no setting compares it with `2`" in answer(advice)
    alike = {("1", "1"): 0.0, ("1", "2"): 0.0, ("0.5", "1"): -0.1, ("0.5", "4"): -0.1}
    assert "all compared values are within" in answer(of(runs(alike, 1), "temperature"))


def test_tasks_and_seeds_without_results_are_not_counted(tmp_path):
    frame = noisy(by("mapping", last=0.05), mapping=["first", "last"], seed=["1", "2", "3", "4"])
    unfinished = (frame["task"] != "rte") | (frame["seed"] == "4")
    frame.loc[unfinished, ["status", "score"]] = ["missing", None]
    text = guideline_text(load_record(write(frame, tmp_path / "runs.csv")), "x")
    assert "1 task (rte), 3 seeds" in text
    assert "is above the other value on the only finished task" in text
    assert "Only rte was tested; other tasks may differ." in text
