"""The weighted sum: its value, its knobs, its projections."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kd import losses
from kd.capture import Features
from kd.knowledge import KNOWLEDGE
from kd.objective import Objective, hard_label_loss, wanted_features
from kd.shapes import Shape
from kd.terms import Term, matchings_of

torch.set_num_threads(1)

TEACHER = Shape(layers=4, hidden=12, heads=2, ffn=8)
SAME = Shape(layers=2, hidden=12, heads=2, ffn=8)
NARROW = Shape(layers=2, hidden=8, heads=2, ffn=8)
BATCH, LENGTH, CLASSES = 4, 5, 3
MASK = torch.arange(LENGTH) < torch.tensor([5, 2, 3, 4])[:, None]
LABELS = torch.tensor([0, 2, 1, 1])
PAIRS = ((2, 1), (4, 2))
SETTINGS: dict[str, Any] = {
    "regression": False,
    "student": SAME,
    "teacher": TEACHER,
    "temperature": 2.0,
    "hard_weight": 1.0,
    "relation_heads": 2,
    "seed": 0,
}
ALL_MATCHINGS = [
    (name, matching) for name in KNOWLEDGE for matching in matchings_of(name, regression=False)
]


def features(shape: Shape, seed: int, outputs: int = CLASSES) -> Features:
    """Random features of every layer."""
    generator = torch.Generator().manual_seed(seed)
    found: Features = {("logits", 0): torch.randn(BATCH, outputs, generator=generator)}
    for layer in range(shape.layers + 1):
        size = (BATCH, LENGTH, shape.hidden)
        found["hidden", layer] = torch.randn(size, generator=generator)
        for name in ("query", "key", "value"):
            size = (BATCH, shape.heads, LENGTH, shape.head_size)
            found[name, layer] = torch.randn(size, generator=generator)
    return found


def term(knowledge: str, matching: str | None = None, weight: float = 1.0, pairs=PAIRS) -> Term:
    matching = matching or next(iter(matchings_of(knowledge, regression=False)))
    return Term(knowledge, matching, pairs if KNOWLEDGE[knowledge].layered else ((0, 0),), weight)


def objective(*terms: Term, **changed: Any) -> Objective:
    return Objective(terms, **{**SETTINGS, **changed})


def value(made: Objective, seed: int = 0, outputs: int = CLASSES) -> tuple[Tensor, dict]:
    student = features(made_for(made), 1 + seed, outputs)
    labels = LABELS if outputs > 1 else LABELS.float()
    return made(student, features(TEACHER, 100 + seed, outputs), MASK, labels)


def made_for(made: Objective) -> Shape:
    """The student's shape: narrow where there are projections."""
    return NARROW if len(made.projections) else SAME


# --- the sum ----------------------------------------------------------------------------------


def test_total_is_the_weighted_sum_of_its_parts():
    terms = [term("logits", weight=0.5), term("hidden", weight=3.0), term("attention", weight=7.0)]
    total, parts = value(objective(*terms, hard_weight=0.25))
    assert list(parts) == ["hard", *map(str, terms)], "a part is missing, or named otherwise"
    wanted = 0.25 * parts["hard"] + sum(t.weight * parts[str(t)] for t in terms)
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert parts["hard"].item() == pytest.approx(
        F.cross_entropy(features(SAME, 1)["logits", 0], LABELS).item()
    ), "the hard part is not the cross-entropy, unweighted"
    assert not any(part.requires_grad for part in parts.values()), "parts keep the graph alive"


def test_a_term_is_the_mean_over_its_pairs():
    single = [value(objective(term("hidden", pairs=(p,))))[1].popitem()[1] for p in PAIRS]
    both = value(objective(term("hidden")))[1].popitem()[1]
    assert both.item() == pytest.approx(torch.stack(single).mean().item(), rel=1e-6)


def direct(name: str, matching: str) -> float:
    """The term at teacher layer 2, student layer 1, from the loss functions alone."""
    s, t = features(SAME, 1), features(TEACHER, 100)
    row = matchings_of(name, regression=False)[matching]
    loss = getattr(losses, row.loss)
    if name == "logits":
        more = [2.0] if row.softened else []
        return loss(s["logits", 0], t["logits", 0], *more).item()
    if name == "embedding":
        return loss(s["hidden", 0], t["hidden", 0], MASK).item()
    if name == "hidden":
        return loss(s["hidden", 1], t["hidden", 2], MASK).item()
    if name == "cls":
        return loss(s["hidden", 1][:, 0], t["hidden", 2][:, 0]).item()
    if name.endswith("-relation"):
        x = name.split("-")[0]
        return loss((s[x, 1], s[x, 1]), (t[x, 2], t[x, 2]), MASK, 2).item()
    scores = [
        f["query", layer] @ f["key", layer].mT / math.sqrt(SAME.head_size)
        for f, layer in ((s, 1), (t, 2))
    ]
    return loss(*scores, MASK).item()


@pytest.mark.parametrize(("name", "matching"), ALL_MATCHINGS)
def test_each_term_reads_its_own_features(name, matching):
    _, parts = value(objective(term(name, matching, pairs=((2, 1),))))
    assert parts.popitem()[1].item() == pytest.approx(direct(name, matching), rel=1e-5), (
        f"{name}:{matching} compares something else"
    )


def test_no_term_leaves_the_hard_label_loss_unweighted():
    made = objective(hard_weight=0.1)
    total, parts = value(made)
    assert set(parts) == {"hard"} and total.item() == parts["hard"].item()
    assert not list(made.parameters())
    student = features(SAME, 1)
    assert torch.equal(made(student, {}, MASK, LABELS)[0], total), "`none` asks for a teacher"


def test_hard_weight_zero_leaves_the_labels_out():
    made = objective(term("logits"), hard_weight=0)
    student, teacher = features(SAME, 1), features(TEACHER, 100)
    losses_ = [made(student, teacher, MASK, labels)[0] for labels in (LABELS, LABELS.flip(0))]
    assert torch.equal(*losses_)


def test_regression():
    made = objective(term("logits", "mse"), regression=True, hard_weight=0.5)
    total, parts = value(made, outputs=1)
    s, t = features(SAME, 1, 1)["logits", 0], features(TEACHER, 100, 1)["logits", 0]
    hard, soft = (s[:, 0] - LABELS).square().mean(), (s - t).square().mean()
    assert parts["hard"].item() == pytest.approx(hard.item(), rel=1e-6)
    assert total.item() == pytest.approx((0.5 * hard + soft).item(), rel=1e-6)


def test_hard_label_loss_of_bf16_logits_is_fp32():
    logits = features(SAME, 1)["logits", 0].bfloat16()
    assert hard_label_loss(logits, LABELS, False).dtype == torch.float32
    assert hard_label_loss(logits[:, :1], LABELS.bfloat16(), True).dtype == torch.float32


def test_wanted_features_are_those_that_forward_reads():
    for name, matching in ALL_MATCHINGS:
        terms = (term(name, matching),)
        student = {k: v for k, v in features(SAME, 1).items() if k in wanted_features(terms, False)}
        student["logits", 0] = features(SAME, 1)["logits", 0]
        teacher = features(TEACHER, 100)
        teacher = {k: v for k, v in teacher.items() if k in wanted_features(terms, True)}
        made = objective(*terms)
        assert made(student, teacher, MASK, LABELS)[0].isfinite(), f"{name}:{matching}"
    wanted = wanted_features((term("attention"), term("embedding")), teacher=True)
    assert wanted == {("hidden", 0), *((n, layer) for n in ("query", "key") for layer in (2, 4))}
    assert wanted_features((), teacher=True) == set()


# --- every knob turns something ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "changed"),
    [
        ((term("logits"),), {"temperature": 5.0}),
        ((term("logits", "ce"),), {"temperature": 5.0}),
        ((term("logits"),), {"hard_weight": 0.3}),
        ((term("query-relation"),), {"relation_heads": 3}),
        ((term("hidden"),), {"regression": True}),
    ],
    ids=["temperature", "temperature of ce", "hard_weight", "relation_heads", "regression"],
)
def test_a_setting_changes_the_loss(terms, changed):
    outputs = 1 if "regression" in changed else CLASSES
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
    one, two, three = (
        value(objective(term(name, pairs=pairs)))[0].item()
        for pairs in (((1, 1),), ((2, 1),), ((1, 2),))
    )
    assert one != pytest.approx(two, rel=1e-4), f"{name}: the teacher's layer is inert"
    assert one != pytest.approx(three, rel=1e-4), f"{name}: the student's layer is inert"


@pytest.mark.parametrize("name", KNOWLEDGE)
def test_matching_changes_the_loss(name):
    values = [value(objective(term(name, m)))[0].item() for m in matchings_of(name, False)]
    assert len({round(v, 6) for v in values}) == len(values), f"{name}: two matchings are one"


def test_seed_changes_the_projection_only():
    one, two = (value(objective(term("hidden"), student=NARROW, seed=s))[1] for s in (1, 2))
    assert one["hard"] == two["hard"]
    assert one.popitem()[1] != two.popitem()[1], "the projection ignores the seed"


# --- projections ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "matching"), ALL_MATCHINGS)
def test_projection_only_where_the_matching_needs_equal_widths(name, matching):
    needs = matchings_of(name, False)[matching].same_width
    equal = objective(term(name, matching))
    assert not len(equal.projections), f"{name}:{matching}: a projection between equal widths"
    narrow = objective(term(name, matching), student=NARROW)
    assert len(narrow.projections) == (len(narrow.terms[0].pairs) if needs else 0)
    for projection in narrow.projections.values():
        assert (projection.in_features, projection.out_features) == (NARROW.hidden, TEACHER.hidden)
    student, teacher = features(NARROW, 1), features(TEACHER, 100)
    assert narrow(student, teacher, MASK, LABELS)[0].isfinite(), f"{name}:{matching}"


def test_every_term_and_pair_has_its_own_projection():
    made = objective(
        term("hidden"), term("hidden", "cosine"), term("cls"), term("embedding"), student=NARROW
    )
    assert len(made.projections) == 2 + 2 + 2 + 1
    weights = [p.weight for p in made.projections.values()]
    assert not any(torch.equal(a, b) for i, a in enumerate(weights) for b in weights[:i])


def test_projection_is_seeded_and_leaves_the_global_generator_alone():
    terms = (term("hidden"),)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = objective(*terms, student=NARROW)
    assert torch.equal(torch.get_rng_state(), before), "a projection draws from the global state"
    torch.manual_seed(2)
    again, other = (objective(*terms, student=NARROW, seed=s) for s in (0, 1))
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), "depends on the global generator"
        assert not torch.equal(tensor, other.state_dict()[key]), "ignores its seed"


@pytest.mark.parametrize(
    ("name", "matching"),
    [(n, m) for n, m in ALL_MATCHINGS if matchings_of(n, False)[m].same_width],
)
def test_gradient_reaches_projections_and_student_but_no_teacher(name, matching):
    made = objective(term(name, matching), student=NARROW, hard_weight=0)
    student, teacher = features(NARROW, 1), features(TEACHER, 100)
    keys = wanted_features(made.terms, teacher=False)
    for key in keys:
        student[key].requires_grad_()
    made(student, teacher, MASK, LABELS)[0].backward()
    for key in keys:
        assert student[key].grad.abs().max() > 0, f"no gradient on the student's {key}"
    for key, parameter in made.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, f"{key} is not trained"


def test_projections_take_bf16_features():
    made = objective(term("hidden"), student=NARROW)
    student = {k: v.bfloat16() for k, v in features(NARROW, 1).items()}
    teacher = {k: v.bfloat16() for k, v in features(TEACHER, 100).items()}
    total, _ = made(student, teacher, MASK, LABELS)
    assert total.dtype == torch.float32 and total.isfinite()
