"""Stochastic gradient descent, plain or with momentum."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from .base import Optimizer, decayed_groups, optimizers

if TYPE_CHECKING:
    import torch
    from torch import nn


@optimizers.register("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """SGD with decay on matrices alone: v <- momentum v + g + decay w;  w <- w - lr v.

    Args:
        lr: peak learning rate.
        momentum: share of v that is kept; 0 for plain descent.
        weight_decay: L2 decay of matrices and embeddings.

    Source: Liu et al. 2022, 2210.14199, B.2, without momentum.
    """

    lr: float
    momentum: float
    weight_decay: float

    @override
    def build(self, model: "nn.Module", sharded: bool = False) -> "torch.optim.Optimizer":
        import torch

        groups = decayed_groups(model.parameters(), self.weight_decay)
        # torch has no fused SGD for sharded parameters.
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, fused=not sharded)

    @override
    def state_size(self, total: int, embeddings: int) -> int:
        return total if self.momentum > 0 else 0
