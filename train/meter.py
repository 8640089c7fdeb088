"""The losses of a training run since its last row of metrics."""

import torch
from torch import Tensor

from ..errors import DivergedError

REMEDY = "checkpoints before it stay; train again in another directory, with a lower lr or a longer warm-up"
"""What to do about a training that diverged."""

LOOK_EVERY = 50
"""Steps after which a GPU is asked for its losses; a CPU is asked after each."""


class Meter:
    """The losses and words since the last row, summed on the device, so that a GPU need not be waited for."""

    def __init__(self, device: torch.device, loss_sum: float) -> None:
        self.loss = torch.tensor(loss_sum, dtype=torch.float64, device=device)
        self.words = torch.zeros((), dtype=torch.int64, device=device)
        self.diverged = torch.zeros((), dtype=torch.int64, device=device)
        self.look_every = LOOK_EVERY if device.type == "cuda" else 1

    def add(self, step: int, loss: Tensor, words: Tensor) -> None:
        self.loss += loss
        self.words += words
        self.diverged += step * ((self.diverged == 0) & ~loss.isfinite())

    def check(self) -> None:
        """Raises DivergedError, naming the step, where a loss since the last look was not finite."""
        if step := int(self.diverged):
            raise DivergedError(f"training diverged at step {step}: the loss is {float(self.loss)}; {REMEDY}")

    def reset(self) -> None:
        self.loss.zero_()
        self.words.zero_()
