"""Sums over chains of unary rules of any length."""

import torch
from torch import Tensor

from ....errors import InputError

DOUBLINGS = 72
"""R^(2^72) underflows to zero for every spectral radius that float64 can distinguish from 1."""

MANY = 512
"""With more symbols than this, symbols without unary rules may be left out of the sum to save time."""


def closure(unary: Tensor) -> Tensor:
    """sum_k R^k = (I - R)^-1, by doubling.

    Doubling never subtracts, so every entry keeps its relative accuracy, and an entry that no chain of rules reaches is
    exactly zero.

    Args:
        unary: R [N, N] >= 0, of spectral radius below 1.

    Returns:
        [N, N].

    Raises:
        InputError: for a spectral radius that is 1 within rounding.
    """
    if len(unary) > MANY:
        linked = ((unary > 0).any(0) | (unary > 0).any(1)).nonzero()[:, 0]
        if 2 * len(linked) < len(unary):
            total = torch.eye(len(unary), dtype=unary.dtype, device=unary.device)
            total[linked[:, None], linked] = closure(unary[linked[:, None], linked])
            return total
    total = torch.eye(len(unary), dtype=unary.dtype, device=unary.device) + unary
    power = unary
    for _ in range(DOUBLINGS):
        if not bool((power > 0).any()):
            return total
        power = power @ power
        total = total + total @ power
    raise InputError(
        "a cycle of unary rules never ends, as its probability is 1 within rounding; raise the "
        "probabilities of the rules that leave it"
    )
