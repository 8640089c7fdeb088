"""AdamW."""

from dataclasses import dataclass

import torch
from torch import nn

from .base import Optimizer, decayed_groups, optimizers


@optimizers.register("adamw")
@dataclass(frozen=True)
class AdamW(Optimizer):
    """AdamW with decay on matrices alone, fused into one kernel a step.

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr (decay w + m' / (sqrt(v') + eps)),

    m' and v' corrected for their start at 0.

    Args:
        lr: peak learning rate.
        betas: decay rates b1, b2 of the two moments.
        eps: what is added to the root of the second moment.
        weight_decay: decay of matrices and embeddings.

    Source: Loshchilov and Hutter 2019, 1711.05101.
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float

    def build(self, model: nn.Module, sharded: bool = False) -> torch.optim.Optimizer:
        groups = decayed_groups(model.parameters(), self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)

    def state_size(self, total: int, embeddings: int) -> int:
        return 2 * total
