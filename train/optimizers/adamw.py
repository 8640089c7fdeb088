"""AdamW: Adam with decoupled weight decay."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from .base import Optimizer, decayed_groups, optimizers

if TYPE_CHECKING:
    import torch
    from torch import nn


@optimizers.register("adamw")
@dataclass(frozen=True)
class AdamW(Optimizer):
    """AdamW with decay on matrices alone; one fused kernel per step.

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  w <- w - lr (decay w + m' / (sqrt(v') + eps)),

    where m' and v' are m and v, corrected for their bias towards the initial 0.

    Args:
        lr: peak learning rate.
        betas: decay rates b1, b2 of the two moments.
        eps: added to the root of the second moment.
        weight_decay: decay of matrices and embeddings.

    Source: Loshchilov and Hutter 2019, 1711.05101.
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float

    @override
    def build(self, model: "nn.Module", sharded: bool = False) -> "torch.optim.Optimizer":
        import torch

        groups = decayed_groups(model.parameters(), self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.eps, fused=True)

    @override
    def state_size(self, total: int, embeddings: int) -> int:
        return 2 * total
