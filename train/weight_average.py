"""The exponential moving average of a model's weights, kept beside them in training."""

from copy import deepcopy

import torch

from ..models import LanguageModel


class WeightAverage:
    """An exponential moving average of weights, without a share of the initial ones.

        a <- a + (1 - d) / (1 - d^k) (w - a)  after step k,

    so that a is the mean of w_1, ..., w_k with weights proportional to d^(k - i), as by Adam's correction of its bias.
    Beside a it has no state.

    Args:
        model: whose weights w are averaged; its device and type are those of a.
        decay: d, at least 0 and below 1.
    """

    def __init__(self, model: LanguageModel, decay: float) -> None:
        self.trained, self.decay = model, decay
        self.model = deepcopy(model)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after a step.

        Args:
            step: its number k, from 1; each step is taken in once, in order.
        """
        share = (1 - self.decay) / (1 - self.decay**step)
        for average, weight in zip(self.model.parameters(), self.trained.parameters(), strict=True):
            average.lerp_(weight, share)
