"""Numbers that are functions of sampled means, with their standard errors by linearisation (the delta method).

A mean over contexts with weights w is R = sum_c w_c x_c / sum_c w_c. Contexts come in n independent clusters, the
sentences. Cluster i moves R by its influence, n sum_(c in i) w_c (x_c - R) / sum_c w_c, and a smooth function of means
by the chain rule; then stderr^2 = sum_i influence_i^2 / (n (n - 1)), as in `Estimate.from_ratio`.
"""

import math
from dataclasses import dataclass
from typing import Union

import torch
from torch import Tensor

from ...estimate import Estimate

Number = Union["Measured", float]


@dataclass(frozen=True)
class Measured:
    """A number with the influence of each cluster on it.

    Args:
        value: the number.
        influence: [n]; empty for an exact number.
        draws: what an exact number is a sum over.
    """

    value: float
    influence: Tensor
    draws: int = 0

    @property
    def estimate(self) -> Estimate:
        """The number with its standard error; an exact number has the error 0."""
        n = len(self.influence)
        if n == 0:
            return Estimate(self.value, 0.0, self.draws)
        error = math.nan if n == 1 else math.sqrt(float(self.influence.square().sum()) / (n * (n - 1)))
        return Estimate(self.value, error, n)

    def __add__(self, other: Number) -> "Measured":
        if isinstance(other, Measured):
            return Measured(self.value + other.value, self.influence + other.influence, self.draws)
        return Measured(self.value + other, self.influence, self.draws)

    def __sub__(self, other: Number) -> "Measured":
        return self + (-1 * other if isinstance(other, Measured) else -other)

    def __mul__(self, other: Number) -> "Measured":
        if isinstance(other, Measured):
            influence = self.value * other.influence + other.value * self.influence
            return Measured(self.value * other.value, influence, self.draws)
        return Measured(self.value * other, self.influence * other, self.draws)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Number) -> "Measured":
        if not isinstance(other, Measured):
            return self * (1 / other)
        if other.value == 0:
            return Measured(math.nan, self.influence * math.nan, self.draws)
        return self * Measured(1 / other.value, -other.influence / other.value**2)

    def __abs__(self) -> "Measured":
        return self if self.value >= 0 else self * -1

    def root(self) -> "Measured":
        """The square root; at 0 its influence is 0, and of a number that rounding made negative it is 0."""
        root = math.sqrt(max(self.value, 0.0))
        return Measured(root, self.influence / (2 * root) if root else torch.zeros_like(self.influence), self.draws)


def mean(values: Tensor, weights: Tensor, clusters: Tensor | None) -> Measured:
    """The weighted mean of values over contexts.

    Args:
        values: x, [m].
        weights: w, [m], not negative.
        clusters: the sentence of each context, [m], counted from 0; None where the contexts are all there are, so that
            the mean is exact.

    Returns:
        The mean.
    """
    values, weights = values.double(), weights.double()
    total = weights.sum()
    value = float(weights @ values / total)
    if clusters is None:
        return Measured(value, values.new_zeros(0), len(values))
    n = int(clusters.max()) + 1
    moved = values.new_zeros(n).index_add(0, clusters, weights * (values - value))
    return Measured(value, n * moved / total, n)
