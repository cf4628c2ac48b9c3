"""Each loss against a slow loop written from its formula, and what holds for all of them."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kd import losses
from kd.knowledge import KNOWLEDGE
from kd.matching import MATCHINGS

torch.set_num_threads(1)

FORMS = {row.loss: form for form, rows in MATCHINGS.items() for row in rows.values()}
FORMS["logits_mse"] = "logits"
ROWS = {row.loss: row for rows in MATCHINGS.values() for row in rows.values()}
MASKED = [name for name, form in FORMS.items() if form not in ("logits", "vector")]
TEMPERED = [name for name, row in ROWS.items() if row.softened]
TAU, RELATION_HEADS = 2.5, 2
few = settings(max_examples=8, deadline=None, derandomize=True)
LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**31)


@dataclass(frozen=True)
class Case:
    """A loss and what it is called with; relations have two tensors a side, the others one."""

    name: str
    student: tuple[Tensor, ...]
    teacher: tuple[Tensor, ...]
    mask: Tensor
    temperature: float = TAU

    def value(self) -> Tensor:
        """The loss as the library computes it."""
        loss: Callable[..., Tensor] = getattr(losses, self.name)
        more: list[Any] = [self.mask] if self.name in MASKED else []
        if self.name == "relation_kl":
            return loss(self.student, self.teacher, *more, RELATION_HEADS)
        more += [self.temperature] * (self.name in TEMPERED)
        return loss(self.student[0], self.teacher[0], *more)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Case":
        """The same case with every tensor (not the mask) changed."""
        student, teacher = (tuple(map(change, side)) for side in (self.student, self.teacher))
        return replace(self, student=student, teacher=teacher)


def draw(name: str, lengths: list[int], seed: int, same: bool = False, spread: float = 1.5) -> Case:
    """Random tensors; widths and head counts differ where the matching allows it."""
    generator = torch.Generator().manual_seed(seed)
    row, form = ROWS[name], FORMS[name]
    width = 6 if row.same_width or same else 4
    heads = 3 if row.same_heads or same else 2
    batch, length = len(lengths), max(lengths)

    def side(width: int, heads: int) -> tuple[Tensor, ...]:
        shape = {
            "logits": (batch, 3),
            "vector": (batch, width),
            "tokens": (batch, length, width),
            "maps": (batch, heads, length, length),
            "scores": (batch, heads, length, length),
            "relation": (batch, heads, length, width),
        }[form]
        count = 2 if form == "relation" else 1
        return tuple(spread * torch.randn(shape, generator=generator) for _ in range(count))

    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    return Case(name, side(width, heads), side(6, 3), mask)


# --- the formulas, one number after the other, in double precision --------------------------------

Vector = list[float]


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def dot(x: Vector, y: Vector) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def cosine(x: Vector, y: Vector) -> float:
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))


def unit(x: Vector) -> Vector:
    return [a / math.sqrt(dot(x, x)) for a in x]


def squares(x: Vector, y: Vector) -> Vector:
    return [(a - b) ** 2 for a, b in zip(x, y, strict=True)]


def softmax(x: Vector, temperature: float = 1) -> Vector:
    exps = [math.exp((a - max(x)) / temperature) for a in x]
    return [e / sum(exps) for e in exps]


def kl(teacher: Vector, student: Vector) -> float:
    return sum(t * math.log(t / s) for t, s in zip(teacher, student, strict=True))


def valid_tokens(case: Case) -> Iterator[tuple[list[Vector], list[Vector]]]:
    """Example after example, the vectors of its real tokens: (student's, teacher's)."""
    s, t = case.student[0].tolist(), case.teacher[0].tolist()
    for b, row in enumerate(case.mask.tolist()):
        places = [i for i, valid in enumerate(row) if valid]
        yield [s[b][i] for i in places], [t[b][i] for i in places]


def token_pairs(case: Case) -> list[tuple[Vector, Vector]]:
    return [pair for s, t in valid_tokens(case) for pair in zip(s, t, strict=True)]


def vector_pairs(case: Case) -> list[tuple[Vector, Vector]]:
    return list(zip(case.student[0].tolist(), case.teacher[0].tolist(), strict=True))


def token_gram(case: Case) -> float:
    def gram(x: list[Vector]) -> list[Vector]:
        width = range(len(x[0]))
        return [[sum(v[i] * v[j] for v in x) / len(x) for j in width] for i in width]

    return mean(
        square
        for s, t in valid_tokens(case)
        for a, b in zip(gram(s), gram(t), strict=True)
        for square in squares(a, b)
    )


def token_nst(case: Case) -> float:
    return mean(
        (dot(s[i], s[j]) / len(s[0]) - dot(t[i], t[j]) / len(t[0])) ** 2
        for s, t in valid_tokens(case)
        for i in range(len(s))
        for j in range(len(s))
    )


def token_cka(case: Case) -> float:
    """1 - HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the centred kernels (Kornblith, eq. 3)."""

    def kernel(x: list[Vector]) -> list[Vector]:
        middle = [mean(column) for column in zip(*x, strict=True)]
        centred = [[a - m for a, m in zip(v, middle, strict=True)] for v in x]
        return [[dot(v, w) for w in centred] for v in centred]

    def hsic(x: list[Vector], y: list[Vector]) -> float:
        return sum(dot(a, b) for a, b in zip(x, y, strict=True))

    s = kernel([v for x, _ in valid_tokens(case) for v in x])
    t = kernel([v for _, x in valid_tokens(case) for v in x])
    return 1 - hsic(s, t) / math.sqrt(hsic(s, s) * hsic(t, t))


Rows = list[list[Vector]]  # head, query, valid keys


def valid_scores(case: Case) -> Iterator[tuple[Rows, Rows]]:
    """Example after example, the scores of its real queries and keys: (student's, teacher's)."""
    for b, row in enumerate(case.mask.tolist()):
        places = [i for i, valid in enumerate(row) if valid]
        sides = []
        for scores in (case.student[0].tolist(), case.teacher[0].tolist()):
            sides.append([[[head[i][j] for j in places] for i in places] for head in scores[b]])
        yield sides[0], sides[1]


def valid_maps(case: Case) -> Iterator[tuple[Rows, Rows]]:
    for s, t in valid_scores(case):
        yield [[softmax(q) for q in h] for h in s], [[softmax(q) for q in h] for h in t]


def head_mean(rows: Rows) -> Rows:
    keys = range(len(rows[0]))
    return [[[mean(head[i][j] for head in rows) for j in keys] for i in keys]]


def over_rows(
    sides: Iterator[tuple[Rows, Rows]],
    compare: Callable[[Vector, Vector], Iterable[float]],
    average: bool = False,
) -> float:
    """Mean of compare(student row, teacher row) over examples, heads and queries."""
    values: list[float] = []
    for s, t in sides:
        if average:
            s, t = head_mean(s), head_mean(t)
        for student_head, teacher_head in zip(s, t, strict=True):
            for student_row, teacher_row in zip(student_head, teacher_head, strict=True):
                values += compare(student_row, teacher_row)
    return mean(values)


def row_kl(s: Vector, t: Vector) -> list[float]:
    return [kl(t, s)]


def row_cosine(s: Vector, t: Vector) -> list[float]:
    return [1 - cosine(s, t)]


def relation_kl(case: Case) -> float:
    """Heads joined, split into RELATION_HEADS, softmax(x . y / sqrt(d_r)) per query row."""

    def tokens(x: Tensor, b: int, places: list[int]) -> list[Vector]:
        heads = x.tolist()[b]
        return [[a for head in heads for a in head[i]] for i in places]

    def maps(x: list[Vector], y: list[Vector], relation: int) -> list[Vector]:
        size = len(x[0]) // RELATION_HEADS
        part = slice(relation * size, (relation + 1) * size)
        return [softmax([dot(v[part], w[part]) / math.sqrt(size) for w in y]) for v in x]

    values = []
    for b, row in enumerate(case.mask.tolist()):
        places = [i for i, valid in enumerate(row) if valid]
        student = [tokens(x, b, places) for x in case.student]
        teacher = [tokens(x, b, places) for x in case.teacher]
        for r in range(RELATION_HEADS):
            s, t = maps(*student, r), maps(*teacher, r)
            values += [kl(q, p) for p, q in zip(s, t, strict=True)]
    return mean(values)


def entropy(teacher: Vector, temperature: float) -> float:
    return -sum(t * math.log(t) for t in softmax(teacher, temperature))


def logits_kl(case: Case) -> float:
    tau = case.temperature
    return tau**2 * mean(kl(softmax(t, tau), softmax(s, tau)) for s, t in vector_pairs(case))


def logits_ce(case: Case) -> float:
    tau = case.temperature
    return tau**2 * mean(
        kl(softmax(t, tau), softmax(s, tau)) + entropy(t, tau) for s, t in vector_pairs(case)
    )


REFERENCES: dict[str, Callable[[Case], float]] = {
    "logits_kl": logits_kl,
    "logits_ce": logits_ce,
    "logits_mse": lambda c: mean(x for s, t in vector_pairs(c) for x in squares(s, t)),
    "token_mse": lambda c: mean(x for s, t in token_pairs(c) for x in squares(s, t)),
    "token_mae": lambda c: mean(math.sqrt(x) for s, t in token_pairs(c) for x in squares(s, t)),
    "token_cosine": lambda c: mean(1 - cosine(s, t) for s, t in token_pairs(c)),
    "token_normalised_mse": lambda c: mean(
        sum(squares(unit(s), unit(t))) for s, t in token_pairs(c)
    ),
    "token_gram": token_gram,
    "token_nst": token_nst,
    "token_cka": token_cka,
    "vector_mse": lambda c: mean(x for s, t in vector_pairs(c) for x in squares(s, t)),
    "vector_cosine": lambda c: mean(1 - cosine(s, t) for s, t in vector_pairs(c)),
    "vector_normalised_mse": lambda c: mean(
        sum(squares(unit(s), unit(t))) for s, t in vector_pairs(c)
    ),
    "map_kl": lambda c: over_rows(valid_maps(c), row_kl),
    "map_mse": lambda c: over_rows(valid_maps(c), squares),
    "map_cosine": lambda c: over_rows(valid_maps(c), row_cosine),
    "map_head_mean_kl": lambda c: over_rows(valid_maps(c), row_kl, average=True),
    "map_head_mean_mse": lambda c: over_rows(valid_maps(c), squares, average=True),
    "map_head_mean_cosine": lambda c: over_rows(valid_maps(c), row_cosine, average=True),
    "score_mse": lambda c: over_rows(valid_scores(c), squares),
    "score_head_mean_mse": lambda c: over_rows(valid_scores(c), squares, average=True),
    "relation_kl": relation_kl,
}
every_loss = pytest.mark.parametrize("name", REFERENCES)


# --- the table --------------------------------------------------------------------------------


def public_functions() -> set[str]:
    found = inspect.getmembers(losses, inspect.isfunction)
    return {name for name, f in found if f.__module__ == losses.__name__ and name[0] != "_"}


def test_every_loss_is_a_row_of_the_table_and_every_row_a_loss():
    assert set(ROWS) == public_functions(), "matching.MATCHINGS and losses.py name other functions"


def test_every_loss_has_a_reference_here():
    assert set(REFERENCES) == public_functions(), "a loss is not checked against its formula"


def test_every_knowledge_type_has_a_matching():
    for name, knowledge in KNOWLEDGE.items():
        assert MATCHINGS.get(knowledge.form), f"{name}: no matching for the form {knowledge.form}"


def test_softened_rows_are_those_that_take_a_temperature():
    for name in public_functions():
        takes = "temperature" in inspect.signature(getattr(losses, name)).parameters
        assert takes == ROWS[name].softened, f"{name}: the table says softened={not takes}"


@every_loss
def test_facts_of_the_table_say_which_shapes_may_differ(name):
    """`draw` makes widths and heads differ exactly where the table allows it."""
    case = draw(name, [4, 2], seed=3)
    assert case.value().shape == (), f"{name}: not a scalar for {case.student[0].shape}"


# --- values -----------------------------------------------------------------------------------


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_loss_is_its_formula(name, lengths, seed):
    case = draw(name, lengths, seed)
    if name == "token_cka" and sum(lengths) < 3:
        return  # one token has no variance: test_cka_without_variance
    found, wanted = case.value().item(), REFERENCES[name](case.map(Tensor.double))
    assert found == pytest.approx(wanted, rel=2e-4, abs=2e-5), f"{name}: not its formula"


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_loss_is_zero_where_the_student_is_the_teacher(name, lengths, seed):
    case = draw(name, lengths, seed, same=True)
    case = replace(case, student=case.teacher)
    if name == "token_cka" and sum(lengths) < 3:
        return
    floor = 0.0
    if name == "logits_ce":
        floor = TAU**2 * mean(entropy(t, TAU) for _, t in vector_pairs(case))
    assert case.value().item() == pytest.approx(floor, abs=1e-5), f"{name}: not {floor} at S = T"


@every_loss
def test_loss_is_above_zero_where_they_differ(name):
    assert draw(name, [5, 3, 4], seed=1).value() > 1e-3, f"{name}: blind to a difference"


def pad_more(case: Case, more: int, size: float, seed: int) -> Case:
    """`more` positions of padding behind, and new values wherever there is padding."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.nn.functional.pad(case.mask, (0, more))
    square = FORMS[case.name] in ("maps", "scores")

    def extend(x: Tensor) -> Tensor:
        by = (0, more, 0, more) if square else (0, 0, 0, more)
        x = torch.nn.functional.pad(x, by)
        noise = size * torch.randn(x.shape, generator=generator)
        token = mask[:, None, :, None] if x.ndim == 4 else mask[:, :, None]
        valid = token & mask[:, None, None, :] if square else token
        return torch.where(valid, x, noise)

    return replace(case.map(extend), mask=mask)


@pytest.mark.parametrize("name", MASKED)
@few
@given(
    lengths=LENGTHS,
    seed=SEEDS,
    more=st.integers(0, 3),
    size=st.sampled_from([0.0, 1.0, 1e4, 1e9]),
)
def test_padding_changes_neither_loss_nor_gradient(name, lengths, seed, more, size):
    case = draw(name, lengths, seed)
    if name == "token_cka" and sum(lengths) < 3:
        return
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
    other = replace(case.map(lambda x: x[order]), mask=case.mask[order])
    assert other.value() == pytest.approx(case.value().item(), rel=1e-4, abs=1e-5), (
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


def test_soft_labels_of_far_apart_logits_are_finite():
    logits = torch.tensor([[300.0, -300.0]])
    far = Case("logits_kl", (logits,), (-logits,), torch.ones(1, 1, dtype=torch.bool))
    for name in TEMPERED:
        value, (slope,) = gradient(replace(far, name=name))
        assert math.isfinite(value) and slope.isfinite().all(), f"{name}: {value}, {slope}"


# --- gradients --------------------------------------------------------------------------------


def gradient(case: Case) -> tuple[float, list[Tensor]]:
    """The loss and its gradient on the student's tensors."""
    student = tuple(x.clone().requires_grad_() for x in case.student)
    value = replace(case, student=student).value()
    return value.item(), list(torch.autograd.grad(value, student))


@every_loss
@few
@given(lengths=LENGTHS, seed=SEEDS)
def test_gradient_reaches_the_student_and_is_finite(name, lengths, seed):
    _, slopes = gradient(draw(name, [*lengths, 3], seed))
    for slope in slopes:
        assert slope.isfinite().all(), f"{name}: gradient is not finite"
        assert slope.abs().max() > 0, f"{name}: no gradient on the student"


@every_loss
def test_gradient_is_the_slope_of_the_loss(name):
    """Against finite differences: a detach in the wrong place would not change the value."""
    case = draw(name, [4, 2, 3], seed=11, spread=1.0)
    _, slopes = gradient(case)
    for index, slope in enumerate(slopes):
        generator = torch.Generator().manual_seed(index)
        step = torch.randn(slope.shape, generator=generator)

        def moved(by: float, index: int = index, step: Tensor = step) -> float:
            student = list(case.student)
            student[index] = student[index] + by * step
            return REFERENCES[name](replace(case, student=tuple(student)).map(Tensor.double))

        found, wanted = (slope * step).sum().item(), (moved(1e-3) - moved(-1e-3)) / 2e-3
        assert found == pytest.approx(wanted, rel=2e-2, abs=1e-3), f"{name}: not its slope"


@every_loss
@pytest.mark.parametrize("rows", ["equal to the teacher's", "all the same", "all zero"])
def test_gradient_is_finite_at_the_edges(name, rows):
    case = draw(name, [4, 1, 3], seed=2, same=True)
    if rows == "equal to the teacher's":
        case = replace(case, student=case.teacher)
    elif rows == "all the same":
        case = case.map(lambda x: x[(slice(1),) * (x.ndim - 1)].expand_as(x).clone())
    else:
        case = replace(case, student=tuple(map(torch.zeros_like, case.student)))
    value, slopes = gradient(case)
    assert math.isfinite(value), f"{name}: {value} where student rows are {rows}"
    for slope in slopes:
        assert slope.isfinite().all(), f"{name}: bad gradient where student rows are {rows}"


def test_cka_without_variance_is_finite():
    """One valid token alone: CKA is 0/0."""
    value, (slope,) = gradient(draw("token_cka", [1], seed=0))
    assert 0 <= value <= 1 and slope.isfinite().all(), f"CKA of one token: {value}, {slope}"


# --- temperature and relation heads -----------------------------------------------------------


@pytest.mark.parametrize("name", TEMPERED)
def test_temperature_changes_the_loss(name):
    case = draw(name, [1] * 4, seed=4)
    hot, cold = (replace(case, temperature=tau).value().item() for tau in (1.0, 4.0))
    assert hot != pytest.approx(cold, rel=1e-2), f"{name}: the temperature is inert"


def test_hot_soft_labels_compare_centred_logits():
    """Hinton et al. 2015, section 2.1: tau^2 KL -> mean over examples of sum (s - t)^2 / 2C."""
    case = replace(draw("logits_kl", [1] * 5, seed=6), temperature=100.0)
    s, t = (x[0] - x[0].mean(-1, keepdim=True) for x in (case.student, case.teacher))
    wanted = (s - t).square().sum(-1).mean() / (2 * s.shape[-1])
    assert case.value() == pytest.approx(wanted.item(), rel=2e-2), (
        "kl: without tau^2 the limit of a high temperature is 0"
    )


def test_kl_and_ce_have_one_gradient():
    case = draw("logits_kl", [1] * 4, seed=7)
    (_, (soft,)), (_, (hard,)) = gradient(case), gradient(replace(case, name="logits_ce"))
    assert torch.allclose(soft, hard, atol=1e-6), "ce differs from kl by more than a constant"


def test_relation_heads_change_the_loss():
    case = draw("relation_kl", [5, 4], seed=8)
    values = [losses.relation_kl(case.student, case.teacher, case.mask, n).item() for n in (1, 2)]
    assert values[0] != pytest.approx(values[1], rel=1e-2), "relation_heads is inert"
