"""Each loss against a slow loop written from its formula, and what holds for all of them."""

import inspect
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import LOSSES, MASKED, SOFTENED, Case, draw, gradient
from loss_references import (
    REFERENCES,
    cosine,
    entropy,
    mean,
    of_each_label,
    softened,
    softmax,
    vector_pairs,
)
from torch import Tensor

from kd.axes.fields import TEMPERATURE_SCHEDULES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.matchings import MATCHINGS
from kd.losses import attention, labels, logits, relations, temperature, vectors
from kd.losses.table import LOSSES as FUNCTIONS
from kd.losses.table import TEMPERATURES

torch.set_num_threads(1)

few = settings(max_examples=8, deadline=None, derandomize=True)
LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**31)
every_loss = pytest.mark.parametrize("name", LOSSES)


# --- the tables -------------------------------------------------------------------------------


def public_losses() -> set[str]:
    """The public functions of the modules of losses."""
    return {
        name
        for module in (attention, labels, logits, relations, vectors)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and name[0] != "_"
    } - {"double_softmax"}


def test_every_loss_is_in_the_table_under_its_name():
    assert set(FUNCTIONS) == public_losses()
    assert all(function.__name__ == name for name, function in FUNCTIONS.items())


def test_every_temperature_schedule_is_in_the_table():
    assert {"constant", *TEMPERATURES} == set(TEMPERATURE_SCHEDULES)


def test_every_docstring_of_a_loss_has_the_shapes():
    shape = re.compile(r"\((P, )?B, [CHLh]")
    for name, function in FUNCTIONS.items():
        assert shape.search(function.__doc__ or ""), f"{name}: of which shape?"


def test_every_loss_is_tested_here():
    assert set(LOSSES) == public_losses(), "loss_cases.LOSSES lacks a loss, or names one too many"
    assert set(REFERENCES) == public_losses(), "a loss is not checked against its formula"


@every_loss
def test_every_argument_of_a_loss_is_an_option_here(name):
    loss = LOSSES[name]
    inputs = ["student", "teacher"] + ["mask"] * loss.masked + ["labels"] * loss.labelled
    assert list(inspect.signature(FUNCTIONS[name]).parameters) == [*inputs, *loss.options]


def test_every_row_of_matchings_states_the_facts_of_its_loss():
    for form, rows in MATCHINGS.items():
        for matching, row in rows.items():
            label = f"{form}:{matching} ({row.loss})"
            assert row.loss in LOSSES, f"{label}: kd.losses.table has no such loss"
            loss = LOSSES[row.loss]
            equal = row.same_width or row.both_projected
            assert equal == loss.same_width, f"{label}: same_width"
            assert row.same_heads == loss.same_heads, f"{label}: same_heads"
            assert row.softened == (
                "temperature" in loss.options and form in ("logits", "multi-label")
            ), label
            assert row.labelled == loss.labelled, f"{label}: labelled"
            assert dict(row.options).keys() <= loss.options.keys(), f"{label}: options"


def test_every_knowledge_type_has_a_matching():
    for name, knowledge in KNOWLEDGE.items():
        assert MATCHINGS.get(knowledge.form.name), (
            f"{name}: no matching for the form {knowledge.form.name}"
        )


# --- values -----------------------------------------------------------------------------------


def is_its_formula(case: Case, what: str = "") -> None:
    value = case.value()
    assert value.shape == (), f"{case.name}: not a scalar"
    found, wanted = value.item(), REFERENCES[case.name](case.map(Tensor.double))
    assert found == pytest.approx(wanted, rel=2e-4, abs=2e-5), f"{case.name}: not its formula{what}"


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_loss_is_its_formula(name, lengths, seed):
    is_its_formula(draw(name, lengths, seed))


@pytest.mark.parametrize("name", SOFTENED)
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_each_example_may_have_its_temperature(name, lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    taus = 1 + 4 * torch.rand(len(lengths), generator=generator)
    case = draw(name, lengths, seed).turned(temperature=taus)
    is_its_formula(case, " with a temperature per example")
    same = case.turned(temperature=torch.full_like(taus, 2.0)).value()
    assert same == pytest.approx(case.turned(temperature=2.0).value().item(), rel=1e-5, abs=1e-6)
    assert case.turned(temperature=2).value() == case.turned(temperature=2.0).value()


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_loss_is_at_its_floor_where_the_student_is_the_teacher(name, lengths, seed):
    case = draw(name, lengths, seed, same=True)
    case = replace(case, student=case.teacher)
    floor = 0.0
    if name == "logits_ce":
        floor = mean(tau**2 * entropy(t) for tau, _, t in softened(case))
    if name == "labels_ce":
        floor = mean(tau**2 * entropy(t) for tau, _, t in of_each_label(case))
    if name == "vector_contrastive":
        floor = REFERENCES[name](case.map(Tensor.double))
    assert case.value().item() == pytest.approx(floor, rel=1e-5, abs=1e-6), (
        f"{name}: not {floor} at S = T"
    )


@every_loss
def test_loss_is_above_zero_where_they_differ(name):
    assert draw(name, [5, 3, 4], seed=1).value() > 1e-3, f"{name}: blind to a difference"


def pad_more(case: Case, more: int, size: float, seed: int) -> Case:
    """`more` positions of padding behind, and new values wherever there is padding."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.nn.functional.pad(case.mask, (0, more))
    form = case.loss.form
    valid = {
        "tokens": mask[:, :, None],
        "relation": mask[:, None, :, None],
        "layers": mask[None, :, :, None],
    }.get(form, mask[:, None, :, None] & mask[:, None, None, :])

    def extend(x: Tensor) -> Tensor:
        by = (0, more, 0, more) if form in ("maps", "scores") else (0, 0, 0, more)
        x = torch.nn.functional.pad(x, by)
        return torch.where(valid, x, size * torch.randn(x.shape, generator=generator))

    return replace(case.map(extend), mask=mask)


@pytest.mark.parametrize("name", MASKED)
@few
@given(
    lengths=LENGTHS,
    seed=SEEDS,
    more=st.integers(0, 3),
    size=st.sampled_from([0.0, 1.0, 1e4, 1e12]),
)
def test_padding_changes_neither_loss_nor_gradient(name, lengths, seed, more, size):
    case = draw(name, lengths, seed)
    value, gradients = gradient(case)
    padded = pad_more(case, more, size, seed)
    padded_value, padded_gradients = gradient(padded)
    assert padded_value == pytest.approx(value, rel=1e-4, abs=1e-5), f"{name}: padding counts"
    for before, after in zip(gradients, padded_gradients, strict=True):
        kept = after[tuple(slice(size) for size in before.shape)]
        assert torch.allclose(before, kept, rtol=1e-3, atol=1e-5), f"{name}: padding moves S"
        assert after.abs().sum().item() == pytest.approx(
            before.abs().sum().item(), rel=1e-3, abs=1e-5
        ), f"{name}: padding has a gradient"


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_order_of_the_batch_does_not_matter(name, lengths, seed):
    case = draw(name, lengths, seed)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    assert case.examples(order).value() == pytest.approx(case.value().item(), rel=1e-4, abs=1e-5), (
        f"{name}: another order of the examples, another loss"
    )


@every_loss
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_bf16_inputs_are_reduced_in_fp32(name, spread):
    case = draw(name, [5, 2, 4], seed=5, spread=spread).map(Tensor.bfloat16)
    value = case.value()
    assert value.dtype == torch.float32, f"{name}: reduced in {value.dtype}"
    assert value.isfinite(), f"{name}: {value} for bf16 inputs of size {spread}"
    wanted = case.map(Tensor.float).value()
    assert value == pytest.approx(wanted.item(), rel=1e-6), f"{name}: computed in bf16"
    for slope in gradient(case)[1]:
        assert slope.dtype == torch.bfloat16 and slope.isfinite().all(), f"{name}: bf16 gradient"


@pytest.mark.parametrize("name", SOFTENED)
def test_soft_labels_of_far_apart_logits_are_finite(name):
    logits = torch.tensor([[300.0, -300.0, 0.0], [-300.0, 300.0, 0.0]])
    drawn = draw(name, [1, 1], seed=0)
    case = replace(drawn, student=(logits,), teacher=(-logits,))
    value, (slope,) = gradient(case)
    assert math.isfinite(value) and slope.isfinite().all(), f"{name}: {value}, {slope}"


@every_loss
@pytest.mark.parametrize("side", ["student", "teacher"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_side_that_is_not_finite_is_no_small_loss(name, side, value):
    """Neither is one with a single NaN: a training must end there."""
    case = draw(name, [5, 3, 4, 4], seed=1)
    broken = tuple(torch.full_like(x, value) for x in getattr(case, side))
    assert not replace(case, **{side: broken}).value().isfinite()
    broken = tuple(x.clone() for x in getattr(case, side))
    for tensor in broken:
        tensor.view(-1)[0] = torch.nan
    assert not replace(case, **{side: broken}).value().isfinite()


@every_loss
def test_no_value_is_looked_at(name):
    """A tensor of the meta device has none: `.item()`, or a shape that depends on values, fails.

    On a GPU each such look waits for everything that was asked of it before.
    """
    case = draw(name, [4, 2, 3], seed=0).map(lambda x: x.to("meta"))
    case = replace(case, mask=case.mask.to("meta"), labels=case.labels.to("meta"))
    assert case.value().is_meta


@every_loss
def test_inputs_are_left_as_they_are(name):
    case = draw(name, [4, 2, 3], seed=0)
    before, mask = case.map(Tensor.clone), case.mask.clone()
    gradient(case)
    for now, then in zip(
        case.student + case.teacher + (case.mask,),
        before.student + before.teacher + (mask,),
        strict=True,
    ):
        assert now.equal(then), f"{name}: writes into its inputs"


# --- gradients --------------------------------------------------------------------------------


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_gradient_reaches_the_student_and_is_finite(name, lengths, seed):
    _, slopes = gradient(draw(name, [*lengths, 3, 4, 2], seed))
    for slope in slopes:
        assert slope.isfinite().all(), f"{name}: gradient is not finite"
        assert slope.abs().max() > 1e-6, f"{name}: no gradient on the student"


@every_loss
@pytest.mark.parametrize("spread", [0.7, 1.5])
def test_gradient_is_the_slope_of_the_loss(name, spread):
    """Against finite differences: a detach in the wrong place would not change the value."""
    case = draw(name, [4, 2, 3, 5], seed=11, spread=spread)
    _, slopes = gradient(case)
    for index, slope in enumerate(slopes):
        generator = torch.Generator().manual_seed(index)
        step = torch.randn(slope.shape, generator=generator)

        def moved(by: float, index: int = index, step: Tensor = step) -> float:
            student = [x.double() for x in case.student]
            student[index] = student[index] + by * step.double()
            return REFERENCES[name](replace(case.map(Tensor.double), student=tuple(student)))

        found, wanted = (slope * step).sum().item(), (moved(1e-5) - moved(-1e-5)) / 2e-5
        assert found == pytest.approx(wanted, rel=2e-3, abs=1e-4), f"{name}: not its slope"


# --- undefined comparisons ------------------------------------------------------------------------


def spoiled(case: Case, side: str, how: str) -> Case:
    """One side with a comparison undefined: an item zero, two equal, all equal, ..."""
    axis = {"logits": 0, "labels": 0, "vector": 0, "tokens": 1, "layers": 0, "relation": 2}.get(
        case.loss.form, 2
    )

    def spoil(x: Tensor) -> Tensor:
        if how == "all the same":
            return x[(slice(1),) * (x.ndim - 1)].expand_as(x).clone()
        first = x.narrow(axis, 0, 1)
        if how == "all equal":
            return first.expand_as(x).clone()
        rest = x.narrow(axis, 1, x.shape[axis] - 1).clone()
        if how == "two equal":
            rest.narrow(axis, 0, 1).copy_(first)
            return torch.cat([first, rest], axis)
        if how == "two logits equal":
            return torch.cat([first.mean(-1, keepdim=True).expand_as(first), rest], axis)
        return torch.cat([torch.zeros_like(first), rest], axis)

    return replace(case, **{side: tuple(map(spoil, getattr(case, side)))})


@every_loss
@pytest.mark.parametrize("side", ["student", "teacher"])
@pytest.mark.parametrize(
    "how", ["one zero", "two equal", "all equal", "all the same", "two logits equal"]
)
def test_what_is_undefined_is_no_unit(name, side, how):
    case = spoiled(draw(name, [5, 5, 3, 4, 2], seed=2), side, how)
    case = replace(case, mask=case.mask | torch.eye(5, dtype=torch.bool)[:2].sum(0).bool())
    is_its_formula(case, f" with {how} in the {side}")
    for slope in gradient(case)[1]:
        assert slope.isfinite().all(), f"{name}: gradient where {how}"
        assert slope.abs().max() < 1e3, f"{name}: gradient of {slope.abs().max()} where {how}"


@every_loss
@pytest.mark.parametrize("how", ["as drawn", "one zero", "two equal", "all equal", "all the same"])
def test_student_equal_to_the_teacher_has_no_slope(name, how):
    case = spoiled(draw(name, [4, 1, 3], seed=2, same=True), "teacher", how)
    value, slopes = gradient(replace(case, student=case.teacher))
    assert math.isfinite(value), f"{name}: {value} at S = T, {how}"
    for slope in slopes:
        assert slope.isfinite().all(), f"{name}: gradient at S = T, {how}"
        if name != "vector_contrastive":
            assert slope.abs().max() < 1e-4, f"{name}: S = T is no minimum, {how}"


@every_loss
def test_one_example_of_one_token_has_a_value(name):
    value, slopes = gradient(draw(name, [1], seed=0))
    assert math.isfinite(value), f"{name}: {value} for one token"
    assert all(slope.isfinite().all() for slope in slopes), f"{name}: gradient for one token"


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, loss in LOSSES.items() for option in loss.options]
)
def test_every_option_changes_the_loss(name, option):
    case = draw(name, [5, 4, 3, 5], seed=8)
    one, other = (case.turned(**{option: value}) for value in LOSSES[name].options[option])
    assert one.value().item() != pytest.approx(other.value().item(), rel=1e-2), (
        f"{name}: {option} is inert"
    )
    is_its_formula(one, f" with {one.options}")
    is_its_formula(other, f" with {other.options}")


@pytest.mark.parametrize("name", MASKED)
def test_mask_changes_the_loss(name):
    case = draw(name, [5, 4, 3], seed=9)
    full = replace(case, mask=torch.ones_like(case.mask)).value().item()
    assert case.value().item() != pytest.approx(full, rel=1e-3), f"{name}: the mask is inert"


def test_defaults_are_those_of_the_papers():
    def default(name: str, option: str) -> Any:
        return inspect.signature(FUNCTIONS[name]).parameters[option].default

    assert default("triplet_angle_mse", "window") == default("triplet_angle_huber", "window") == 21
    assert default("vector_contrastive", "temperature") == 0.07
    assert (default("logits_dkd", "alpha"), default("logits_dkd", "beta")) == (1, 8)


def test_hot_soft_labels_compare_centred_logits():
    """Hinton et al. 2015, section 2.1: tau^2 KL -> mean over examples of sum (s - t)^2 / 2C."""
    case = draw("logits_kl", [1] * 5, seed=6).turned(temperature=100.0)
    s, t = (x[0] - x[0].mean(-1, keepdim=True) for x in (case.student, case.teacher))
    wanted = (s - t).square().sum(-1).mean() / (2 * s.shape[-1])
    assert case.value() == pytest.approx(wanted.item(), rel=2e-2), (
        "kl: without tau^2 the limit of a high temperature is 0"
    )


def test_kl_and_ce_have_one_gradient():
    case = draw("logits_kl", [1] * 4, seed=7)
    (_, (soft,)), (_, (hard,)) = gradient(case), gradient(replace(case, name="logits_ce"))
    assert torch.allclose(soft, hard, atol=1e-6), "ce differs from kl by more than a constant"


def test_two_standardised_logits_teach_nothing():
    """They are (1, -1) or (-1, 1) whatever the student says: the grid must prune that."""
    case = draw("logits_std", [1] * 6, seed=3)
    _, (slope,) = gradient(case.map(lambda x: x[:, :2]))
    assert slope.abs().max() < 1e-6
    _, (slope,) = gradient(case)
    assert slope.abs().max() > 1e-3


def two_classes(name: str) -> Case:
    case = draw(name, [1] * 6, seed=3).map(lambda x: x[:, :2])
    return replace(case, labels=case.labels % 2)


@pytest.mark.parametrize("name", ["logits_dkd", "logits_ranknet"])
def test_of_two_classes_kl_is_left(name):
    """The grid prunes them there, as the same as kl."""
    assert two_classes(name).value() == pytest.approx(
        two_classes("logits_kl").value().item(), rel=1e-5
    )
    wide = draw(name, [1] * 6, seed=3).value()
    assert wide != pytest.approx(draw("logits_kl", [1] * 6, seed=3).value().item(), rel=0.05)


def test_kl_is_the_two_parts_of_dkd_coupled():
    """Zhao et al. 2022, equation 6: KL = target part + (1 - p_T of the target) other part."""
    for seed in range(4):
        case = draw("logits_dkd", [1], seed)
        _, _, teacher = next(iter(softened(case)))
        coupled = case.turned(beta=1 - teacher[case.labels.item()])
        wanted = replace(case, name="logits_kl", options={"temperature": 2.5}).value()
        assert coupled.value() == pytest.approx(wanted.item(), rel=1e-4)


def test_generalised_js_lies_between_kl_and_reverse_kl():
    """Agarwal et al. 2023: over beta it tends to kl, over 1 - beta to the reverse."""
    case = draw("logits_js", [1] * 4, seed=3)
    for beta, name, weight in ((1e-3, "logits_kl", 1e-3), (1 - 1e-3, "logits_reverse_kl", 1e-3)):
        end = replace(case, name=name, options={"temperature": 2.5}).value()
        found = case.turned(beta=beta).value() / weight
        assert found == pytest.approx(end.item(), rel=2e-2), name


# --- temperatures of single examples, shifted and twice softened teachers -------------------------


def some_logits(seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    s, t = (3 * torch.randn(6, classes, generator=generator) for _ in range(2))
    return s.requires_grad_(), t.requires_grad_()


@pytest.mark.parametrize("tau", [4.0, 1.0, 0.3])
def test_flsw_heats_examples_on_which_both_agree(tau):
    s, t = some_logits(0)
    w = [1 - cosine(x, y) for x, y in zip(s.tolist(), t.tolist(), strict=True)]
    found = temperature.flsw_temperature(s, t, tau)
    wanted = [max(tau + mean(w) - one, tau / 10) for one in w]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
    assert not found.requires_grad and (found > 0).all()
    assert found.argmax() == min(range(6), key=w.__getitem__)


@pytest.mark.parametrize("tau", [4.0, 1.0, 0.3])
def test_cwsm_heats_examples_of_which_the_student_is_sure(tau):
    s, t = some_logits(1)
    w = [1 / max(softmax(x)) for x in s.tolist()]
    found = temperature.cwsm_temperature(s, t, tau)
    wanted = [max(tau + mean(w) - one, tau / 10) for one in w]
    assert found.tolist() == pytest.approx(wanted, rel=1e-5)
    assert not found.requires_grad and (found > 0).all()
    assert found.argmax() == min(range(6), key=w.__getitem__)


@pytest.mark.parametrize("schedule", TEMPERATURES)
def test_temperatures_of_bf16_logits_are_fp32(schedule):
    s, t = (x.detach().bfloat16() for x in some_logits(2))
    found = TEMPERATURES[schedule](s, t, 4.0)
    assert found.dtype == torch.float32 and found.shape == (6,)
    zero = TEMPERATURES[schedule](torch.zeros_like(s), t, 4.0)
    assert zero.tolist() == pytest.approx([4.0] * 6, rel=1e-5)


def test_probability_shift_swaps_the_largest_logit_with_that_of_the_gold_class():
    teacher = torch.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, -1.0], [1.0, 2.0, 3.0]])
    before = teacher.clone()
    shifted = temperature.probability_shift(teacher, torch.tensor([1, 1, 0]))
    assert shifted.tolist() == [[1.0, 3.0, 2.0], [0.5, 4.0, -1.0], [3.0, 2.0, 1.0]]
    assert teacher.equal(before), "the teacher's logits were changed in place"
    shifted.add_(1)
    assert teacher.equal(before), "the copy shares memory with the teacher's logits"


def test_double_softmax_hands_probabilities_on_as_scores():
    case = draw("map_kl", [4, 2, 3], seed=4)
    twice = replace(
        case,
        **{
            side: (attention.double_softmax(getattr(case, side)[0], case.mask),)
            for side in ("student", "teacher")
        },
    )
    for b, row in enumerate(case.mask.tolist()):
        real = [i for i, valid in enumerate(row) if valid]
        for scores, maps in zip(
            case.student[0][b].tolist(), twice.student[0][b].tolist(), strict=True
        ):
            for i in real:
                wanted = softmax([scores[i][j] for j in real])
                assert [maps[i][j] for j in real] == pytest.approx(wanted, rel=1e-5)
    is_its_formula(twice, " of probabilities")
    assert twice.value() < 0.5 * case.value(), "the second softmax flattens the maps"


def test_contrastive_asks_which_teacher_is_mine():
    """Swapped teachers: every example takes another's for its own."""
    case = draw("vector_contrastive", [1] * 3, seed=5, same=True)
    right = replace(case, student=case.teacher)
    wrong = right.student[0][torch.tensor([1, 2, 0])]
    assert replace(right, student=(wrong,)).value() > right.value() + 1
    assert len(vector_pairs(right)) == 3
