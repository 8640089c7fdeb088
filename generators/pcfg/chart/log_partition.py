"""log Z of a grammar and its derivatives: compiled passes on a CPU, passes over tensors on a GPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...kernels.chart import inside, inside_outside
from .tensor import InsideTables

START = slice(0, 1)
"""The start symbol is number 0."""


def leaf_margins(tables: InsideTables, leaf_scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(log Z [n], m [n, T, leaf symbols], s [n, T]) with dZ / d leaf_scores = m exp(s)."""
    length = leaf_scores.shape[1]
    if leaf_scores.is_cuda:
        charts = tables.inside(leaf_scores)
        alpha, log_scale = tables.outside(charts, length)[1]
        return charts.log_prefix(length, START)[:, 0], alpha @ tables.leaf_to_symbol.T, log_scale
    answers = inside_outside(tables.sentence_plan(length), leaf_scores.detach().contiguous().numpy())
    log_z, margins, log_scale = map(torch.from_numpy, answers)
    return log_z, margins, log_scale


def prefix_scores(tables: InsideTables, leaf_scores: Tensor) -> Tensor:
    """log P(A =>* all words) [n, symbols]; -inf where A cannot yield them."""
    width = leaf_scores.shape[1]
    if leaf_scores.is_cuda:
        return tables.inside(leaf_scores).log_prefix(width)
    return torch.from_numpy(inside(tables.prefix_plan(width), leaf_scores.contiguous().numpy()))


class LogPartition(torch.autograd.Function):
    """log Z [n] by the inside algorithm, its gradient by the outside algorithm."""

    @staticmethod
    def forward(ctx: Any, leaf_scores: Tensor, tables: InsideTables) -> Tensor:
        length = leaf_scores.shape[1]
        if ctx.needs_input_grad[0]:
            log_z, margins, log_scale = leaf_margins(tables, leaf_scores)
            ctx.gradient = margins * (log_scale - log_z[:, None]).exp()[..., None]
        elif leaf_scores.is_cuda:
            log_z = tables.inside(leaf_scores).log_prefix(length, START)[:, 0]
        else:
            log_z = torch.from_numpy(inside(tables.sentence_plan(length), leaf_scores.contiguous().numpy()))[:, 0]
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return upstream[0][:, None, None] * ctx.gradient, None
