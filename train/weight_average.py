"""An exponential moving average of a model's weights during training."""

from copy import deepcopy

import torch

from ..models import LanguageModel


class WeightAverage:
    """An exponential moving average of the trained weights, in which the initial weights have no share.

        a <- a + (1 - d) / (1 - d^k) (w - a)  after step k,

    so that a is the mean of w_1, ..., w_k with weights proportional to d^(k - i), as with Adam's bias correction. Its
    only state is a.

    Args:
        model: the model whose weights w are averaged; a has its device and type.
        decay: d, at least 0 and below 1.
    """

    def __init__(self, model: LanguageModel, decay: float) -> None:
        self.trained, self.decay = model, decay
        self.model = deepcopy(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Updates the average with the weights after a step.

        Args:
            step: its number k, from 1. Every step must be passed once, in order.
        """
        share = (1 - self.decay) / (1 - self.decay**step)
        for average, weight in zip(self.model.parameters(), self.trained.parameters(), strict=True):
            average.lerp_(weight, share)
