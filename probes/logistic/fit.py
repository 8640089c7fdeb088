"""Multinomial logistic regression at its convex optimum, for many strongly correlated features.

    min_(W, b)  mean_i -log softmax(W h_i + b)[y_i] + l2 / 2 ||W||^2

The features of a network are nearly collinear, so plain L-BFGS needs thousands of iterations. Boehning's bound (1992),
Hessian <= (1/2) (I - 11^T/k) (x) H^T H / n + l2 I, gives a metric in which the problem is well conditioned: with
L L^T = H^T H / (2 n) + l2 I and V = W L, L-BFGS needs a few dozen iterations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from ...errors import InputError
from ..method import FittedProbe
from .lbfgs import Function, lbfgs

GRADIENT_TOLERANCE = 5e-6
"""The optimum counts as reached when no entry of the gradient with respect to V exceeds this."""

MAX_ITERATIONS = 2000
"""The most iterations of L-BFGS in one stage of arithmetic."""


@dataclass(frozen=True)
class Logistic(FittedProbe):
    """A fitted classifier of standardised features, argmax_c (W (h - mean) / scale + b)_c.

    Args:
        weight: W [k, d].
        bias: b [k].
        mean: mean of the training features, [d].
        scale: their standard deviation, [d]; infinite for constant features.
        l2: the penalty of the fit.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    l2: float

    def scores(self, features: Tensor) -> Tensor:
        """Logits [n, k] in float64 on the device of the features [n, d], which may differ from the classifier's."""
        device = features.device
        standardised = (features.double() - self.mean.to(device)) / self.scale.to(device)
        return torch.addmm(self.bias.to(device), standardised, self.weight.T.to(device))

    @override
    def predict(self, features: Tensor) -> Tensor:
        return self.scores(features).argmax(1)

    @property
    @override
    def chosen(self) -> Mapping[str, float]:
        return {"l2": self.l2}


def fit_logistic(
    features: Tensor, labels: Tensor, num_classes: int, l2: float, start: Logistic | None = None
) -> Logistic:
    """Finds the optimum in float64. The bias is not penalised.

    Features are first standardised to mean 0 and standard deviation 1; constant ones become 0.

    Args:
        features: [n, d].
        labels: [n], each in 0 .. num_classes - 1.
        num_classes: the number k of classes.
        l2: the penalty.
        start: a nearby solution, such as that of another penalty.

    Returns:
        The classifier.

    Raises:
        InputError: if 2,000 iterations do not reach the optimum, or l2 is too weak for collinear features.
    """
    features = features.double()
    mean, deviation = features.mean(0), features.std(0, correction=0)
    scale = torch.where(deviation > 1e-12, deviation, torch.inf)
    x = (features - mean) / scale
    n, d = x.shape
    ones = x.new_ones(n, 1)
    metric = torch.cat([x, ones], 1).T @ torch.cat([x, ones], 1) / (2 * n) + l2 * torch.eye(d + 1).to(x)
    factor, failed = torch.linalg.cholesky_ex(metric)
    if failed:
        raise InputError(f"l2 = {l2:g} is too weak for features as collinear as these; give a larger l2")
    inverse = torch.linalg.inv(factor)
    z = torch.cat([x, ones], 1) @ inverse.T
    # l2 ||W||^2 in the new coordinates, where W is V inverse without the column of the bias.
    penalty = l2 * inverse[:, :d] @ inverse[:, :d].T

    def value_and_gradient(v: Tensor) -> tuple[float, Tensor]:
        log_p = (z @ v.T).log_softmax(1)
        shrunk = v @ penalty
        value = F.nll_loss(log_p, labels) + 0.5 * (v * shrunk).sum()
        wrong = log_p.exp()
        wrong[torch.arange(n, device=z.device), labels] -= 1
        return float(value), wrong.T @ z / n + shrunk

    begin = z.new_zeros(num_classes, d + 1)
    if start is not None:
        begin = torch.cat([start.weight, start.bias[:, None]], 1).to(z) @ factor
    solution = minimise([value_and_gradient], begin, l2) @ inverse
    return Logistic(solution[:, :d], solution[:, d], mean, scale, l2)


def minimise(
    stages: Sequence[Function],
    begin: Tensor,
    l2: float,
    tolerance: float | None = None,
) -> Tensor:
    """Finds the point where the gradient vanishes, by L-BFGS in stages of increasing precision.

    Args:
        stages: functions that return (value, gradient) at a point, in increasing precision. Each stage continues where
            rounding stopped the one before.
        begin: the starting point.
        l2: the penalty, for the error message.
        tolerance: the largest entry of the gradient at the optimum; GRADIENT_TOLERANCE unless given.

    Returns:
        The point.

    Raises:
        InputError: if no stage reaches the tolerance.
    """
    tolerance = GRADIENT_TOLERANCE if tolerance is None else tolerance
    point, iterations = begin.clone(), 0
    for stage in stages:
        found, gradient, taken = lbfgs(stage, point, tolerance, MAX_ITERATIONS)
        iterations += taken
        if float(gradient.abs().max()) <= tolerance:
            return found
        if bool(found.isfinite().all()):
            point = found
    raise InputError(f"the probe did not converge in {iterations} iterations with l2 = {l2:g}; give a larger l2")
