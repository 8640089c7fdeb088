"""Trains heads and prompts by AdamW, as the released code of Wei, Xie and Ma 2021 does.

lr 0.01, 100 epochs, batches of 128, a linear warm-up over 500 steps and a linear decay to 0. The rest are the defaults
of its trainer: betas (0.9, 0.999), eps 1e-8, no weight decay, gradients clipped to norm 1. Heads start from
N(0, 0.02^2) with bias 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..registry import PYTHON_ONLY
from .adamw import check_training
from .method import ModelProbe

HEAD_DEVIATION = 0.02
"""Standard deviation of a head's initial weights (Devlin et al. 2019)."""

CLIP = 1.0
"""The largest 2-norm of a gradient; longer ones are clipped to it."""

BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class Released(ModelProbe):
    """The settings of the released optimiser.

    Args:
        lr: peak learning rate of AdamW; 0.01 as released, unless given.
        epochs: passes over the training sentences; 100 as released, unless given.
        batch_size: sentences per step of AdamW; 128 as released, unless given.
        warmup_steps: steps over which the learning rate rises from 0; at most an eighth of all steps.
    """

    lr: float = 0.01
    epochs: int = 100
    batch_size: int = 128
    warmup_steps: int = field(default=500, metadata=PYTHON_ONLY)

    def __post_init__(self) -> None:
        check_training(self.lr, self.epochs, self.batch_size)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, 1 <= step <= steps. The warm-up takes at most an eighth of them, as released."""
        warmup = min(self.warmup_steps, steps // 8)
        if step <= warmup:
            return self.lr * step / warmup
        return self.lr * (steps + 1 - step) / (steps + 1 - warmup)

    def train(
        self,
        parameters: Sequence[nn.Parameter],
        scores: Callable[[Tensor], Tensor],
        labels: Tensor,
        generator: torch.Generator,
        on_epoch: Callable[[int], object] = lambda done: None,
    ) -> None:
        """Minimises the mean cross-entropy over batches, drawn in a new order in each epoch.

        Args:
            parameters: the parameters to train.
            scores: indices of examples [n] -> their scores [n, k].
            labels: the labels of all examples, [N].
            generator: draws the order of the examples.
            on_epoch: called with the number of epochs done.

        Raises:
            InputError: if a parameter is not finite at the end.
        """
        optimizer = torch.optim.AdamW(parameters, lr=self.lr, betas=BETAS, weight_decay=0.0)
        step, steps = 0, self.epochs * math.ceil(len(labels) / self.batch_size)
        for epoch in range(self.epochs):
            for rows in torch.randperm(len(labels), generator=generator).to(labels.device).split(self.batch_size):
                step += 1
                for group in optimizer.param_groups:
                    group["lr"] = self.rate(step, steps)
                optimizer.zero_grad(set_to_none=False)
                torch.autograd.backward(F.cross_entropy(scores(rows), labels[rows]))
                nn.utils.clip_grad_norm_(parameters, CLIP)
                optimizer.step()
            on_epoch(epoch + 1)
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise InputError(f"lr is {self.lr:g}: the head's weights became infinite; give a smaller lr")


def initial_head(classes: int, width: int, generator: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    """(weight [k, d] from N(0, 0.02^2), bias [k] zero), float32."""
    weight = torch.randn(classes, width, generator=generator) * HEAD_DEVIATION
    return nn.Parameter(weight), nn.Parameter(torch.zeros(classes))
