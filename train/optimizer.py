"""The optimisers: AdamW, and plain or heavy-ball SGD."""

import torch

from ..models import MaskedLM
from .config import TrainConfig


def make_optimizer(model: MaskedLM, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that the configuration names, with decay on matrices alone, fused into one kernel a step.

    AdamW (Loshchilov and Hutter 2019); SGD: v <- momentum v + g + decay w, w <- w - lr v (Liu et al. 2022, B.2, without momentum).
    """
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
