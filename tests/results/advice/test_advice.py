"""The judgement of an axis: planted effects are found, none is invented, lost runs never help."""

import numpy as np
import pytest
from planted import KNOWLEDGE, MAPPINGS, TASKS, by, lose, noisy, open_leader
from scipy.stats import binom

from kd.axes.equal_size import parse_iso
from kd.axes.shapes import parse_shape
from kd.results.advice.advice import advise
from kd.results.advice.judge import judge_values
from kd.results.report.answers import answer
from kd.results.statistics.effects import contrasts
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE


def of(frame, axis, margin=0.5):
    (found,) = [advice for advice in advise(frame, margin) if advice.axis == axis]
    return found


def others(contrasts):
    return [contrast.other for contrast in contrasts]


def test_a_planted_winner_is_found_with_its_size():
    effects = {"none": -0.04, "hidden": 0.03, "attention": 0.01}
    advice = of(noisy(by("knowledge", **effects), knowledge=KNOWLEDGE), "knowledge")
    assert (advice.strength, advice.best) == ("strong", "logits+hidden")
    assert others(advice.worse) == ["logits+attention", "logits", "none"]
    assert [c.difference for c in advice.worse] == pytest.approx([2, 3, 7], abs=0.7)
    assert all(c.low < c.difference < c.high and c.p < 0.05 for c in advice.worse)
    assert advice.equal == advice.not_worse == ()
    assert advice.breadth.tasks_led == advice.breadth.tasks_alone == advice.breadth.tasks == 3


def test_equal_is_only_what_the_margin_supports():
    frame = noisy(by("mapping", first=-0.03), noise=0.003, mapping=["first", "last", "emd"])
    close = of(frame, "mapping", margin=1)
    assert len(close.equal) == 1 and not close.not_worse and others(close.worse) == ["first"]
    assert close.strength == "strong"
    strict = of(frame, "mapping", margin=0.01)
    assert not strict.equal and len(strict.not_worse) == 1
    assert strict.strength == "weak"


def test_clear_but_small_is_equal_and_significant():
    frame = noisy(by("mapping", last=0.002), noise=0.0003, mapping=["first", "last"])
    advice = of(frame, "mapping")
    (contrast,) = advice.equal
    assert contrast.significant and contrast.difference == pytest.approx(0.2, abs=0.05)
    assert (advice.best, advice.strength) == ("last", "strong")


def test_significant_contrasts_that_leave_the_leader_open_are_seen():
    advice = of(open_leader(), "mapping")
    assert advice.best == "emd" and advice.strength == "weak"
    assert [(c.value, c.other) for c in advice.elsewhere] == [("first", "last")]
    assert advice.elsewhere[0].difference == pytest.approx(3, abs=0.3)


def test_a_value_without_finished_runs_is_not_passed_over():
    frame = noisy(by("mapping", last=0.03), mapping=["first", "last", "emd"])
    assert of(frame, "mapping").strength == "strong"
    advice = of(lose(frame, mapping="emd"), "mapping")
    assert (advice.best, advice.strength) == ("last", "weak")
    assert [(c.other, c.pairs, c.planned) for c in advice.not_worse] == [("emd", 0, 9)]
    assert advice.lost == (("emd", 9, 9),)


def test_a_value_without_runs_on_a_task_is_neither_equal_nor_recommended():
    """On rte the two are equal, on the other tasks `last` is far behind."""
    frame = noisy(
        lambda c: -0.05 * (c["mapping"] == "last" and c["task"] != "rte"), noise=0.002,
        mapping=["first", "last"],
    )  # fmt: skip
    assert (of(frame, "mapping", 1).best, of(frame, "mapping", 1).strength) == ("first", "strong")
    rest = (frame["mapping"] == "last") & (frame["task"] != "rte")
    lost = frame.assign(score=frame["score"].mask(rest))
    advice = of(lost, "mapping", 1)
    (other,) = advice.not_worse
    assert not advice.equal and not other.whole and -1 < other.low < other.high < 1
    assert advice.strength == "none"


def test_a_worse_value_without_runs_on_a_task_leaves_the_answer_weak():
    frame = noisy(by("mapping", last=0.03), mapping=["first", "last"])
    advice = of(lose(frame, mapping="first", task="rte"), "mapping")
    assert (advice.best, advice.strength) == ("last", "weak")
    assert others(advice.worse) == ["first"] and not advice.worse[0].whole
    assert "but some tasks have no finished runs that compare it with `first`" in answer(advice)


def test_a_value_with_few_runs_is_not_the_best_but_named():
    frame = noisy(by("mapping", last=0.02, emd=0.05), mapping=["first", "last", "emd"])
    keep = (frame.mapping == "emd") & (frame.task == "rte") & (frame.seed != "3")
    frame = frame.assign(score=frame["score"].where(keep | (frame.mapping != "emd")))
    advice = of(frame, "mapping")
    assert advice.best == "last"
    (few,) = [c for c in advice.not_worse if c.other == "emd"]
    assert few.pairs == 2 and few.planned == 9 and few.difference < 0


def test_a_tenth_of_lost_runs_does_not_hide_the_best():
    """The best value lost one run of nine."""
    frame = noisy(by("mapping", last=0.03), mapping=["first", "last", "emd"])
    advice = of(lose(frame, mapping="last", task="rte", seed="2"), "mapping")
    assert (advice.best, advice.strength) == ("last", "strong")
    assert {c.pairs for c in advice.worse} == {8} and advice.lost == (("last", 1, 9),)


def test_two_seeds_recommend_nothing():
    frame = noisy(by("mapping", last=0.05), noise=0.001, mapping=["first", "last"], seed=["1", "2"])
    assert of(frame, "mapping").strength == "weak"


def test_students_are_judged_at_equal_size_or_priced():
    sizes = {"2L-744-12h-2976": 0.0, "12L-300-12h-1200": 0.03, "1L-128-2h-512": -0.08}
    frame = noisy(lambda c: sizes[c["student"]], student=list(sizes))
    advice = of(frame, "student")
    assert (advice.best, advice.strength) == ("12L-300-12h-1200", "strong")
    assert advice.size.startswith("13.1 million parameters") and advice.apart == ()
    # Without the deep one, no two are of equal size.
    advice = of(frame[frame.student != "12L-300-12h-1200"], "student")
    assert (advice.strength, advice.best, advice.worse) == ("trade-off", "", ())
    small, large = advice.steps
    assert small.student == "1L-128-2h-512" and small.lead is None and small.cost < large.cost
    assert large.lead.difference == pytest.approx(8, abs=0.7) and large.lead.significant


def test_the_price_of_size_is_over_all_settings():
    """The larger student gains with each knowledge but one, which is not the one that counts."""
    small, large = "1L-128-2h-512", "6L-768-12h-3072"
    frame = noisy(
        lambda c: (c["student"] == large) * (-0.01 if "hidden" in c["knowledge"] else 0.08),
        student=[small, large], knowledge=["none", "logits", "logits+hidden"],
    )  # fmt: skip
    first, second = of(frame, "student").steps
    assert (first.student, second.student) == (small, large)
    assert second.lead.difference == pytest.approx(5, abs=0.5)
    assert first.score == pytest.approx(65, abs=0.5)
    assert second.score - first.score == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize(
    ("measure", "words"),
    [("params", "million parameters"), ("nonembedding", "without embeddings"), ("flops", "GFLOPs")],
)
def test_equal_size_is_in_the_measure_that_the_study_used(measure, words):
    shapes = [str(s) for s, _ in parse_iso({f"iso-{measure}": "6L-384", "layers": [2, 6, 12]})]
    frame = noisy(by("student", **{shapes[2]: 0.03}), student=shapes, knowledge=["none", "logits"])
    sizes = frame["student"].map(parse_shape)
    frame["student_parameters"] = [float(s.parameters()) for s in sizes]
    frame["student_nonembedding_parameters"] = [float(s.nonembedding_parameters) for s in sizes]
    advice = of(frame, "student")
    assert words in advice.size and set(advice.values) == set(shapes)
    # A student none of whose runs has finished is of equal size all the same.
    lost = (frame["student"] == shapes[0]).to_numpy()
    measured = ["score", "student_parameters", "student_nonembedding_parameters"]
    fewer = frame.assign(**{name: frame[name].mask(lost) for name in measured})
    after = of(fewer, "student")
    assert words in after.size and shapes[0] in others(after.not_worse)
    assert after.strength not in ("strong", "moderate")


def test_equal_size_is_in_the_measure_that_the_study_names():
    """Students of 6 and 8 layers and equal FLOPs are alike in parameters without embeddings too."""
    shapes = [str(s) for s, _ in parse_iso({"iso-flops": "6L-384", "layers": [6, 8]})]
    frame = noisy(by("student", **{shapes[1]: 0.03}), student=shapes)
    sizes = frame["student"].map(parse_shape)
    frame["student_nonembedding_parameters"] = [float(s.nonembedding_parameters) for s in sizes]
    assert "without embeddings" in of(frame, "student").size
    assert "GFLOPs" in of(frame.assign(equal_size="flops"), "student").size


def test_a_study_at_the_constant_answer_cannot_answer():
    frame = noisy(lambda c: -0.15 + 0.02 * (c["mapping"] == "last"), mapping=["first", "last"])
    advice = of(frame, "mapping")
    assert (advice.strength, advice.why) == ("open", "chance")
    assert of(frame.assign(majority_score=0.3), "mapping").strength == "strong"


def test_a_task_at_the_constant_answer_is_left_out():
    """Its scores would halve the lead, and widen the interval."""
    low = TASKS[0]
    frame = noisy(
        lambda c: -0.15 if c["task"] == low else 0.03 * (c["mapping"] == "last"),
        mapping=["first", "last"], task=TASKS[:3],
    )  # fmt: skip
    advice, alone = of(frame, "mapping"), of(frame[frame["task"] != low], "mapping")
    assert advice == alone and advice.tasks == tuple(TASKS[1:3])
    (lead,) = advice.worse
    assert lead.difference == pytest.approx(3, abs=0.5) and lead.planned == 6


def test_interactions_name_who_leads_where():
    students = ["6L-768-12h-3072", "3L-384-12h-1536"]
    frame = noisy(
        lambda c: 0.03 * ((c["mapping"] == "last") == (c["student"][0] == "3")),
        noise=0.003, mapping=["first", "last"], student=students,
    )  # fmt: skip
    (partner,) = [p for p in of(frame, "mapping").partners if p.axis == "student"]
    leads = {student: (c.value, c.difference) for student, c in partner.leads}
    assert leads["6L-768-12h-3072"] == ("first", pytest.approx(3, abs=0.5))
    assert leads["3L-384-12h-1536"] == ("last", pytest.approx(3, abs=0.5))


BASE = prepare(noisy(lambda c: 0, mapping=MAPPINGS, task=TASKS[:2]))


def drawn(seed, effects=(0, 0, 0, 0), noise=0.01, lost=0.0):
    """A study of 24 runs, of which a share is lost."""
    rng = np.random.default_rng(seed)
    level = BASE["mapping"].map(dict(zip(MAPPINGS, effects, strict=True))).to_numpy()
    score = 0.65 + level + rng.normal(0, noise, len(BASE))
    score[rng.random(len(BASE)) < lost] = np.nan
    return BASE.assign(score=score)


def claims(advice):
    return advice.strength not in ("none", "open")


@pytest.mark.parametrize("lost", [0, 0.15])
def test_no_effect_gives_claims_in_at_most_one_of_twenty_studies(lost):
    """30 studies: 5 % are 1.5; more than 4 have a probability of 1 % if the level holds."""
    found = [judge_values(drawn(seed, lost=lost), "mapping", "", 0.5) for seed in range(30)]
    assert sum(map(claims, found)) <= 4
    # Little noise makes them equal, which is no claim that they differ.
    equal = judge_values(drawn(0, noise=0.0005), "mapping", "", 0.5)
    assert len(equal.equal) == 3 and equal.strength == "none"


def null_study(rng, one_at_a_time, lost):
    """Four mappings and two temperatures on two tasks: noise of runs, of seeds, and of the runs
    of a seed with the same mapping."""
    runs = ONE_AT_A_TIME if one_at_a_time else FACTORIAL
    score = 0.65 + rng.normal(0, 0.01, len(runs))
    for shared, spread in ((["task", "seed"], 0.01), (["task", "seed", "mapping"], 0.007)):
        group = runs.groupby(shared).ngroup().to_numpy()
        score += rng.normal(0, spread, group.max() + 1)[group]
    score[rng.random(len(runs)) < lost] = np.nan
    return runs.assign(score=score)


FACTORIAL = prepare(noisy(lambda c: 0, mapping=MAPPINGS, temperature=["1", "2"], task=TASKS[:2]))
ONE_AT_A_TIME = FACTORIAL[(FACTORIAL.mapping == "first") | (FACTORIAL.temperature == "2")]


@pytest.mark.slow
def test_no_effect_gives_claims_in_at_most_5_percent_of_the_questions_of_any_design():
    """100 questions: more claims than the bound have a probability of 0.1 % if the level holds."""
    rng = np.random.default_rng(0)
    claimed = 0
    for one_at_a_time in (False, True):
        for lost in (0, 0.15):
            for _ in range(25):
                runs = null_study(rng, one_at_a_time, lost)
                claimed += (contrasts(runs, "mapping")["p_holm"] < 0.05).any()
    assert claimed <= binom.ppf(0.999, 100, 0.05)


def test_planted_effects_are_found_with_their_sign():
    found = [judge_values(drawn(seed, (0, 0.05, 0, 0)), "mapping", "", 0.5) for seed in range(10)]
    assert sum(a.best == "last" for a in found) >= 9
    sure = [c.value for a in found for c in a.worse]
    assert len(sure) >= 10 and set(sure) == {"last"}


def test_losing_runs_never_makes_values_equal_or_recommends_one():
    """Studies that do not decide are hardly ever decided by losing runs."""
    more = 0
    for seed in range(12):
        whole = judge_values(drawn(seed, (0, 0.008, 0.005, 0)), "mapping", "", 0.5)
        fewer = judge_values(drawn(seed, (0, 0.008, 0.005, 0), lost=0.25), "mapping", "", 0.5)
        decided = ("strong", "moderate")
        more += whole.strength not in decided and fewer.strength in decided
    assert more <= 1


def test_a_strength_never_grows_by_lost_values():
    """Whatever of an advice is taken away, what is left of it is no stronger."""
    rank = ["open", "none", "weak", "moderate", "strong"]
    whole = drawn(3, (0, 0.06, 0, 0), noise=0.003)
    before = judge_values(whole, "mapping", "", 0.5)
    assert before.strength == "strong"
    for value in MAPPINGS:
        fewer = whole.assign(score=whole["score"].mask(whole["mapping"] == value))
        after = judge_values(fewer, "mapping", "", 0.5)
        assert rank.index(after.strength) < rank.index(before.strength)


def test_the_average_is_no_run():
    runs = drawn(0)
    assert AVERAGE in set(runs["task"])
    changed = runs.assign(score=runs["score"].where(runs["task"] != AVERAGE, 0.99))
    assert judge_values(changed, "mapping", "", 0.5) == judge_values(runs, "mapping", "", 0.5)
