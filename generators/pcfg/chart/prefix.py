"""Chains of unary rules down to the topmost of some symbols over a prefix of a sentence."""

import torch
from torch import Tensor

from .closure import closure
from .tensor import InsideTables


def walks_to(tables: InsideTables, symbols: Tensor) -> Tensor:
    """The sum over chains of unary rules that pass none of the given symbols before their end, (I - D R)^-1.

    D is the diagonal indicator of the symbols that are not given. So alpha times this matrix is the outside score with
    which each given symbol is the topmost of them.

    Args:
        tables: the tables of the grammar.
        symbols: the given symbols, [m].

    Returns:
        [all symbols, m].
    """
    others = torch.ones(tables.num_symbols, dtype=torch.float64, device=symbols.device)
    others[symbols] = 0
    return closure(others[:, None] * tables.unary)[:, symbols]
