"""The readout of the task "posterior" of an HMM: a linear function of the posterior of one state."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from ...errors import InputError

POSTERIOR = "posterior"
"""The name of the task."""


@dataclass(frozen=True)
class Readout:
    """sum_i W_ci p(z_0 = i | x_1 .. x_L), one score for each class c (Wei, Xie and Ma 2021, section 5).

    Args:
        weights: W [classes, K] float64.
        words: L, the number of words read.
    """

    weights: Tensor
    words: int

    def check(self, states: int) -> None:
        """Checks that the readout fits an HMM.

        Args:
            states: K, the number of states of the HMM.

        Raises:
            InputError: for weights of another shape, fewer than 2 classes, weights that are not finite, and fewer than
                1 word.
        """
        shape = list(self.weights.shape)
        if len(shape) != 2 or shape[0] < 2 or shape[1] != states or not bool(self.weights.isfinite().all()):
            raise InputError(
                f"the posterior weights are {shape}, expected finite numbers, [at least 2 classes, {states}]"
            )
        if self.words < 1:
            raise InputError(f"the posterior reads {self.words} words, expected at least 1; give a larger number")

    def to(self, device: torch.device | str) -> Self:
        """The readout with its weights on another device."""
        return replace(self, weights=self.weights.to(device))
