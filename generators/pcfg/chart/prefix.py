"""Which of some symbols is the topmost over the beginning of a sentence."""

import torch
from torch import Tensor

from .closure import closure
from .tensor import InsideTables


def walks_to(tables: InsideTables, symbols: Tensor) -> Tensor:
    """The sum over chains of unary rules that pass none of the given symbols before their end, (I - D R)^-1.

    D keeps the symbols that are not given. So alpha times this is what reaches each given symbol as the topmost.

    Args:
        tables: of the grammar.
        symbols: the given symbols, [m].

    Returns:
        [all symbols, m].
    """
    others = torch.ones(tables.num_symbols, dtype=torch.float64, device=symbols.device)
    others[symbols] = 0
    return closure(others[:, None] * tables.unary)[:, symbols]
