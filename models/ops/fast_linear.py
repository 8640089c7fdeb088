"""Linear maps in float32 with oneDNN, for CPUs whose AVX-512 is not used by MKL, the library behind torch.mm.

The values are those of F.linear up to rounding. Their bits depend only on the operands, the number of threads and the
processor.
"""

import platform
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

GRAIN = 64
"""Row counts that are multiples of this recur, so it pays to compile a kernel for the shape (0.4 ms or more)."""

LARGE = 5e8
"""The number of floating-point operations from which on a product is worth compiling its own kernel."""

NARROW = 128
"""Weights with a side smaller than this gain nothing."""


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear with gradients of any order, computed with oneDNN if that is faster.

    oneDNN computes float32 products on such a CPU for shapes that recur or are large. F.linear computes all others.

    Args:
        input: [..., k].
        weight: [m, k].
        bias: [m].

    Returns:
        input weight^T + bias, [..., m].
    """
    if not _gains(input, weight, bias):
        return F.linear(input, weight, bias)
    out = _product(input.flatten(0, -2), weight, bias if bias is None else bias.contiguous())
    return out.reshape(*input.shape[:-1], out.shape[1])


@cache
def unused_avx512() -> bool:
    """Whether the processor has AVX-512 but is not Intel's, so that MKL, behind torch.mm, does not use AVX-512."""
    information = Path("/proc/cpuinfo")
    maker = information.read_text() if information.exists() else platform.processor()
    available: Callable[[], bool] = torch.backends.mkldnn.is_available
    able = available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return able and torch.backends.cpu.get_cpu_capability() == "AVX512" and "GenuineIntel" not in maker


class FastProducts(TorchFunctionMode):
    """A context that replaces F.linear by `linear`, also in modules.

    It does not work with torch.func, forward-mode gradients or torch.compile.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (linear if func is F.linear else func)(*args, **(kwargs or {}))


class _Product(torch.autograd.Function):
    """a b^T + c [n, m] for a [n, k], b [m, k] and c [m]. Its gradients are products of the same form."""

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
            _product(gradient, b.T, None) if of_a else None,
            _between(gradient, a) if of_b else None,
            gradient.sum(0) if of_c else None,
        )


# mypy has no types for Function.apply.
_product: Callable[[Tensor, Tensor, Tensor | None], Tensor] = _Product.apply


def _between(gradient: Tensor, a: Tensor) -> Tensor:
    """gradient^T a. oneDNN copies a first operand in column-major order, so the smaller operand comes first."""
    if gradient.shape[1] <= a.shape[1]:
        return _product(gradient.T, a.T, None)
    return _product(a.T, gradient.T, None).T


def _gains(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    operands = [x, weight] if bias is None else [x, weight, bias]
    if not unused_avx512() or not torch.backends.mkldnn.enabled or torch.is_autocast_enabled("cpu"):
        return False
    if any(operand.dtype != torch.float32 or operand.device.type != "cpu" for operand in operands):
        return False
    # F.linear handles all other shapes: those that it refuses, and unusual ones that it accepts.
    if x.dim() < 2 or weight.dim() != 2 or x.shape[-1] != weight.shape[1]:
        return False
    if bias is not None and bias.shape != weight.shape[:1]:
        return False
    rows = x.shape[:-1].numel()
    recurs = rows % GRAIN == 0 or 2.0 * rows * weight.numel() >= LARGE
    return rows > 0 and recurs and min(weight.shape) >= NARROW
