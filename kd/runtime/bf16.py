"""bf16 autocast on processors without bf16 instructions.

There, torch's matrix products of bf16 take many times as long as those of fp32. So they are
computed here as the instructions define them: the product of two bf16 numbers is exact in fp32, the
sum is in fp32, and the result is rounded to bf16 once. They differ from those of a processor that
has the instructions only in the order of the sum.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def bf16_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """torch's bf16 autocast; on a processor without fast bf16 products, with products in fp32."""
    stack = ExitStack()
    stack.enter_context(torch.autocast(device.type, torch.bfloat16))
    if device.type == "cpu" and not has_bf16_products():
        stack.enter_context(_ProductsInFp32())
    return stack


def has_bf16_products() -> bool:
    """Whether torch has oneDNN, its library of matrix products, and this computes bf16 with vector
    instructions of this processor."""
    return torch.backends.mkldnn.is_available() and bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


class _ProductsInFp32(TorchFunctionMode):
    """Computes what autocast would multiply in bf16 by `_Product`."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        own = _OWN.get(function)
        if own is None or not torch.is_autocast_enabled("cpu"):
            return function(*args, **(kwargs or {}))
        return own(*args, **(kwargs or {}))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return _of_rows(input, weight.t(), bias)


def _of_rows(input: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    rows = input.reshape(-1, input.shape[-1])
    return product(rows, matrix, bias).reshape(*input.shape[:-1], matrix.shape[1])


def _matmul(input: Tensor, other: Tensor) -> Tensor:
    if min(input.ndim, other.ndim) < 2:
        return input @ other
    if other.ndim == 2:
        return _of_rows(input, other, None)
    batch = torch.broadcast_shapes(input.shape[:-2], other.shape[:-2])
    left, right = (x.expand(*batch, *x.shape[-2:]) for x in (input, other))
    return product(left, right)


# What the encoders and the losses multiply by, as torch names it.
_OWN: dict[Any, Callable[..., Tensor]] = {
    nn.functional.linear: _linear,
    torch.matmul: _matmul,
    torch.bmm: _matmul,
    Tensor.matmul: _matmul,
    Tensor.bmm: _matmul,
    Tensor.__matmul__: _matmul,
}


def product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """left @ right + bias in bf16, with sums in fp32; its gradients are computed in the same way.

    Args:
        left: (..., n, k) floats, rounded to bf16 here.
        right: (..., k, m) with the same leading dimensions.
        bias: (m,), or None.

    Returns:
        (..., n, m) bf16.
    """
    rounded = [x if x is None else x.to(torch.bfloat16) for x in (left, right, bias)]
    with torch.autocast("cpu", enabled=False):
        return _Product.apply(*rounded)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(left, right)
        out = left.float() @ right.float()
        if bias is not None:
            out += bias.float()
        return out.to(torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        sums = gradient.float()
        return (
            (sums @ right.float().mT).to(torch.bfloat16) if wanted[0] else None,
            (left.float().mT @ sums).to(torch.bfloat16) if wanted[1] else None,
            sums.flatten(0, -2).sum(0).to(torch.bfloat16) if wanted[2] else None,
        )
