"""log Z of a grammar as a torch operation with a gradient, for any implementation of the passes."""

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from typing_extensions import override

from .passes import ChartPasses


class LogPartition(Function):
    """log Z [n] by the inside algorithm, and its gradient by the outside algorithm."""

    @staticmethod
    @override
    def forward(ctx: Any, leaf_scores: Tensor, charts: ChartPasses, lengths: Tensor | None) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return charts.log_partition(leaf_scores, lengths)
        log_z, margins, log_scale = charts.leaf_margins(leaf_scores, lengths)
        ctx.gradient = margins * (log_scale - log_z[:, None]).exp()[..., None]
        return log_z

    @staticmethod
    @once_differentiable
    @override
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        return upstream[0][:, None, None] * ctx.gradient, None, None
