"""Linear maps in float32 on a CPU by oneDNN, on chips whose AVX-512 the library behind torch.mm leaves unused.

The values are those of F.linear up to rounding. Their bits depend on the operands, the number of threads and the chip alone.
"""

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

GRAIN = 64
"""oneDNN compiles a kernel for each new shape, in 0.4 ms and more: a number of rows that is a multiple of this recurs."""

LARGE = 5e8
"""Floating-point operations of a product that is worth a kernel of its own."""

NARROW = 128
"""Weights with a smaller side gain nothing."""


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear: input [..., k] weight [m, k]^T + bias [m]: [..., m], with gradients of any order.

    By oneDNN where it is faster: float32, on such a CPU, for shapes that recur or are large. By F.linear elsewhere.
    """
    if not _gains(input, weight, bias):
        return F.linear(input, weight, bias)
    out: Tensor = _Product.apply(input.flatten(0, -2), weight, bias if bias is None else bias.contiguous())
    return out.unflatten(0, input.shape[:-1])


@cache
def unused_avx512() -> bool:
    """Whether the processor has AVX-512 and is not Intel's: MKL, behind torch.mm, takes AVX-512 on those alone."""
    information = Path("/proc/cpuinfo")
    maker = information.read_text() if information.exists() else platform.processor()
    able = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return able and torch.backends.cpu.get_cpu_capability() == "AVX512" and "GenuineIntel" not in maker


class FastProducts(TorchFunctionMode):
    """While it is entered, F.linear is `linear`, in modules too. Not for torch.func, forward-mode gradients or torch.compile."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (linear if func is F.linear else func)(*args, **(kwargs or {}))


class _Product(torch.autograd.Function):
    """a [n, k], b [m, k], c [m] -> a b^T + c [n, m]. Its gradients are such products again."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, c: Tensor | None) -> Tensor:
        ctx.save_for_backward(a, b)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, c, "none", [], "")
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        (gradient,), (of_a, of_b, of_c) = gradients, ctx.needs_input_grad
        return (
            _Product.apply(gradient, b.T, None) if of_a else None,
            _between(gradient, a) if of_b else None,
            gradient.sum(0) if of_c else None,
        )


def _between(gradient: Tensor, a: Tensor) -> Tensor:
    """gradient^T a. oneDNN copies its first operand where that is laid out by columns: the smaller of the two."""
    if gradient.shape[1] <= a.shape[1]:
        return _Product.apply(gradient.T, a.T, None)
    return _Product.apply(a.T, gradient.T, None).T


def _gains(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    operands = [x, weight] if bias is None else [x, weight, bias]
    if not unused_avx512() or not torch.backends.mkldnn.enabled or torch.is_autocast_enabled("cpu"):
        return False
    if any(operand.dtype != torch.float32 or operand.device.type != "cpu" for operand in operands):
        return False
    # What F.linear refuses, or takes besides, is left to it.
    if x.dim() < 2 or weight.dim() != 2 or x.shape[-1] != weight.shape[1]:
        return False
    if bias is not None and bias.shape != weight.shape[:1]:
        return False
    rows = x.shape[:-1].numel()
    recurs = rows % GRAIN == 0 or 2.0 * rows * weight.numel() >= LARGE
    return rows > 0 and recurs and min(weight.shape) >= NARROW
