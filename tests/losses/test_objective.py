"""The weighted sum: its value, its schedules, its calibration."""

import math
import re

import pytest
import torch
from features import (
    ALL_MATCHINGS,
    CLASSES,
    LABELS,
    MASK,
    NARROW,
    SAME,
    START,
    TEACHER,
    classifier,
    features,
    term,
)
from torch import nn
from torch.nn import functional as F

from kd.axes import kinds
from kd.axes.kinds import SCORES, Kind
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.shapes import Shape
from kd.axes.terms import Term, matchings_of
from kd.losses.moving import Moment
from kd.losses.objective import HARD, Objective, hard_label_loss, wanted_features
from kd.runtime.errors import UserError


def objective(*terms: Term, student: Shape = SAME, kind: Kind = kinds.CLASSES, **settings):
    settings = {"relation_heads": 2, **settings}
    return Objective(terms, kind, student, TEACHER, settings, classifier=classifier())


def value(made, student=SAME, outputs=CLASSES, moment=START):
    labels = LABELS if outputs > 1 else LABELS.float()
    return made(
        features(student, 1, outputs), features(TEACHER, 100, outputs), MASK, labels, moment
    )


# --- the sum ----------------------------------------------------------------------------------


def test_total_is_the_weighted_sum_of_its_parts():
    terms = [term("logits", weight=0.5), term("hidden", weight=3.0), term("attention", weight=7.0)]
    total, parts = value(objective(*terms, hard_weight=0.25))
    assert list(parts) == [HARD, *map(str, terms)], "a part is missing, or named otherwise"
    wanted = 0.25 * parts[HARD] + sum(t.weight.start * parts[str(t)] for t in terms)
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert parts[HARD].item() == pytest.approx(
        F.cross_entropy(features(SAME, 1)["logits", 0], LABELS).item()
    ), "the hard part is not the cross-entropy, unweighted"
    assert not any(part.requires_grad for part in parts.values()), "parts keep the graph alive"


def test_no_term_leaves_the_hard_label_loss_unweighted():
    made = objective(hard_weight=0.1, weights="calibrated")
    total, parts = value(made)
    assert set(parts) == {HARD} and total.item() == parts[HARD].item()
    assert not list(made.parameters()) and not made.waits
    student = features(SAME, 1)
    assert torch.equal(made(student, {}, MASK, LABELS, START)[0], total), "asks for a teacher"


def test_hard_weight_zero_leaves_the_labels_out():
    made = objective(term("logits"), hard_weight=0)
    student, teacher = features(SAME, 1), features(TEACHER, 100)
    totals = [made(student, teacher, MASK, y, START)[0] for y in (LABELS, LABELS.flip(0))]
    assert torch.equal(*totals)


def test_regression():
    made = objective(term("logits", "mse"), kind=SCORES, hard_weight=0.5)
    total, parts = value(made, outputs=1)
    s, t = features(SAME, 1, 1)["logits", 0], features(TEACHER, 100, 1)["logits", 0]
    hard, soft = (s[:, 0] - LABELS).square().mean(), (s - t).square().mean()
    assert parts[HARD].item() == pytest.approx(hard.item(), rel=1e-6)
    assert total.item() == pytest.approx((0.5 * hard + soft).item(), rel=1e-6)


def test_regressions_have_no_probabilities_to_shift():
    shifted = objective(term("logits", "mse"), kind=SCORES, probability_shift=True)
    plain = objective(term("logits", "mse"), kind=SCORES)
    assert torch.equal(value(shifted, outputs=1)[0], value(plain, outputs=1)[0])


def test_hard_label_loss_of_bf16_logits_is_fp32():
    logits = features(SAME, 1)["logits", 0].bfloat16()
    assert hard_label_loss(logits, LABELS, kinds.CLASSES).dtype == torch.float32
    assert hard_label_loss(logits[:, :1], LABELS.bfloat16(), SCORES).dtype == torch.float32


def test_wanted_features_are_those_that_forward_reads():
    for name, matching in ALL_MATCHINGS:
        terms = (term(name, matching),)
        student = {k: v for k, v in features(SAME, 1).items() if k in wanted_features(terms, False)}
        student["logits", 0] = features(SAME, 1)["logits", 0]
        teacher = features(TEACHER, 100)
        teacher = {k: v for k, v in teacher.items() if k in wanted_features(terms, True)}
        made = objective(*terms)
        assert made(student, teacher, MASK, LABELS, START)[0].isfinite(), f"{name}:{matching}"
    wanted = wanted_features((term("attention"), term("embedding")), teacher=True)
    assert wanted == {("hidden", 0), *((n, layer) for n in ("query", "key") for layer in (2, 4))}
    assert wanted_features((), teacher=True) == set()


# --- every knob turns something ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "changed"),
    [
        ((term("logits"),), {"temperature": 5.0}),
        ((term("logits", "ce"),), {"temperature": 5.0}),
        ((term("logits"),), {"temperature_schedule": "flsw"}),
        ((term("logits"),), {"probability_shift": True}),
        ((term("logits"),), {"hard_weight": 0.3}),
        ((term("logits"),), {"hard_weight": "0.5..1"}),
        ((term("query-relation"),), {"relation_heads": 3}),
        ((term("hidden"),), {"errata": "padding"}),
        ((term("hidden"),), {"kind": SCORES}),
    ],
    ids=lambda x: "+".join(x) if isinstance(x, dict) else x[0].knowledge,
)
def test_a_setting_changes_the_loss(terms, changed):
    outputs = 1 if "kind" in changed else CLASSES
    before = value(objective(*terms), outputs=CLASSES)[0]
    after = value(objective(*terms, **changed), outputs=outputs)[0]
    assert before.item() != pytest.approx(after.item(), rel=1e-3), f"{set(changed)} is inert"


@pytest.mark.parametrize("name", KNOWLEDGE)
def test_weight_of_a_term_changes_the_loss(name):
    (one, parts), (two, _) = (value(objective(term(name, weight=w))) for w in (1.0, 2.5))
    part = parts.popitem()[1].item()
    assert (two - one).item() == pytest.approx(1.5 * part, rel=1e-3), f"{name}: weight is inert"


@pytest.mark.parametrize("name", [n for n, row in KNOWLEDGE.items() if row.layered])
def test_mapping_changes_the_loss(name):
    more = ((3, 2), (4, 1)) if KNOWLEDGE[name].fewest_pairs > 1 else ()
    one, two, three = (
        value(objective(term(name, pairs=(pair, *more))))[0].item()
        for pair in ((1, 1), (2, 1), (1, 2))
    )
    assert one != pytest.approx(two, rel=1e-4), f"{name}: the teacher's layer is inert"
    assert one != pytest.approx(three, rel=1e-4), f"{name}: the student's layer is inert"


@pytest.mark.parametrize("name", KNOWLEDGE)
def test_matching_changes_the_loss(name):
    values = [value(objective(term(name, m)))[0].item() for m in matchings_of(name, kinds.CLASSES)]
    assert len({round(v, 6) for v in values}) == len(values), f"{name}: two matchings are one"


def test_seed_changes_the_projection_only():
    one, two = (value(objective(term("hidden"), student=NARROW, seed=s), NARROW)[1] for s in (1, 2))
    assert one[HARD] == two[HARD]
    assert one.popitem()[1] != two.popitem()[1], "the projection ignores the seed"


# --- projections ------------------------------------------------------------------------------


def test_every_term_and_pair_has_its_own_projection():
    made = objective(
        term("hidden"), term("hidden", "cosine"), term("cls"), term("embedding"), student=NARROW
    )
    weights = [p for name, p in made.named_parameters() if name.endswith("weight")]
    assert len(weights) == 2 + 2 + 2 + 1
    assert not any(torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])


def test_projection_is_seeded_and_leaves_the_global_generator_alone():
    terms = (term("hidden"),)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = objective(*terms, student=NARROW)
    assert torch.equal(torch.get_rng_state(), before), "a projection draws from the global state"
    torch.manual_seed(2)
    again, other = (objective(*terms, student=NARROW, seed=s) for s in (1, 2))
    for key, tensor in first.named_parameters():
        assert torch.equal(tensor, again.get_parameter(key)), "depends on the global generator"
        assert not torch.equal(tensor, other.get_parameter(key)), "ignores its seed"


@pytest.mark.parametrize(
    ("name", "matching"),
    [
        *((n, m) for n, m in ALL_MATCHINGS if matchings_of(n, kinds.CLASSES)[m].same_width),
        *((n, m) for n, m in ALL_MATCHINGS if n == "teacher-classifier"),
    ],
)
def test_gradient_reaches_projections_and_student_but_no_teacher(name, matching):
    made = objective(term(name, matching), student=NARROW, hard_weight=0)
    student, teacher = features(NARROW, 1), features(TEACHER, 100)
    keys = wanted_features(made.terms, teacher=False)
    for key in keys:
        student[key].requires_grad_()
    made(student, teacher, MASK, LABELS, START)[0].backward()
    for key in keys:
        assert student[key].grad.abs().max() > 0, f"no gradient on the student's {key}"
    for key, parameter in made.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, f"{key} is not trained"


def test_projections_take_bf16_features():
    made = objective(term("hidden"), term("cls", "contrastive"), student=NARROW)
    student = {k: v.bfloat16() for k, v in features(NARROW, 1).items()}
    teacher = {k: v.bfloat16() for k, v in features(TEACHER, 100).items()}
    total, _ = made(student, teacher, MASK, LABELS, START)
    assert total.dtype == torch.float32 and total.isfinite()


# --- schedules --------------------------------------------------------------------------------


def at(step):
    return Moment(step, 100, step // 10, 1)


def test_a_term_without_weight_is_not_computed():
    late = term("hidden", weight="1%50-100")
    made = objective(term("logits"), late)
    student, teacher = features(SAME, 1), features(TEACHER, 100)
    del teacher["hidden", 2]  # whoever computes the term, misses it
    for step in (0, 49):
        parts = made.parts(student, teacher, MASK, LABELS, at(step))
        assert list(parts) == [HARD, "logits:kl"]
    with pytest.raises(KeyError):
        made.parts(student, teacher, MASK, LABELS, at(50))


def test_weights_follow_their_schedules():
    terms = [term("logits", weight="0..2"), term("hidden", weight="1..0%20-60")]
    made = objective(*terms, hard_weight="1%50-100")
    for step in (0, 10, 20, 30, 50, 59, 60, 99):
        total, parts = value(made, moment=at(step))
        weights = {
            HARD: 1.0 * (step >= 50),
            str(terms[0]): step / 50,
            str(terms[1]): 1 - (step - 20) / 40 if 20 <= step < 60 else 0.0,
        }
        named = [name for name, weight in weights.items() if weight > 0]
        assert list(parts) == (named or [HARD]), f"step {step}"
        wanted = sum(weights[name] * parts[name].item() for name in named)
        assert total.item() == pytest.approx(wanted, rel=1e-5, abs=1e-7), f"step {step}"


def test_labels_without_weight_move_nothing():
    """A gradient of 0 would count as a step of AdamW, and let the head's first real ones jump."""
    made = objective(term("logits", weight="1%50-100"), term("hidden"), hard_weight="1%50-100")
    for step, moved in ((0, False), (49, False), (50, True)):
        student = features(SAME, 1)
        for tensor in student.values():
            tensor.requires_grad_()
        total, _ = made(student, features(TEACHER, 100), MASK, LABELS, at(step))
        total.backward()
        assert (student["logits", 0].grad is not None) == moved, f"step {step}"


@pytest.mark.parametrize("settings", [{"weights": "calibrated"}, {"weights": "balanced"}])
def test_labels_without_weight_are_there_where_they_are_needed(settings):
    made = objective(term("hidden"), hard_weight="1%50-100", **settings)
    assert HARD in made.parts(features(SAME, 1), features(TEACHER, 100), MASK, LABELS, START)


def test_every_weight_at_0_still_gives_a_loss_to_differentiate():
    made = objective(term("logits", weight="0..1"), hard_weight=0)
    student = features(SAME, 1)
    student["logits", 0].requires_grad_()
    total, _ = made(student, features(TEACHER, 100), MASK, LABELS, START)
    total.backward()
    assert total.item() == 0 and student["logits", 0].grad.abs().max() == 0


@pytest.mark.parametrize("labelled", [True, False])
def test_a_batch_without_labels_where_no_term_counts_teaches_nothing(labelled):
    terms = (term("logits", weight="1%50-100"), term("hidden", weight="0..1"))
    made = Objective(terms, kinds.CLASSES, SAME, TEACHER, {}, labelled)
    student, teacher = features(SAME, 1), features(TEACHER, 100)
    student["logits", 0].requires_grad_()
    none = torch.tensor([], dtype=torch.int64)
    total, parts = made(student, teacher, MASK, LABELS, START, none if labelled else None)
    total.backward()
    assert set(parts) == set(map(str, terms)) and min(parts.values()) > 0
    assert total.item() == 0 and student["logits", 0].grad.abs().max() == 0
    later = made.parts(student, teacher, MASK, LABELS, at(10), none if labelled else None)
    assert list(later) == [str(terms[1])]


# --- calibration --------------------------------------------------------------------------------


class Student(nn.Module):
    """Features that are parameters."""

    def __init__(self, shape=SAME):
        super().__init__()
        self.keys = list(features(shape, 1))
        self.tensors = nn.ParameterList(features(shape, 1).values())

    def forward(self):
        return dict(zip(self.keys, self.tensors, strict=True))


def calibrated(*terms, shape=SAME, teacher=None, **settings):
    """An objective that has been calibrated, its parts, and the student."""
    student = Student(shape)
    made = objective(*terms, student=shape, weights="calibrated", **settings)
    teacher = features(TEACHER, 100) if teacher is None else teacher
    parts = made.parts(student(), teacher, MASK, LABELS, START)
    assert made.waits
    made.calibrate(parts, list(student.parameters()))
    assert not made.waits
    return made, parts, student


def norm(loss, student):
    found = torch.autograd.grad(loss, student.parameters(), retain_graph=True, allow_unused=True)
    return math.sqrt(sum(g.square().sum().item() for g in found if g is not None))


@pytest.mark.parametrize("shape", [SAME, NARROW], ids=["as wide", "narrow"])
@pytest.mark.parametrize("scale", [1, 1e4, 1e-4])
def test_weighted_gradients_have_the_norms_of_the_weights(shape, scale):
    """Of the student's features, blown up by `scale`, some losses grow by its square."""
    terms = [term("logits", weight=0.5), term("hidden", weight=2.0), term("attention", "mse")]
    teacher = features(TEACHER, 100)
    teacher = {k: scale * v if k[0] == "hidden" else v for k, v in teacher.items()}
    made, parts, student = calibrated(*terms, shape=shape, teacher=teacher, hard_weight=1.5)
    weights = dict(zip([HARD, *map(str, terms)], (1.5, 0.5, 2.0, 1.0), strict=True))
    for (name, weight), found in zip(weights.items(), made.scales, strict=True):
        share = weight / sum(weights.values())
        assert norm(found * weight * parts[name], student) == pytest.approx(share, rel=1e-4), name
    total = sum(s * w * parts[n] for s, (n, w) in zip(made.scales, weights.items(), strict=True))
    assert made.total(parts, START).item() == pytest.approx(total.item(), rel=1e-5)


def test_a_schedule_is_calibrated_by_its_peak():
    late, hard = term("hidden", weight="0..3%50-100"), "1..0.5"
    made, parts, student = calibrated(late, hard_weight=hard)
    assert norm(made.scales[1] * 3 * parts[str(late)], student) == pytest.approx(0.75, rel=1e-4)
    assert norm(made.scales[0] * parts[HARD], student) == pytest.approx(0.25, rel=1e-4)
    assert str(late) in parts, "what has no weight yet must be measured too"
    again = made.parts(student(), features(TEACHER, 100), MASK, LABELS, START)
    assert list(again) == [HARD], "and be left out afterwards"


def test_hard_weight_0_is_not_measured():
    made, parts, student = calibrated(term("logits"), hard_weight=0)
    assert norm(made.total(parts, START), student) == pytest.approx(1, rel=1e-4)


def test_calibrated_scales_are_saved_and_loaded():
    made, parts, _ = calibrated(term("logits"), term("hidden", weight=0.1))
    again = objective(term("logits"), term("hidden", weight=0.1), weights="calibrated")
    assert again.waits and again.total(parts, START).isnan()
    again.load_state_dict(made.state_dict())
    assert not again.waits, "a training that is resumed would be calibrated anew"
    assert again.scales == made.scales
    assert torch.equal(again.total(parts, START), made.total(parts, START))


def test_fixed_weights_do_not_wait():
    made = objective(term("logits"))
    assert not made.waits and made.scales == [1.0, 1.0]


@pytest.mark.parametrize("broken", [0.0, math.inf, math.nan])
def test_a_part_whose_gradient_cannot_be_scaled(broken):
    student, taught = Student(), term("logits")
    made = objective(taught, weights="calibrated")
    parts = made.parts(student(), features(TEACHER, 100), MASK, LABELS, START)
    parts[str(taught)] = parts[str(taught)] * broken
    with pytest.raises(UserError, match=r"gradient of logits:kl at step 0 is (0|inf|nan)"):
        made.calibrate(parts, list(student.parameters()))
    assert made.waits


def test_a_part_that_does_not_reach_the_student_has_no_gradient():
    student, taught = Student(), term("logits")
    made = objective(taught, weights="calibrated")
    parts = made.parts(student(), features(TEACHER, 100), MASK, LABELS, START)
    parts[str(taught)] = torch.zeros((), requires_grad=True) * 1
    with pytest.raises(UserError, match="gradient of logits:kl at step 0 is 0"):
        made.calibrate(parts, list(student.parameters()))


# --- balance ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1e4, 1e-4])
def test_a_balanced_term_is_as_large_as_the_logits_loss(scale):
    """Whatever the scale of its features; the hard-label loss keeps its weight."""
    terms = [term("logits", weight=0.5), term("hidden", weight=2.0)]
    made = objective(*terms, hard_weight=1.5, weights="balanced")
    taught = {k: scale * v if k[0] == "hidden" else v for k, v in features(TEACHER, 100).items()}
    parts = made.parts(features(SAME, 1), taught, MASK, LABELS, START)
    soft, hard = parts[str(terms[0])].item(), parts[HARD].item()
    wanted = 1.5 * hard + 0.5 * soft + 2.0 * soft
    assert made.total(parts, START).item() == pytest.approx(wanted, rel=1e-5)
    factor = made.factors(parts)[str(terms[1])].item()
    assert factor == pytest.approx(soft / parts[str(terms[1])].item(), rel=1e-5)


def test_without_logits_the_hard_label_loss_is_the_measure():
    taught = term("hidden", weight=3.0)
    made = objective(taught, hard_weight=0.5, weights="balanced")
    total, parts = value(made)
    assert total.item() == pytest.approx(3.5 * parts[HARD].item(), rel=1e-5)
    assert made.weights_text() == "hard*0.5 + hidden:mse@2-1,4-2*3*balanced"


def test_a_factor_has_no_gradient():
    """Its own loss would cancel out: a term over itself has no slope."""
    student, terms = Student(), [term("logits"), term("hidden")]
    made = objective(*terms, hard_weight=0, weights="balanced")
    parts = made.parts(student(), features(TEACHER, 100), MASK, LABELS, START)
    factor = made.factors(parts)[str(terms[1])].item()
    wanted = parts[str(terms[0])] + factor * parts[str(terms[1])]
    assert norm(made.total(parts, START), student) == pytest.approx(norm(wanted, student), rel=1e-5)


@pytest.mark.parametrize("measure", [0.0, 2.0])
def test_a_term_that_is_0_has_a_finite_factor(measure):
    terms = [term("logits"), term("hidden")]
    made = objective(*terms, weights="balanced")
    zero = torch.zeros(())
    parts = {HARD: zero, str(terms[0]): zero + measure, str(terms[1]): zero}
    assert made.factors(parts)[str(terms[1])] <= 1.1e6
    assert made.total(parts, START) == measure


def test_fixed_and_calibrated_weights_have_no_factors():
    for weights in ("fixed", "calibrated"):
        made = objective(term("logits"), term("hidden"), weights=weights)
        parts = made.parts(features(SAME, 1), features(TEACHER, 100), MASK, LABELS, START)
        assert made.factors(parts) == {}


def test_weights_text():
    made = objective(term("logits", weight=0.5), term("hidden", weight="0..1%50-100"))
    assert made.weights_text() == "hard*1 + logits:kl*0.5 + hidden:mse@2-1,4-2*0..1%50-100"
    assert objective().weights_text() == "hard*1"
    made, _, _ = calibrated(term("logits", weight=0.5), hard_weight=2)
    numbers = [float(x) for x in re.findall(r"\*([0-9.e+-]+)", made.weights_text())]
    hard, soft = made.scales
    assert numbers == pytest.approx([2 * hard, 0.5 * soft], rel=1e-5)


def test_labels_that_are_several_stand_each_by_itself():
    """The mean of the binary cross-entropies; a shift turns the logits with which it errs."""
    labels = torch.tensor([[1, 0, 1], [0, 0, 0]], dtype=torch.uint8)
    logits = torch.tensor([[2.0, -1.0, 0.5], [1.0, 0.0, -3.0]], requires_grad=True)
    found = hard_label_loss(logits, labels, kinds.LABELS)
    p = logits.detach().double().sigmoid()
    wanted = -torch.where(labels > 0, p.log(), (1 - p).log()).mean()
    assert found.item() == pytest.approx(wanted.item())
    assert hard_label_loss(logits.bfloat16(), labels, kinds.LABELS).dtype == torch.float32
    teacher = torch.tensor([[1.0, -2.0, -3.0], [4.0, -1.0, 1.0]])
    right = torch.tensor([[1.0, -2.0, 3.0], [-4.0, -1.0, -1.0]])
    values = []
    for side, shift in ((teacher, False), (teacher, True), (right, False)):
        made = objective(term("logits"), kind=kinds.LABELS, probability_shift=shift, hard_weight=0)
        mask = torch.ones(2, 1, dtype=torch.bool)
        loss, _ = made({("logits", 0): logits}, {("logits", 0): side}, mask, labels, START)
        values.append(loss.item())
    assert values[1] == values[2] != values[0]
    loss.backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0 and teacher.grad is None


def test_examples_without_labels_have_the_teachers_answer_and_no_hard_label_loss():
    made, student, teacher = (
        objective(term("logits", "dkd")),
        features(SAME, 1),
        features(TEACHER, 2),
    )
    mine = torch.tensor([True] + [False] * (len(LABELS) - 1))
    unknown = torch.where(mine, LABELS, -1)
    parts = made.parts(student, teacher, MASK, unknown, START, torch.tensor([0]))
    logits = student["logits", 0]
    assert parts[HARD].item() == pytest.approx(F.cross_entropy(logits[:1], LABELS[:1]).item())
    answers = torch.where(mine, LABELS, teacher["logits", 0].argmax(-1))
    assert not torch.equal(answers, LABELS), "the case says nothing"
    whole = made.parts(student, teacher, MASK, answers, START)
    (name,) = parts.keys() - {HARD}
    assert torch.equal(parts[name], whole[name])
    none = made.parts(student, teacher, MASK, unknown, START, torch.tensor([], dtype=torch.int64))
    assert HARD not in none and made.total(none, START).isfinite()
