"""Multinomial logistic regression at its convex optimum, for many strongly correlated features.

    min_(W, b)  mean_i -log softmax(W h_i + b)[y_i] + l2 / 2 ||W||^2

The features of a network are nearly collinear, so plain L-BFGS needs thousands of iterations. It works on V = W L,
where L L^T is near the Hessian. First, it is the bound of Boehning (1992), (1/2) (I - 11^T/k) (x) H^T H / n + l2 I:

    L L^T = H^T H / (2 n) + l2 I.

Later, each class c has a block of its own, that of the Hessian at a point on the way:

    L_c L_c^T = H^T diag(p_c (1 - p_c)) H / n + l2 I.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from ...errors import InputError
from ..method import FittedProbe
from .lbfgs import Function, largest_entry, lbfgs

GRADIENT_TOLERANCE = 5e-6
"""The optimum counts as reached when no entry of the gradient with respect to V exceeds this, in the bound's metric."""

MAX_ITERATIONS = 2000
"""The most iterations of L-BFGS; where arithmetic has stages, in each."""

BLOCKS_LAST = 100
"""Iterations after which the blocks of the Hessian are computed anew."""

READING = 10
"""Reading the features takes an iteration as long as so many classes do."""

MOST_ENTRIES = 2**23
"""The most numbers in these blocks, k (d + 1)^2: 64 MiB, of which up to five exist at a time. With more, the bound is
the only metric."""


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
    x = torch.cat([(features - mean) / scale, features.new_ones(len(features), 1)], 1)
    shared, failed = torch.linalg.cholesky_ex(_metric(x, x.new_full((len(x),), 0.5), l2))
    if failed:
        raise InputError(f"l2 = {l2:g} is too weak for features as collinear as these; give a larger l2")
    table = x.new_zeros(num_classes, x.shape[1])
    if start is not None:
        table = torch.cat([start.weight, start.bias[:, None]], 1).to(x)
    solution = _descend(x, partial(_loss, x, labels, l2), table, _Metric(shared[None]), l2)
    # No prediction changes where all biases grow by the same, which the blocks allow.
    return Logistic(solution[:, :-1], solution[:, -1] - solution[:, -1].mean(), mean, scale, l2)


def _descend(x: Tensor, loss: Function, table: Tensor, bound: "_Metric", l2: float) -> Tensor:
    """The optimum, from a table [k, d + 1] of weights and biases.

    The bound is the metric of the first iterations, and the blocks that of the others. They are computed anew every
    BLOCKS_LAST iterations. If the gradient has not halved by then, the bound is the metric of all that follow.

    Args:
        x: the features [n, d + 1], which end in a 1.
        loss: the objective of a table, with its gradient.
        table: the starting point.
        bound: the metric of Boehning's bound.
        l2: the penalty.

    Returns:
        The table.

    Raises:
        InputError: if MAX_ITERATIONS do not reach it.
    """
    helpful, left, metric = table.numel() * table.shape[1] <= MOST_ENTRIES, MAX_ITERATIONS, bound
    # In this many iterations of 4 n d (k + READING) products the time passes that the blocks take, 2 n d^2 k products.
    classes, width = table.shape
    limit = max(20, width * classes // (2 * (classes + READING))) if helpful else left
    before = math.inf
    while left > 0:
        size = partial(_size, metric, bound)
        found, gradient, taken = lbfgs(
            metric.seen(loss), metric.into(table), GRADIENT_TOLERANCE, min(limit, left), size
        )
        table, now, final = metric.back(found), size(gradient), limit == left
        if now <= GRADIENT_TOLERANCE:
            return table
        left -= max(1, taken)
        if metric is bound and final:
            break
        helpful &= metric is bound or now < before / 2
        metric, before = (_at(table, x, l2) if helpful else None) or bound, now
        limit = left if metric is bound else BLOCKS_LAST
    raise InputError(_not_reached(MAX_ITERATIONS - max(0, left), l2))


def _size(metric: "_Metric", bound: "_Metric", gradient: Tensor) -> float:
    """The largest entry in the bound's metric of a gradient in another one."""
    return largest_entry(gradient if metric is bound else bound.gradient(metric.plain(gradient)))


def _not_reached(iterations: int, l2: float) -> str:
    return f"the probe did not converge in {iterations} iterations with l2 = {l2:g}; give a larger l2"


def _loss(x: Tensor, labels: Tensor, l2: float, table: Tensor) -> tuple[float, Tensor]:
    """The objective of W and b, the table [k, d + 1], and its gradient, for features x [n, d + 1] that end in a 1."""
    log_p = (x @ table.T).log_softmax(1)
    weight = table[:, :-1]
    value = F.nll_loss(log_p, labels) + 0.5 * l2 * weight.square().sum()
    wrong = log_p.exp()
    wrong[torch.arange(len(x), device=x.device), labels] -= 1
    gradient = wrong.T @ x / len(x)
    gradient[:, :-1] += l2 * weight
    return float(value), gradient


def _metric(x: Tensor, weights: Tensor, l2: float) -> Tensor:
    """H^T diag(weights) H / n + l2 I, [d + 1, d + 1]."""
    product: Tensor = (x * weights[:, None]).T @ x / len(x)
    return product + l2 * torch.eye(x.shape[1]).to(x)


class _Metric:
    """The coordinates V = W L.

    Args:
        factors: L, lower triangular, [1, d + 1, d + 1], or one for each class, [k, d + 1, d + 1].
    """

    def __init__(self, factors: Tensor) -> None:
        self.factors, self.inverses = factors, torch.linalg.inv(factors)

    def into(self, table: Tensor) -> Tensor:
        """V of W, both [k, d + 1]."""
        return _times(table, self.factors)

    def back(self, table: Tensor) -> Tensor:
        """W of V."""
        return _times(table, self.inverses)

    def seen(self, function: Function) -> Function:
        """The function of W as one of V, with its gradient with respect to V."""

        def value_and_gradient(table: Tensor) -> tuple[float, Tensor]:
            value, gradient = function(self.back(table))
            return value, self.gradient(gradient)

        return value_and_gradient

    def gradient(self, plain: Tensor) -> Tensor:
        """The gradient with respect to V of one with respect to W."""
        return _times(plain, self.inverses.mT)

    def plain(self, gradient: Tensor) -> Tensor:
        """The gradient with respect to W of one with respect to V."""
        return _times(gradient, self.factors.mT)


def _times(table: Tensor, matrices: Tensor) -> Tensor:
    """Each row of the table [k, d + 1] times its matrix, or times the only one."""
    if len(matrices) == 1:
        return table @ matrices[0]
    product: Tensor = table[:, None] @ matrices
    return product[:, 0]


def _at(table: Tensor, x: Tensor, l2: float) -> _Metric | None:
    """The metric of the Hessian's diagonal blocks at W and b; None where rounding leaves one that is not positive."""
    probabilities = (x @ table.T).softmax(1)
    blocks = x.new_empty(len(table), x.shape[1], x.shape[1])
    for block, p in zip(blocks, probabilities.T, strict=True):
        block.copy_(_metric(x, p * (1 - p), l2))
    factors, failed = torch.linalg.cholesky_ex(blocks)
    return None if bool(failed.any()) else _Metric(factors)


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
        if largest_entry(gradient) <= tolerance:
            return found
        if bool(found.isfinite().all()):
            point = found
    raise InputError(_not_reached(iterations, l2))
