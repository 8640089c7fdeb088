"""The optimum of `fit_logistic` for many features, which every iteration reads part by part, from memory or from disk.

    min_(W, b)  mean_i -log softmax(W h_i + b)[y_i] + l2 / 2 ||W||^2

Boehning's metric H^T H / (2 n) + l2 I is d x d and so too large, but its strongest directions suffice. With the
randomised Nystroem approximation U diag(s) U^T of rank r (Frangella, Tropp and Udell 2021), L-BFGS works on V, where

    M = U diag(s + l2) U^T + (s_r + l2) (I - U U^T),    V = W M^(1/2).

The metric changes the number of iterations, not the optimum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...randomness import random_stream
from ..feature_store import Features
from .fit import Logistic, minimise

RANK = 128
"""The rank r of the approximate metric; d if there are fewer features."""


@dataclass(frozen=True)
class Metric:
    """The metric M of d features.

    Args:
        directions: U [d, r].
        strengths: s_i + l2 along these directions, [r].
        rest: s_r + l2, for all directions orthogonal to them.
    """

    directions: Tensor
    strengths: Tensor
    rest: float

    def power(self, rows: Tensor, exponent: float) -> Tensor:
        """Rows [k, d] times M^exponent."""
        along = rows @ self.directions
        change = self.strengths**exponent - self.rest**exponent
        return torch.addmm(rows * self.rest**exponent, along * change, self.directions.T)


class Standardised:
    """The first rows of features [n, d], standardised as they are read.

    Args:
        features: all rows.
        rows: the number of rows to use.
    """

    def __init__(self, features: Features, rows: int) -> None:
        self.features, self.rows = features, rows
        total, squares = (torch.zeros(features.width, dtype=torch.float64) for _ in range(2))
        for _, part in features.in_order(rows):
            total += part.double().sum(0).cpu()
        self.mean = total / rows
        for _, part in features.in_order(rows):
            squares += (part.double() - self.mean.to(part.device)).square_().sum(0).cpu()
        deviation = (squares / rows).sqrt()
        self.scale = torch.where(deviation > 1e-12, deviation, torch.inf)
        self.dtype = torch.float64 if features.dtype == torch.float64 else torch.float32

    def parts(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """Yields the slice and the standardised rows [m, d] of each part."""
        mean, factor = self.mean.to(dtype), (1 / self.scale).to(dtype)
        for rows, part in self.features.in_order(self.rows):
            read = part.to(dtype)
            yield rows, (read - mean.to(part.device)).mul_(factor.to(part.device))


def fit_streamed(
    features: Features,
    labels: Tensor,
    num_classes: int,
    l2: float,
    start: Logistic | None = None,
    rows: int | None = None,
    data: "tuple[Standardised, Metric] | None" = None,
    tolerance: float | None = None,
) -> Logistic:
    """Finds the optimum of streamed features.

    Products are in float32, and sums over parts of about 32 MB in float64. If float32 does not reach the tolerance, the
    last iterations are in float64. For float64 features all are.

    Args:
        features: [n, d].
        labels: [n], each in 0 .. num_classes - 1.
        num_classes: the number k of classes.
        l2: the penalty.
        start: a nearby solution, such as that of another penalty.
        rows: the number of first rows to fit; all unless given.
        data: what `prepare` returned for these rows; the same for every penalty.
        tolerance: the largest entry of the gradient at the optimum; GRADIENT_TOLERANCE unless given.

    Returns:
        The classifier.

    Raises:
        InputError: if the optimum is not reached.
    """
    x, shared = data or prepare(features, len(labels) if rows is None else rows)
    labels = labels[: x.rows].cpu()
    metric = Metric(shared.directions, shared.strengths + l2, shared.rest + l2)

    def split(table: Tensor) -> tuple[Tensor, Tensor]:
        # The bias is scaled like the rest: Boehning's bound for a feature that is 1 everywhere is 1/2.
        return metric.power(table[:, :-1], -0.5), table[:, -1] * 2**0.5

    def value_and_gradient(table: Tensor, dtype: torch.dtype) -> tuple[float, Tensor]:
        weight, bias = split(table)
        value, of_weight, of_bias = _loss(x, labels, weight, bias, dtype)
        value += 0.5 * l2 * float(weight.square().sum())
        rounded = metric.power(of_weight + l2 * weight, -0.5)
        return value, torch.cat([rounded, of_bias[:, None] * 2**0.5], 1)

    zero = torch.zeros(num_classes, features.width + 1, dtype=torch.float64)
    begin = zero if start is None else _joined(start, metric)
    stages = [partial(value_and_gradient, dtype=dtype) for dtype in dict.fromkeys((x.dtype, torch.float64))]
    weight, bias = split(minimise(stages, begin, l2, tolerance))
    return Logistic(weight, bias, x.mean, x.scale, l2)


def _joined(start: Logistic, metric: Metric) -> Tensor:
    """The table [k, d + 1] of weights and biases in the coordinates of the metric."""
    there = metric.power(start.weight.cpu(), 0.5)
    return torch.cat([there, start.bias.cpu()[:, None] * 0.5**0.5], 1)


def prepare(features: Features, rows: int) -> tuple[Standardised, Metric]:
    """Computes what does not depend on l2: mean, standard deviation, and the metric for l2 = 0."""
    x = Standardised(features, rows)
    return x, _nystroem(x, min(RANK, features.width))


def _loss(
    x: Standardised, labels: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype
) -> tuple[float, Tensor, Tensor]:
    """Mean -log softmax(W h + b)[y] and its gradients [k, d] and [k]; products are in the given dtype."""
    value, of_weight, of_bias = 0.0, torch.zeros_like(weight), torch.zeros_like(bias)
    plain = weight.to(dtype)
    for rows, part in x.parts(dtype):
        here = plain.to(part.device)
        wrong = ((here @ part.T).T.double().cpu() + bias).log_softmax(1)
        value -= float(wrong.gather(1, labels[rows, None]).sum())
        wrong = wrong.exp_()
        wrong[torch.arange(len(wrong)), labels[rows]] -= 1
        of_bias += wrong.sum(0)
        of_weight += (wrong.to(part).T @ part).double().cpu()
    return value / x.rows, of_weight.div_(x.rows), of_bias.div_(x.rows)


def _nystroem(x: Standardised, rank: int) -> Metric:
    """Finds the strongest directions of A = H^T H / (2 n) in one pass, from A Omega with Omega [d, r] orthonormal."""
    d = x.features.width
    generator = random_stream(0, "probe", rank, d)
    trial = torch.linalg.qr(torch.randn(d, rank, generator=generator, dtype=torch.float64)).Q
    sketch, thin = torch.zeros_like(trial), trial.to(x.dtype)
    for _, part in x.parts(x.dtype):
        here = thin.to(part.device)
        sketch += (part.T @ (part @ here)).double().cpu()
    sketch /= 2 * x.rows
    shift = 1e-6 * float(sketch.norm()) + 1e-30
    sketch += shift * trial
    core = trial.T @ sketch
    factor = torch.linalg.cholesky((core + core.T) / 2)
    root = torch.linalg.solve_triangular(factor.T, sketch, upper=True, left=False)
    directions, singular, _ = torch.linalg.svd(root, full_matrices=False)
    strengths = (singular.square() - shift).clamp(min=0)
    # Constant features have strength 0 in all directions; the metric is then l2 I.
    return Metric(directions, strengths, float(strengths[-1]) if rank < d else 0.0)
