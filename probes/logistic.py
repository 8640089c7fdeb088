"""Multinomial logistic regression at its convex optimum, for features that are many and strongly correlated.

    min_W  mean_i -log softmax(W h_i + b)[y_i] + l2 / 2 ||W||^2

Features of a network are nearly collinear, and plain L-BFGS needs thousands of iterations on them. Boehning's bound
(1992), Hessian <= (1/2) (I - 11^T/k) (x) H^T H / n + l2, gives the metric in which the problem is round: with
L L^T = H^T H / (2 n) + l2 I and V = W L, L-BFGS needs a few dozen.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError

GRADIENT_TOLERANCE = 1e-5
"""Greatest entry of the gradient (in the round metric) at which the optimum counts as reached."""

MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Logistic:
    """A fitted classifier of standardised features: weight [k, d], bias [k], mean and scale [d]."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """The most probable class [n] of features [n, d]."""
        standardised = (features.double() - self.mean) / self.scale
        return (standardised @ self.weight.T + self.bias).argmax(1)


def fit_logistic(features: Tensor, labels: Tensor, num_classes: int, l2: float) -> Logistic:
    """The optimum for features [n, d] and labels [n] in 0 .. num_classes - 1, in float64; the bias is not penalised.

    Features are standardised to mean 0 and deviation 1 first (constant ones are left at 0).
    Raises InputError where it is not reached in 2,000 iterations, or where l2 is too weak for collinear features.
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
    # l2 ||W||^2 in the new coordinates: W = V inverse, without the column of the bias.
    penalty = l2 * inverse[:, :d] @ inverse[:, :d].T

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        v = torch.from_numpy(flat).reshape(num_classes, d + 1).to(z)
        log_p = (z @ v.T).log_softmax(1)
        shrunk = v @ penalty
        value = F.nll_loss(log_p, labels) + 0.5 * (v * shrunk).sum()
        wrong = log_p.exp()
        wrong[torch.arange(n, device=z.device), labels] -= 1
        gradient = wrong.T @ z / n + shrunk
        return float(value), gradient.flatten().cpu().numpy()

    options = {
        "maxiter": MAX_ITERATIONS,
        "maxfun": 2 * MAX_ITERATIONS,
        "gtol": GRADIENT_TOLERANCE,
        "ftol": 0,
        "maxcor": 20,
    }
    start = np.zeros(num_classes * (d + 1))
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    if np.abs(found.jac).max() > GRADIENT_TOLERANCE:
        raise InputError(f"the probe did not converge in {found.nit} iterations with l2 = {l2:g}; give a larger l2")
    solution = torch.from_numpy(found.x).reshape(num_classes, d + 1).to(z) @ inverse
    return Logistic(solution[:, :d], solution[:, d], mean, scale)
