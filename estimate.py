"""Estimate: a sampled number together with its standard error."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ONE_SIDED_95 = 1.6448536269514722
"""The 0.95 quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A sample mean, its standard error and the number n of independent draws behind it.

    An exact number is an Estimate with stderr 0.

    Example:
        >>> import torch
        >>> Estimate.from_samples(torch.tensor([1.0, 2.0, 3.0, 6.0]))
        Estimate(value=3.0, stderr=1.0801234497346435, n=4)
        >>> print(Estimate(0.25, 0.01, 400))
        0.25 +- 0.01 (n=400)
    """

    value: float
    stderr: float
    n: int

    @classmethod
    def from_samples(cls, samples: "Tensor") -> "Estimate":
        """Mean of independent samples [n], with standard error sd / sqrt(n); nan if n = 1."""
        samples = samples.detach().double().flatten()
        return cls.from_ratio(samples, samples.new_ones(samples.shape))

    @classmethod
    def from_ratio(cls, sums: "Tensor", counts: "Tensor") -> "Estimate":
        """The ratio R = sum_i s_i / sum_i c_i over n independent clusters i.

        stderr = sqrt(sum_i (s_i - R c_i)^2 / (n (n - 1))) / mean(c), linearised; exact where every c_i = 1.

        Args:
            sums: s, [n].
            counts: c, [n].

        Returns:
            The ratio. Its stderr is nan if fewer than two clusters have a positive count. The ratio is nan too if none
            has.
        """
        sums, counts = sums.detach().double().cpu(), counts.detach().double().cpu()
        n = len(sums)
        if n == 0 or float(counts.sum()) == 0:
            return cls(math.nan, math.nan, n)
        ratio = sums.sum() / counts.sum()
        if int((counts > 0).sum()) < 2:
            return cls(float(ratio), math.nan, n)
        spread = (sums - ratio * counts).square().sum() / (n * (n - 1))
        return cls(float(ratio), float(spread.sqrt() / counts.mean()), n)

    @property
    def upper95(self) -> float:
        """The upper end of the one-sided 95 % confidence interval, value + 1.645 stderr."""
        return self.value + ONE_SIDED_95 * self.stderr

    def __str__(self) -> str:
        return f"{self.value:.6g} +- {self.stderr:.2g} (n={self.n})"
