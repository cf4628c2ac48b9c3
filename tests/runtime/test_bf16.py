"""bf16 on a processor without bf16 instructions: what is computed, and where."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import linear

from kd.jobs import record
from kd.runtime import bf16
from kd.runtime.bf16 import bf16_autocast, product
from kd.runtime.device_names import kind_of

CPU = torch.device("cpu")


@pytest.fixture
def without_products(monkeypatch):
    monkeypatch.setattr(bf16, "has_bf16_products", lambda: False)


@pytest.fixture
def products(monkeypatch):
    """Counts what is computed here, with torch's own products elsewhere."""
    made = []

    def counted(*args):
        made.append(args)
        return product(*args)

    monkeypatch.setattr(bf16, "product", counted)
    return made


def numbers(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).requires_grad_()


def rounded(x):
    return x.detach().to(torch.bfloat16).double()


def assert_one_rounding(found, exact):
    """bf16 has 8 bits, and the sum in fp32 may decide to which side a number is rounded."""
    assert found.dtype == torch.bfloat16
    assert ((found.double() - exact).abs() <= 2**-8 * exact.abs() + 1e-6).all()


def test_a_product_is_that_of_the_rounded_numbers_rounded_once():
    left, right, bias = numbers(64, 96), numbers(96, 32, seed=2), numbers(32, seed=3)
    out = product(left, right, bias)
    a, b, c = map(rounded, (left, right, bias))
    assert_one_rounding(out, a @ b + c)
    slope = torch.randn(out.shape, generator=torch.Generator().manual_seed(4))
    (out.float() * slope).sum().backward()
    g = rounded(slope)
    for leaf, exact in ((left, g @ b.T), (right, a.T @ g), (bias, g.sum(0))):
        assert leaf.grad.dtype == torch.float32
        assert_one_rounding(leaf.grad.to(torch.bfloat16), exact)
        assert torch.equal(leaf.grad, leaf.grad.to(torch.bfloat16).float())


def scores(left, right):
    return left @ right.transpose(-1, -2)


@pytest.mark.parametrize(
    ("compute", "shapes"),
    [
        (linear, [(4, 7, 16), (24, 16), (24,)]),
        (linear, [(16,), (24, 16)]),
        (scores, [(2, 3, 7, 16), (2, 3, 5, 16)]),
        (scores, [(2, 3, 7, 16), (5, 16)]),
        (torch.bmm, [(3, 7, 16), (3, 16, 5)]),
        (torch.matmul, [(7, 16), (16, 5)]),
        (torch.Tensor.matmul, [(4, 7, 16), (16, 5)]),
    ],
)
def test_it_computes_what_autocast_does(compute, shapes, without_products, products):
    ours, theirs = ([numbers(*shape, seed=i) for i, shape in enumerate(shapes)] for _ in "ab")
    with bf16_autocast(CPU):
        found = compute(*ours)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = compute(*theirs)
    assert len(products) == 1
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    torch.testing.assert_close(found, wanted)
    for out in (found, wanted):
        out.float().square().sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=2**-6, atol=2e-2)


def test_products_of_vectors_are_torchs(without_products, products):
    with bf16_autocast(CPU):
        assert torch.matmul(numbers(16), numbers(16)).dtype == torch.bfloat16
    assert not products


def test_fp32_within_stays_fp32(without_products, products):
    """A teacher computes in its own precision inside a run's autocast."""
    x, w = numbers(4, 16), numbers(8, 16)
    with bf16_autocast(CPU), torch.autocast("cpu", enabled=False):
        found = linear(x, w)
    assert torch.equal(found, linear(x, w)) and found.dtype == torch.float32
    assert torch.equal(linear(x, w), found)  # nothing is left behind
    assert not products


def test_a_processor_with_the_instructions_uses_them(monkeypatch, products):
    monkeypatch.setattr(bf16, "has_bf16_products", lambda: True)
    x, w = numbers(4, 16), numbers(8, 16)
    with bf16_autocast(CPU):
        found = linear(x, w)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found, linear(x, w))
    assert not products


def test_the_name_of_a_processor_says_how_it_computes(monkeypatch):
    monkeypatch.setattr(record, "bf16_instructions", lambda: ["avx512_bf16"])
    name = record.device_name(CPU)
    assert kind_of(name) == "cpu" and torch.backends.cpu.get_cpu_capability() in name
    assert name.endswith(", avx512_bf16)")


def test_the_processor_is_asked():
    """torch's test is not public: that it is still there, and agrees with the processor's flags."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text().split() if info.is_file() else []
    if "avx2" not in flags:
        pytest.skip("not an x86 processor")
    assert bf16.has_bf16_products() == ("avx512bw" in flags)


def test_without_onednn_products_are_in_fp32(monkeypatch):
    """Some builds of torch, as for Apple's processors, have no operators of oneDNN."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", None)
    assert bf16.has_bf16_products() is False
