"""Edges of the relations between examples, tokens and layers."""

import pytest
import torch
from loss_cases import Case, draw, gradient
from loss_references import REFERENCES
from torch import Tensor

from kd.losses import relations

RELATIONAL = [
    "token_sp",
    "token_rkd_distance",
    "token_rkd_angle",
    "token_word_relation",
    "triplet_angle_mse",
    "triplet_angle_huber",
    "vector_sp",
    "vector_rkd_distance",
    "vector_rkd_angle",
    "layer_relation_kl",
    "layer_relation_angle",
]
ORIGIN_FREE = [name for name in RELATIONAL if "rkd" in name or "angle" in name]


@pytest.mark.parametrize("name", ORIGIN_FREE)
def test_distances_and_angles_know_no_origin(name):
    """Hidden states of real encoders share a large common part: it must not eat the digits."""
    case = draw(name, [5, 3, 4, 4], seed=1)
    far = case.map(lambda x: x + 300 * torch.ones(x.shape[-1]))
    wanted = REFERENCES[name](far.map(Tensor.double))
    assert far.value() == pytest.approx(wanted, rel=1e-3), (
        f"{name}: digits lost far from the origin"
    )
    assert far.value() == pytest.approx(case.value().item(), rel=1e-3)


@pytest.mark.parametrize("twins", ["student", "teacher"])
@pytest.mark.parametrize("seed", range(4))
def test_equal_wide_vectors_have_no_angle_in_spite_of_rounding(twins, seed):
    """A matrix product sums equal rows in another order where its tiles end."""
    generator = torch.Generator().manual_seed(seed)
    s, t = (torch.randn(6, 768, generator=generator) for _ in range(2))
    x = s if twins == "student" else t
    x[5] = x[0]
    x -= x.mean(0)
    case = Case("vector_rkd_angle", (s,), (t,), torch.ones(6, 1).bool(), {})
    wanted = REFERENCES[case.name](case.map(Tensor.double))
    assert case.value() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", [*RELATIONAL, "token_cka"])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_relations_know_no_scale(name, scale):
    case = draw(name, [5, 3, 4, 4], seed=1)
    assert case.map(lambda x: scale * x).value() == pytest.approx(case.value().item(), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_cka_of_tiny_and_of_huge_tokens_keeps_its_digits(scale):
    """It takes fourth powers, which fp32 could not hold."""
    case = draw("token_cka", [5, 3, 4, 4], seed=1)
    scaled = case.map(lambda x: scale * x).value()
    assert scaled == pytest.approx(case.value().item(), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("token_sp", 1),
        ("vector_sp", 1),
        ("token_rkd_distance", 2),  # one distance, divided by itself
        ("vector_rkd_distance", 2),
        ("token_rkd_angle", 2),
        ("vector_rkd_angle", 2),
    ],
)
def test_too_few_examples_have_no_relation(name, examples):
    value, (slope,) = gradient(draw(name, [2] * examples, seed=0))
    assert value == pytest.approx(0, abs=1e-6) and slope.abs().max() < 1e-6
    value, (slope,) = gradient(draw(name, [2] * (examples + 1), seed=0))
    assert value > 1e-4 and slope.abs().max() > 1e-4


@pytest.mark.parametrize("name", ["layer_relation_kl", "layer_relation_angle"])
@pytest.mark.parametrize("layers", [1, 2])
def test_two_layers_have_no_relation(name, layers):
    value, (slope,) = gradient(draw(name, [3, 2], seed=0).map(lambda x: x[:layers]))
    assert value == 0 and slope.abs().max() == 0


@pytest.mark.parametrize("name", ["token_word_relation", "triplet_angle_mse"])
def test_lonely_tokens_have_no_relation(name):
    case = draw(name, [1, 1, 1], seed=0)
    value, (slope,) = gradient(case)
    assert value == 0 and slope.abs().max() == 0
    together = draw(name, [5, 1, 1], seed=0)
    alone = together.examples(torch.tensor([0])).value().item()
    assert together.value() == pytest.approx(alone, rel=1e-5), "tokens without a relation count"


def test_a_window_wider_than_the_text_is_the_whole_text():
    case = draw("triplet_angle_mse", [5, 4], seed=3)
    values = [case.turned(window=window).value().item() for window in (9, 21, 10**6)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert values[0] == pytest.approx(values[2], rel=1e-6)


def test_memory_of_the_triplets_knows_no_width():
    """What autograd keeps: triples, not triples of vectors."""
    sizes = []

    def note(x: Tensor) -> Tensor:
        sizes.append(x.numel())
        return x

    batch, length, width, window = 2, 40, 64, 9
    s, t = (torch.randn(batch, length, width) for _ in range(2))
    mask = torch.ones(batch, length, dtype=torch.bool)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        relations.triplet_angle_mse(s.requires_grad_(), t, mask, window)
    pairs = (window - 1) * (window - 2) // 2
    assert max(sizes) <= batch * length * max(width, pairs, length)
