"""Accumulates the losses of a training run since its last row of metrics."""

import torch
from torch import Tensor

from ..errors import DivergedError

REMEDY = "checkpoints before it stay; train again in another directory, with a lower lr or a longer warm-up"
"""The advice in an error message after training has diverged."""

LOOK_EVERY = 50
"""Steps between two reads of the losses on a GPU. On a CPU they are read after every step."""


class Meter:
    """Sums of the losses and words since the last row, kept on the device so that no step waits for a GPU.

    Args:
        device: the device of the model.
        loss_sum: the initial sum of losses, from a checkpoint.
    """

    def __init__(self, device: torch.device, loss_sum: float) -> None:
        self.loss = torch.tensor(loss_sum, dtype=torch.float64, device=device)
        self.words = torch.zeros((), dtype=torch.int64, device=device)
        self.diverged = torch.zeros((), dtype=torch.int64, device=device)
        self.look_every = LOOK_EVERY if device.type == "cuda" else 1

    def add(self, step: int, loss: Tensor, words: Tensor) -> None:
        """Adds the loss and the number of words of a step, and notes the first step whose loss is not finite."""
        self.loss += loss
        self.words += words
        self.diverged += step * ((self.diverged == 0) & ~loss.isfinite())

    def check(self) -> None:
        """Checks the losses added so far.

        Raises:
            DivergedError: naming the first step whose loss was not finite.
        """
        if step := int(self.diverged):
            raise DivergedError(f"training diverged at step {step}: the loss is {float(self.loss)}; {REMEDY}")

    def reset(self) -> None:
        """Sets both sums to 0."""
        self.loss.zero_()
        self.words.zero_()
