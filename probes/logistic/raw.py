"""Logistic regression on raw features at its convex optimum, by Newton's method, for up to a few hundred features.

    min_(W, b)  mean_i -log softmax(W h_i + b)[y_i] + ridge / 2 ||W||_F^2

Adding one number to the scores of all classes changes nothing. So W = Q V, where the columns of Q [k, k - 1] are
orthonormal and orthogonal to 1: the penalty is the same, and that direction is gone from the Hessian. With two classes
this is scikit-learn's regression with C = 2 / (ridge n), whose one weight vector is the difference of the rows of W.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from ...errors import InputError
from ..method import FittedProbe

DECREMENT = 1e-13
"""The optimum counts as reached below this Newton decrement, nats. Half of it is the possible gain, to second order."""

MOST_STEPS, SHORTEST = 500, 2.0**-40
"""The most Newton steps of a fit, and the smallest share of a step that it tries."""


@dataclass(frozen=True)
class RawLogistic(FittedProbe):
    """A fitted classifier, argmax_c (W h + b)_c.

    Args:
        weight: W [k, d] float64.
        bias: b [k].
    """

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """W h + b [n, k] in float64, for features [n, d]."""
        return torch.addmm(self.bias, features.double(), self.weight.T)

    @override
    def predict(self, features: Tensor) -> Tensor:
        return self.scores(features).argmax(1)


def fit_raw(features: Tensor, labels: Tensor, num_classes: int, ridge: float) -> RawLogistic:
    """Finds the optimum in float64. The bias is not penalised.

    Args:
        features: [n, d].
        labels: [n], each in 0 .. num_classes - 1.
        num_classes: the number k of classes, at least 2.
        ridge: the penalty.

    Returns:
        The classifier.

    Raises:
        InputError: if 500 steps do not reach the optimum.
    """
    x = features.double()
    z = torch.cat([x, x.new_ones(len(x), 1)], 1)
    basis = contrasts(num_classes).to(z)
    penalty = torch.full((z.shape[1],), ridge, dtype=z.dtype, device=z.device)
    penalty[-1] = 0.0
    v = z.new_zeros(num_classes - 1, z.shape[1])

    def loss(v: Tensor) -> float:
        return float(F.cross_entropy(z @ (basis @ v).T, labels) + (v.square() * penalty).sum() / 2)

    value = loss(v)
    for _ in range(MOST_STEPS):
        gradient, hessian = _derivatives(z, labels, basis, v, penalty)
        step = _solved(hessian, gradient.flatten()).reshape(v.shape)
        decrement = float((gradient * step).sum())
        share = 1.0
        while (new := loss(v - share * step)) > value - share * decrement / 4 and share > SHORTEST:
            share /= 2
        if decrement < DECREMENT or share <= SHORTEST:
            solution = basis @ v
            return RawLogistic(solution[:, :-1], solution[:, -1])
        v, value = v - share * step, new
    raise InputError(f"the head did not converge in {MOST_STEPS} steps with ridge {ridge:g}; give a larger ridge")


def contrasts(classes: int) -> Tensor:
    """An orthonormal basis [k, k - 1] of the vectors whose entries add up to 0 (Helmert), float64."""
    columns = []
    for j in range(1, classes):
        column = torch.zeros(classes, dtype=torch.float64)
        column[:j], column[j] = 1.0, -float(j)
        columns.append(column / math.sqrt(j * (j + 1)))
    return torch.stack(columns, 1)


def _derivatives(z: Tensor, labels: Tensor, basis: Tensor, v: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient [k - 1, d + 1] at V, and the Hessian with respect to V's entries, row by row."""
    p = (z @ (basis @ v).T).softmax(1)
    wrong = p.clone()
    wrong[torch.arange(len(z), device=z.device), labels] -= 1
    gradient = (wrong @ basis).T @ z / len(z) + v * penalty
    rows = []
    for a in range(v.shape[0]):
        row = []
        for b in range(v.shape[0]):
            qa, qb = basis[:, a], basis[:, b]
            curvature = p @ (qa * qb) - (p @ qa) * (p @ qb)
            block = z.T @ (z * curvature[:, None]) / len(z)
            row.append(block + torch.diag(penalty) if a == b else block)
        rows.append(torch.cat(row, 1))
    return gradient, torch.cat(rows)


def _solved(hessian: Tensor, gradient: Tensor) -> Tensor:
    """The Newton step. If rounding has made the Hessian indefinite, a multiple of the identity is added to it."""
    scale = float(hessian.diagonal().abs().max())
    for extra in (0.0, 1e-15, 1e-13, 1e-11, 1e-9, 1e-7):
        factor, failed = torch.linalg.cholesky_ex(hessian + extra * scale * torch.eye(len(hessian)).to(hessian))
        if not failed:
            return torch.cholesky_solve(gradient[:, None], factor)[:, 0]
    return gradient / max(scale, 1e-300)
