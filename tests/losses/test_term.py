"""One term: what it reads, projects, chooses and compares."""

import math

import pytest
import torch
from features import (
    ALL_MATCHINGS,
    BATCH,
    LABELS,
    LENGTH,
    MASK,
    NARROW,
    PAIRS,
    SAME,
    START,
    TEACHER,
    classifier,
    features,
    padded_noise,
    term,
)
from torch.nn import functional as F

from kd.axes.errata import ERRATA
from kd.axes.fields import RUN_DEFAULTS
from kd.axes.forms import LOGITS
from kd.axes.kinds import CLASSES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS, resolve_mapping
from kd.axes.shapes import Shape
from kd.axes.terms import matchings_of
from kd.axes.weights import Weight
from kd.losses import logits
from kd.losses.moving import CHOICES, Moment
from kd.losses.objective import Objective
from kd.losses.table import LOSSES as FUNCTIONS
from kd.losses.term import CONTRASTIVE_WIDTH, TermLoss, mixture
from kd.losses.transport import layer_weights, transport_plan

DEEP = Shape(layers=3, hidden=12, heads=2, ffn=8)
THIN = Shape(layers=3, hidden=8, heads=2, ffn=8)
SETTINGS = {**RUN_DEFAULTS, "relation_heads": 2}


def comparison(made, student=SAME, seed=0, **changed):
    matching = matchings_of(made.knowledge, CLASSES)[made.matching]
    torch.manual_seed(seed)
    return TermLoss(made, matching, student, TEACHER, {**SETTINGS, **changed}, classifier())


def value(made, moment=START, student=None, teacher=None, mask=MASK):
    """Of a comparison, on random features where none are given."""
    student = features(SAME, 1) if student is None else student
    return made(
        student, features(TEACHER, 100) if teacher is None else teacher, mask, LABELS, moment
    )


def moving(knowledge, mapping, student=DEEP, matching=None, weight=1.0):
    pairs = resolve_mapping(mapping, TEACHER.layers, student.layers, 1)
    return term(knowledge, matching, weight, pairs, mapping)


# --- what it reads ------------------------------------------------------------------------------


def direct(name, matching, temperature=2.0):
    """The term at teacher layer 2, student layer 1, from the loss functions alone."""
    s, t = features(SAME, 1), features(TEACHER, 100)
    row = matchings_of(name, CLASSES)[matching]
    loss = FUNCTIONS[row.loss]
    if KNOWLEDGE[name].form is LOGITS:
        of_student = s["logits", 0]
        if name == "teacher-classifier":
            of_student = classifier()(s["representation", 0])
        more = {"temperature": temperature} if row.softened else {}
        more |= {"labels": LABELS} if row.labelled else {}
        return loss(of_student, t["logits", 0], **more, **dict(row.options))
    if name == "embedding":
        return loss(s["hidden", 0], t["hidden", 0], MASK)
    if name == "cls":
        return loss(s["hidden", 1][:, 0], t["hidden", 2][:, 0])
    if name == "pooled":
        means = [
            torch.stack([row[:length].mean(0) for row, length in zip(x, MASK.sum(1), strict=True)])
            for x in (s["hidden", 1], t["hidden", 2])
        ]
        return loss(*means)
    if name == "layer-relation":
        stacks = (
            torch.stack([f["hidden", layer] for layer in layers])
            for f, layers in ((s, (1, 2, 1)), (t, (2, 4, 3)))
        )
        return loss(*stacks, MASK)
    if name.endswith("-relation"):
        parts = name.split("-")[:-1]
        x, y = parts[0], parts[-1]
        return loss((s[x, 1], s[y, 1]), (t[x, 2], t[y, 2]), MASK, 2)
    if name in ("attention", "attention-scores"):
        scores = [
            f["query", layer] @ f["key", layer].mT / math.sqrt(SAME.head_size)
            for f, layer in ((s, 1), (t, 2))
        ]
        return loss(*scores, MASK)
    return loss(s["hidden", 1], t["hidden", 2], MASK)


@pytest.mark.parametrize(
    ("name", "matching"), [(n, m) for n, m in ALL_MATCHINGS if m != "contrastive"]
)
def test_each_term_reads_its_own_features(name, matching):
    pairs = ((2, 1), (4, 2), (3, 1)) if name == "layer-relation" else ((2, 1),)
    found = value(comparison(term(name, matching, pairs=pairs)))
    assert found.item() == pytest.approx(direct(name, matching).item(), rel=1e-5), (
        f"{name}:{matching} compares something else"
    )


@pytest.mark.parametrize("name", KNOWLEDGE)
def test_only_the_named_features_matter(name):
    """Each tensor that the knowledge names has a gradient, and no other is even asked for."""
    taught = term(name)
    wanted = {(f, s) for f in KNOWLEDGE[name].of_student for _, s in taught.pairs}
    student = {k: v.requires_grad_() for k, v in features(SAME, 1).items() if k in wanted}
    value(comparison(taught), student=student).backward()
    for key, tensor in student.items():
        assert tensor.grad is not None and tensor.grad.abs().max() > 0, f"{key} is inert"


def test_cls_is_the_first_token_and_pooled_the_mean_of_the_valid_ones():
    student, later = features(SAME, 1), features(SAME, 1)
    later["hidden", 1][:, 1:] += 1.0
    for name, same in (("cls", True), ("pooled", False)):
        made = comparison(term(name, "mse", pairs=((2, 1),)))
        found = [value(made, student=f).item() for f in (student, later)]
        assert (found[0] == found[1]) == same, name


def test_a_term_is_the_mean_over_its_pairs():
    single = [value(comparison(term("hidden", pairs=(p,)))) for p in PAIRS]
    both = value(comparison(term("hidden")))
    assert both.item() == pytest.approx(torch.stack(single).mean().item(), rel=1e-6)


@pytest.mark.parametrize("student", [SAME, NARROW], ids=["as wide", "narrow"])
@pytest.mark.parametrize(("name", "matching"), ALL_MATCHINGS)
def test_padding_changes_nothing(name, matching, student):
    made = comparison(term(name, matching), student)
    s, t = features(student, 1), features(TEACHER, 100)
    clean = value(made, student=s, teacher=t)
    noisy = value(made, student=padded_noise(s, MASK, 5), teacher=padded_noise(t, MASK, 6))
    assert noisy.item() == pytest.approx(clean.item(), rel=1e-5), f"{name}:{matching}"


@pytest.mark.parametrize("mapping", [name for name, row in MAPPINGS.items() if row.moving])
@pytest.mark.parametrize("name", ["hidden", "pooled"])
def test_padding_changes_nothing_where_pairs_move(name, mapping):
    s, t = features(DEEP, 1), features(TEACHER, 100)
    made = comparison(moving(name, mapping), DEEP)
    clean = value(made, student=s, teacher=t)
    made = comparison(moving(name, mapping), DEEP)
    noisy = value(made, student=padded_noise(s, MASK, 5), teacher=padded_noise(t, MASK, 6))
    assert noisy.item() == pytest.approx(clean.item(), rel=1e-5)


# --- projections --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "matching"), ALL_MATCHINGS)
def test_projections_only_where_the_matching_needs_them(name, matching):
    row, taught = matchings_of(name, CLASSES)[matching], term(name, matching)
    both = len(taught.pairs) if row.both_projected else 0
    equal, narrow = comparison(taught), comparison(taught, NARROW)
    assert len(equal.student_projections) == both, f"{name}:{matching}: between equal widths"
    projected = row.same_width or name == "teacher-classifier"
    assert len(narrow.student_projections) == (len(taught.pairs) if projected else both)
    for made in (equal, narrow):
        assert len(made.teacher_projections) == both
    for projection in narrow.student_projections.values():
        width = CONTRASTIVE_WIDTH if both else TEACHER.hidden
        assert (projection.in_features, projection.out_features) == (NARROW.hidden, width)
    assert value(narrow, student=features(NARROW, 1)).isfinite(), f"{name}:{matching}"


@pytest.mark.parametrize("mapping", [name for name, row in MAPPINGS.items() if row.moving])
def test_moving_pairs_have_one_projection_for_each_student_layer(mapping):
    made = comparison(moving("hidden", mapping, THIN), THIN)
    assert list(made.student_projections) == ["1", "2", "3"]
    contrastive = moving("cls", mapping, THIN, "contrastive")
    assert list(comparison(contrastive, THIN).teacher_projections) == ["1", "2", "3"]


def test_a_shared_projection_is_one_for_all_pairs_of_a_term():
    taught = term("hidden")
    made = comparison(taught, NARROW, projection="shared")
    assert list(made.student_projections) == ["all"] and len(taught.pairs) == 2
    (layer,) = made.student_projections.values()
    s, t = features(NARROW, 1), features(TEACHER, 100)
    wanted = [
        F.mse_loss(layer(s["hidden", pair[1]])[MASK], t["hidden", pair[0]][MASK])
        for pair in taught.pairs
    ]
    found = value(made, student=s, teacher=t)
    assert found.item() == pytest.approx(sum(wanted).item() / 2, rel=1e-5)
    contrastive = comparison(term("cls", "contrastive"), NARROW, projection="shared")
    assert list(contrastive.teacher_projections) == ["all"]


@pytest.mark.parametrize("student", [NARROW, Shape(layers=2, hidden=16, heads=2, ffn=8)])
def test_an_orthogonal_projection_is_one_and_stays_one(student):
    made = comparison(term("hidden"), student, projection="orthogonal")
    optimiser = torch.optim.SGD(made.parameters(), lr=0.5)
    before = value(made, student=features(student, 1)).item()
    for _ in range(5):
        optimiser.zero_grad()
        value(made, student=features(student, 1)).backward()
        optimiser.step()
    assert value(made, student=features(student, 1)).item() < 0.999 * before, "it is not trained"
    for layer in made.student_projections.values():
        weight = layer.weight.detach()
        product = weight.T @ weight if weight.shape[0] > weight.shape[1] else weight @ weight.T
        assert torch.allclose(product, torch.eye(len(product)), atol=1e-5)
        assert layer.bias is None


def test_without_projections_contrastive_compares_the_vectors_themselves():
    made = comparison(term("cls", "contrastive", pairs=((2, 1),)), projection="none")
    assert not list(made.parameters())
    s, t = features(SAME, 1), features(TEACHER, 100)
    wanted = FUNCTIONS["vector_contrastive"](s["hidden", 1][:, 0], t["hidden", 2][:, 0])
    assert value(made).item() == pytest.approx(wanted.item(), rel=1e-6)


def test_contrastive_compares_two_projections():
    made = comparison(term("cls", "contrastive", pairs=((2, 1),)))
    s, t = features(SAME, 1), features(TEACHER, 100)
    x = F.normalize(made.student_projections["2-1"](s["hidden", 1][:, 0]), dim=-1).detach()
    y = F.normalize(made.teacher_projections["2-1"](t["hidden", 2][:, 0]), dim=-1).detach()
    wanted = 0.0
    for i in range(BATCH):
        scores = [float(x[i] @ y[j]) / 0.07 for j in range(BATCH)]
        wanted += (math.log(sum(map(math.exp, scores))) - scores[i]) / BATCH
    assert value(made).item() == pytest.approx(wanted, rel=1e-5)


def test_contrastive_trains_both_projections():
    made = comparison(term("cls", "contrastive"))
    value(made).backward()
    for key, parameter in made.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, (
            f"{key} is not trained"
        )


# --- pairs that move ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hidden", "attention", "value-relation"])
@pytest.mark.parametrize("mapping", CHOICES)
def test_chosen_pairs_against_a_loop(mapping, name):
    made = comparison(moving(name, mapping), DEEP)
    student = features(DEEP, 1)
    seen = set()
    for step in range(0, 100, 9):
        moment = Moment(step, 100, step // 10, seed=3)
        chosen = CHOICES[mapping](made.term.pairs, moment, step / 100)
        alone = [value(comparison(term(name, pairs=(p,)), DEEP), START, student) for p in chosen]
        found = value(made, moment, student)
        assert found.item() == pytest.approx(sum(alone).item() / len(chosen), rel=1e-5)
        seen.add(round(found.item(), 6))
    assert len(seen) > 1, "the pairs do not move"


def test_hidden_states_and_attention_draw_the_same_layers():
    """Fed with tensors whose values are their layer's number, mse tells which layer was drawn."""
    student = {k: torch.zeros_like(v) for k, v in features(DEEP, 1).items()}
    teacher = {k: torch.full_like(v, float(k[1])) for k, v in features(TEACHER, 1).items()}
    pair = ((1, 2), (2, 2), (3, 2))
    made = [comparison(term(n, "mse", 1, pair, "random-in-block"), DEEP) for n in ("hidden", "cls")]
    for step in range(20):
        values = [value(m, Moment(step, 20, 0, 5), student, teacher).item() for m in made]
        assert values[0] == pytest.approx(values[1])


def test_progressive_counts_from_the_start_of_its_window():
    late = comparison(moving("hidden", "progressive", weight=Weight(1, 1, 50, 100)), DEEP)
    whole = comparison(moving("hidden", "progressive"), DEEP)
    for step in range(50):
        one = value(late, Moment(50 + step, 100, 0, 0), features(DEEP, 1))
        two = value(whole, Moment(2 * step, 100, 0, 0), features(DEEP, 1))
        assert torch.equal(one, two)


# --- transport ----------------------------------------------------------------------------------


def slow_transport(name, steps):
    """Values of `emd` at random features, one pair at a time."""
    teacher_weights, student_weights = torch.full((4,), 0.25), torch.full((3,), 1 / 3)
    a, b = (w.double().numpy() for w in (teacher_weights, student_weights))
    a, b = a / a.sum(), b / b.sum()
    for step in range(steps):
        student = features(DEEP, 1 + step)
        cost = torch.tensor(
            [
                [
                    value(comparison(term(name, pairs=((t, s),)), DEEP), START, student)
                    for s in (1, 2, 3)
                ]
                for t in (1, 2, 3, 4)
            ],
            dtype=torch.float64,
        ).numpy()
        plan = transport_plan(cost, a, b)
        yield float((plan * cost).sum())
        a, b = layer_weights(cost, plan, a, b)


@pytest.mark.parametrize("name", ["hidden", "attention-scores"])
def test_emd_against_a_loop(name):
    made = comparison(moving(name, "emd"), DEEP)
    for step, wanted in enumerate(slow_transport(name, 4)):
        found = value(made, START, features(DEEP, 1 + step))
        assert found.item() == pytest.approx(wanted, rel=1e-5), f"step {step}"


def test_the_gradient_of_emd_is_that_of_the_pairs_by_their_flow():
    made = comparison(moving("hidden", "emd"), DEEP)
    student = {k: v.requires_grad_() for k, v in features(DEEP, 1).items()}
    value(made, START, student).backward()
    pairs = [(t, s) for t in (1, 2, 3, 4) for s in (1, 2, 3)]
    costs = {p: value(comparison(term("hidden", pairs=(p,)), DEEP), START, student) for p in pairs}
    matrix = [[costs[t, s].item() for s in (1, 2, 3)] for t in (1, 2, 3, 4)]
    plan = transport_plan(
        *(torch.tensor(x).double().numpy() for x in (matrix, [0.25] * 4, [1 / 3] * 3))
    )
    total = sum(float(plan[t - 1, s - 1]) * costs[t, s] for t, s in pairs)
    keys = [("hidden", s) for s in (1, 2, 3)]
    for key, wanted in zip(
        keys, torch.autograd.grad(total, [student[k] for k in keys]), strict=True
    ):
        assert torch.allclose(student[key].grad, wanted, atol=1e-6)


def test_an_evaluation_leaves_the_layer_weights_of_emd():
    made = comparison(moving("hidden", "emd"), DEEP)
    before = [buffer.clone() for buffer in made.buffers()]
    with torch.no_grad():
        value(made, START, features(DEEP, 1))
    assert all(map(torch.equal, before, made.buffers()))
    value(made, START, features(DEEP, 1))
    assert not all(map(torch.equal, before, made.buffers()))


def test_emd_goes_on_where_it_was_saved():
    straight, first = (comparison(moving("hidden", "emd"), DEEP) for _ in range(2))
    values = [value(straight, START, features(DEEP, n)).item() for n in range(4)]
    for n in range(2):
        value(first, START, features(DEEP, n))
    second = comparison(moving("hidden", "emd"), DEEP)
    assert value(second, START, features(DEEP, 2)).item() != values[2], "the state is inert"
    second.load_state_dict(first.state_dict())
    assert [value(second, START, features(DEEP, n)).item() for n in (2, 3)] == values[2:]
    assert set(first.state_dict()) == {"teacher_weights", "student_weights"}


def test_a_cost_that_is_not_finite_makes_the_value_so():
    """The training then ends with a sentence; a flow of 0 must not hide it."""
    student = features(DEEP, 1)
    student["hidden", 1][0, 0, 0] = math.nan
    with pytest.warns(UserWarning, match="infeasible"):
        found = value(comparison(moving("hidden", "emd"), DEEP), START, student)
    assert not found.isfinite()


# --- mixtures of layers ---------------------------------------------------------------------------


def slow_mixture(x, layers):
    """For one vector x (H,) and the layers (T, H)."""
    scores = [float(x @ layer) / math.sqrt(len(x)) for layer in layers]
    shares = [math.exp(score - max(scores)) for score in scores]
    return sum(share / sum(shares) * layer for share, layer in zip(shares, layers, strict=True))


@pytest.mark.parametrize("student", [DEEP, THIN], ids=["as wide", "narrow"])
@pytest.mark.parametrize("name", ["hidden", "cls"])
def test_attention_weighted_against_a_loop(name, student):
    made = comparison(moving(name, "attention-weighted", student, "mse"), student)
    made.requires_grad_(False)
    s, t = features(student, 1), features(TEACHER, 100)
    wanted, tokens = 0.0, [(i, j) for i in range(BATCH) for j in range(LENGTH) if MASK[i, j]]
    tokens = tokens if name == "hidden" else [(i, 0) for i in range(BATCH)]
    for layer in (1, 2, 3):
        for i, j in tokens:
            x = s["hidden", layer][i, j]
            x = made.student_projections[str(layer)](x) if student is THIN else x
            target = slow_mixture(x, [t["hidden", n][i, j] for n in (1, 2, 3, 4)])
            wanted += float((x - target).square().mean()) / len(tokens) / 3
    assert value(made, START, s, t).item() == pytest.approx(wanted, rel=1e-4)


def test_the_gradient_of_a_mixture_reaches_the_student_through_its_weights():
    made = comparison(moving("cls", "attention-weighted", matching="mse"), DEEP)
    student = {k: v.requires_grad_() for k, v in features(DEEP, 1).items()}
    t = features(TEACHER, 100)
    value(made, START, student, t).backward()
    layers = torch.stack([t["hidden", n][:, 0] for n in (1, 2, 3, 4)])
    total = sum(
        (x - mixture(x, layers)).square().mean() / 3
        for x in (student["hidden", s][:, 0] for s in (1, 2, 3))
    )
    (wanted,) = torch.autograd.grad(total, [student["hidden", 2]])
    assert torch.allclose(student["hidden", 2].grad, wanted, atol=1e-6)


@pytest.mark.parametrize("mapping", ["emd", "attention-weighted", "progressive"])
@pytest.mark.parametrize("name", ["hidden", "pooled"])
def test_the_teacher_gets_no_gradient(name, mapping):
    made = comparison(moving(name, mapping, THIN), THIN)
    student = {k: v.requires_grad_() for k, v in features(THIN, 1).items()}
    teacher = {k: v.requires_grad_() for k, v in features(TEACHER, 100).items()}
    value(made, START, student, teacher).backward()
    assert all(tensor.grad is None for tensor in teacher.values())
    assert any(tensor.grad is not None for tensor in student.values())
    for key, parameter in made.named_parameters():
        if mapping != "progressive":  # it starts with the first layer alone
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


# --- temperatures, shifts, errata -----------------------------------------------------------------


def part(name, matching=None, seed=0, **settings):
    """The value of a term in an objective with these settings."""
    taught = term(name, matching)
    settings = {"relation_heads": 2, **settings}
    made = Objective((taught,), CLASSES, SAME, TEACHER, settings, classifier=classifier())
    parts = made.parts(features(SAME, 1), features(TEACHER, 100), MASK, LABELS, START)
    return parts[str(taught)].item()


def errs(erratum, name, matching):
    """Whether an erratum is one of a term."""
    form = KNOWLEDGE[name].form.name
    return {
        "double-softmax": form == "maps",
        "no-tau-squared": matchings_of(name, CLASSES)[matching].softened,
        "padding": form not in ("logits", "vector") or name == "pooled",
        "teacher-in-training": False,  # it changes what the teacher says, not how it is compared
        "reversed-last-k": False,  # it changes the pairs
    }[erratum]


@pytest.mark.parametrize("erratum", ERRATA)
@pytest.mark.parametrize(("name", "matching"), ALL_MATCHINGS)
def test_an_erratum_changes_the_value_and_only_where_it_should(erratum, name, matching):
    right, wrong = part(name, matching), part(name, matching, errata=erratum)
    if errs(erratum, name, matching):
        assert wrong != pytest.approx(right, rel=1e-4), "the erratum is inert"
    else:
        assert wrong == right, "the erratum is about something else"


def twice(found, layer):
    """The maps of a layer after the second softmax, (B, h, L, L): it sees the padded keys."""
    scores = found["query", layer] @ found["key", layer].mT / math.sqrt(SAME.head_size)
    return scores.masked_fill(~MASK[:, None, None, :], -math.inf).softmax(-1).softmax(-1)


DOUBLED = {
    "kl": lambda s, t: (t * (t.log() - s.log())).sum(-1),
    "cosine": lambda s, t: 1 - torch.nn.functional.cosine_similarity(s, t, dim=-1),
    "head-mean-kl": lambda s, t: DOUBLED["kl"](s.mean(1), t.mean(1)),
    "head-mean-cosine": lambda s, t: DOUBLED["cosine"](s.mean(1), t.mean(1)),
    "mse": lambda s, t: (s - t).square(),
    "head-mean-mse": lambda s, t: (s.mean(1) - t.mean(1)).square(),
}


@pytest.mark.parametrize("matching", matchings_of("attention", CLASSES))
def test_double_softmax_is_a_softmax_of_maps_with_their_padded_keys(matching):
    """As TextBrewer's `attention_ce` on maps; rows of padding count there no more than here."""
    wanted = 0.0
    for t, s in PAIRS:
        values = DOUBLED[matching](twice(features(SAME, 1), s), twice(features(TEACHER, 100), t))
        valid = MASK[:, :, None] if "mse" in matching else MASK
        if not matching.startswith("head-mean"):
            valid = valid[:, None]
        wanted += float(values[valid.expand(values.shape)].mean()) / len(PAIRS)
    wrong = part("attention", matching, errata="double-softmax")
    assert wrong == pytest.approx(wanted, rel=1e-3)


def test_padding_erratum_takes_padding_for_tokens():
    wrong = part("pooled", "mse", errata="padding")
    s, t = features(SAME, 1), features(TEACHER, 100)
    values = [
        (s["hidden", b].mean(1) - t["hidden", a].mean(1)).square().mean().item() for a, b in PAIRS
    ]
    assert wrong == pytest.approx(sum(values) / len(values), rel=1e-5)


@pytest.mark.parametrize("matching", ["kl", "ce", "dist", "logit-std"])
def test_no_tau_squared_is_the_value_over_tau_squared(matching):
    right = part("logits", matching, temperature=4)
    wrong = part("logits", matching, temperature=4, errata="no-tau-squared")
    assert wrong == pytest.approx(right / 16, rel=1e-5)
    assert part("logits", matching, temperature=1) == pytest.approx(
        part("logits", matching, temperature=1, errata="no-tau-squared")
    )


@pytest.mark.parametrize("schedule", ["flsw", "cwsm"])
def test_a_temperature_for_every_example(schedule):
    s, t = features(SAME, 1)["logits", 0], features(TEACHER, 100)["logits", 0]
    doubt = {"flsw": 1 - F.cosine_similarity(s, t), "cwsm": 1 / s.softmax(-1).max(-1).values}
    w = doubt[schedule]
    taus = [float(3 + w.mean() - x) for x in w]
    wanted = sum(
        tau**2 * F.kl_div((a / tau).log_softmax(-1), (b / tau).softmax(-1), reduction="sum").item()
        for a, b, tau in zip(s, t, taus, strict=True)
    )
    found = part("logits", temperature=3, temperature_schedule=schedule)
    assert found == pytest.approx(wanted / BATCH, rel=1e-5)
    assert found != pytest.approx(part("logits", temperature=3), rel=1e-4)
    assert part("logits", "mse", temperature_schedule=schedule) == part("logits", "mse")
    assert part("hidden", temperature_schedule=schedule) == part("hidden")


def test_probability_shift_puts_the_right_class_on_top():
    t = features(TEACHER, 100)["logits", 0]
    shifted = t.clone()
    for row, label in zip(shifted, LABELS.tolist(), strict=True):
        top = int(row.argmax())
        row[top], row[label] = row[label].item(), row[top].item()
    assert not torch.equal(shifted, t), "the teacher never errs: nothing is tested"
    wanted = logits.logits_kl(features(SAME, 1)["logits", 0], shifted, 2.0).item()
    assert part("logits", probability_shift=True) == pytest.approx(wanted, rel=1e-6)
    assert part("hidden", probability_shift=True) == part("hidden")
