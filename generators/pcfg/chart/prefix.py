"""What the beginning of a sentence is in its trees: compiled passes on a CPU, passes over tensors on a GPU."""

import torch
from torch import Tensor

from ...kernels.prefix import prefix_factors as compiled_factors
from .log_partition import START
from .tensor import InsideTables, closure


def prefix_factors(
    tables: InsideTables, leaf_scores: Tensor, lengths: Tensor, widths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(log Z [n], alpha [n, q, symbols], beta [n, q, symbols]) of the first widths [n, q] words of each sentence.

    alpha * beta is p(A spans these words | the words), each factor in a scale of its own. leaf_scores
    [n, T, leaf symbols] is 0 beyond lengths [n]; sentences in the order of their lengths are fastest.
    """
    if leaf_scores.is_cuda:
        return factors_by_tensors(tables, leaf_scores, lengths, widths)
    asked = (part.contiguous().numpy() for part in (leaf_scores, lengths, widths))
    log_z, alpha, beta = map(torch.from_numpy, compiled_factors(tables.beginnings_plan(), *asked))
    return log_z, alpha, beta


def factors_by_tensors(
    tables: InsideTables, leaf_scores: Tensor, lengths: Tensor, widths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, by length."""
    n, asked = widths.shape
    log_z = leaf_scores.new_full((n,), -torch.inf)
    alpha, beta = leaf_scores.new_zeros(2, n, asked, tables.num_symbols)
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero()[:, 0]
        inside = tables.inside(leaf_scores[rows, :length])
        log_z[rows] = inside.log_prefix(length, START)[:, 0]
        if length not in inside:
            continue
        outside = tables.outside(inside, length)
        for width, (values, log_scale) in inside.items():
            here, which = (widths[rows] == width).nonzero().unbind(1)
            given, given_scale = outside[width]
            scale = (given_scale[here, 0] + log_scale[here, 0] - log_z[rows[here]]).exp()
            alpha[rows[here], which] = given[here, 0] * scale[:, None]
            beta[rows[here], which] = values[here, 0]
    return log_z, alpha, beta


def walks_to(tables: InsideTables, symbols: Tensor) -> Tensor:
    """The sum over chains of unary rules that pass none of `symbols` before their end: (I - D R)^-1 [all symbols, m].

    D keeps the symbols that are not asked for, so alpha times this is what reaches each of them as the topmost.
    """
    others = torch.ones(tables.num_symbols, dtype=torch.float64, device=symbols.device)
    others[symbols] = 0
    return closure(others[:, None] * tables.unary)[:, symbols]
